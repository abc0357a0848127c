"""The loss funnel: case by case, planted systems, and the law that every question ends in exactly one place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.diagnosis import funnel
from harness.diagnosis.funnel import ANSWERABLE, RETRIEVAL, UNANSWERABLE, Lists, Written, holds_reference
from harness.scoring.answers import token_f1
from harness.statistics.shares import share_of
from harness.suite.recipes import ABSTENTION
from harness.values.insights import Funnel, PlaceName, Population
from harness.values.measures import Measure
from harness.values.records import Answer, Qrels, Reference, Run

F1, EXACT = Measure("token_f1"), Measure("exact_match")
ABSTAINED = "The passages do not mention it."


def ranked(*doc_ids: str) -> list[tuple[str, float]]:
    return [(doc_id, float(-place)) for place, doc_id in enumerate(doc_ids)]


def counts(found: Funnel, population: Population = "answerable") -> dict[str, int]:
    """The places where any question ended."""
    return {place.name: place.count for place in found.places if place.population == population and place.count}


# ---- retrieval

RUN: Run = {
    "top": ranked("yes", "x", "y", "z"),
    "second": ranked("x", "yes", "y", "z"),
    "third": ranked("x", "y", "yes", "z"),
    "fourth": ranked("x", "y", "z", "yes"),
    "lost": ranked("x", "y", "z", "w"),
    "declined": ranked("yes", "x", "y", "z"),
}
QRELS: Qrels = {
    **{query_id: {"yes": 1, "x": 0} for query_id in ("top", "second", "third", "fourth", "lost", "absent")},
    "declined": {"yes": 0},
}
EACH = {query_id: query_id for query_id in [*RUN, *QRELS]}


def test_judged_questions_are_placed_by_their_first_relevant_document() -> None:
    found = funnel.retrieval("untuned", Lists(RUN, QRELS, depth=3, context=2), EACH, examples=9)
    assert [place.name for place in found.places] == list(RETRIEVAL)
    assert {place.name: set(place.examples) for place in found.places} == {
        "in the context": {"top", "second"},
        "not in the context": {"third"},
        "not in the pool": {"fourth", "lost", "absent"},
    }
    assert (found.kind, found.system, found.depth, found.context, found.groups) == ("retrieval", "untuned", 3, 2, 6)
    assert found.rule == "in the pool: a relevant document among the first 3; in the context: one among the first 2"


def test_a_reranker_moves_documents_within_the_pool_only() -> None:
    """Its pool is told by the lists before it, however deep the reranked ones are cut."""
    reranked: Run = {"third": ranked("yes", "x"), "second": ranked("x", "y")}
    pool: Run = {"third": RUN["third"], "second": RUN["second"]}
    qrels = {query_id: QRELS[query_id] for query_id in reranked}
    found = funnel.retrieval("untuned", Lists(reranked, qrels, 3, 1, pool), EACH, 9)
    assert {place.name: place.examples for place in found.places} == {
        "not in the pool": (),
        "not in the context": ("second",),
        "in the context": ("third",),
    }
    alone = funnel.retrieval("untuned", Lists(reranked, qrels, 3, 1), EACH, 9)
    assert counts(alone) == {"not in the pool": 1, "in the context": 1}


def test_shares_have_the_intervals_of_shares_by_group() -> None:
    groups = {query_id: "one" if query_id in ("top", "second", "third") else "two" for query_id in EACH}
    found = funnel.retrieval("untuned", Lists(RUN, QRELS, 3, 2), groups, examples=1)
    judged = [query_id for query_id in QRELS if query_id != "declined"]
    for place, ended in zip(found.places, (["fourth", "lost", "absent"], ["third"], ["top", "second"]), strict=True):
        expected = share_of(ended, judged, groups)
        assert (place.share, place.low, place.high) == expected[:3]
        assert place.count == len(ended)
        assert len(place.examples) == 1
        assert place.examples[0] in ended
    assert found.groups == 2


def test_without_judged_questions_there_are_no_places() -> None:
    found = funnel.retrieval("untuned", Lists(RUN, {"declined": {"yes": 0}}, 3, 2), EACH, 3)
    assert (found.places, found.groups) == ((), 0)
    assert found.place("in the context") is None


# ---- answers, one question at a time


def ended(
    text: str | None,
    *,
    lists: Sequence[str] = ("x", "yes", "y", "z"),
    value: float | None = 0.0,
    kept: float | str | None = "no format",
    reference: Reference | None = None,
    judged: Mapping[str, int] | None = None,
    question: str = "",
    shown: tuple[str, ...] = (),
    context: int = 2,
) -> tuple[PlaceName, int]:
    """Where one question ends whose answer is ``Paris``, and how many were right without a passage."""
    reference = reference or Reference("q", ("Paris",))
    written = Written(
        {} if text is None else {"q": Answer("q", text, 1, 1, shown)},
        {"q": reference},
        {"q": value},
        F1,
        0.5,
        None if isinstance(kept, str) else {"q": kept},
        {"q": question},
    )
    qrels = {"q": dict(judged if judged is not None else {"yes": 1})}
    found = funnel.answers("s", Lists({"q": ranked(*lists)}, qrels, 3, context), written, {"q": "g"}, 1)
    (place,) = [place for place in found.places if place.count]
    assert place.examples == ("q",)
    assert place.share == 1
    return place.name, found.right_without


IN, BELOW, OUT = ("x", "yes", "y"), ("x", "y", "yes"), ("x", "y", "z", "yes")


@pytest.mark.parametrize(
    ("text", "value", "lists", "expected"),
    [
        ("Paris", 1.0, IN, ("right", 0)),
        ("Paris", 0.5, IN, ("right", 0)),  # at the bar
        ("Paris", 1.0, BELOW, ("right", 1)),
        ("Paris", 1.0, OUT, ("right", 1)),
        ("Paris", 1.0, (), ("right", 1)),
        ("It surely is the city of Paris", 0.4, IN, ("wrong format", 0)),
        ("It surely is the city of Paris", 0.4, OUT, ("wrong format", 1)),
        ("Rome", 0.0, IN, ("answered wrongly", 0)),
        ("Rome", 0.0, BELOW, ("not in the context", 0)),
        ("Rome", 0.0, OUT, ("not in the pool", 0)),
        ("Rome", 0.0, (), ("not in the pool", 0)),
        (ABSTAINED, 0.0, IN, ("abstained", 0)),
        (ABSTAINED, 0.0, BELOW, ("not in the context", 0)),
        (ABSTAINED, 0.0, OUT, ("not in the pool", 0)),
        (ABSTAINED, None, IN, ("abstained", 0)),  # what a judge has no value for
        ("", 0.0, IN, ("abstained", 0)),
        ("I do not know whether it is Paris", 0.0, IN, ("abstained", 0)),
        (None, None, IN, ("failed", 0)),
        (None, None, OUT, ("failed", 0)),
        ("Rome", None, IN, ("failed", 0)),
        ("Rome", None, OUT, ("failed", 0)),
        ("It is Paris", None, IN, ("failed", 0)),
    ],
)
def test_an_answerable_question_ends(
    text: str | None, value: float | None, lists: tuple[str, ...], expected: tuple[PlaceName, int]
) -> None:
    assert ended(text, value=value, lists=lists) == expected


@pytest.mark.parametrize(
    ("value", "kept", "expected"),
    [
        (1.0, 1.0, "right"),
        (1.0, 0.0, "wrong format"),
        (1.0, None, "failed"),  # right or in the wrong format: it cannot be told
        (0.0, 1.0, "wrong format"),  # "Paris" stands in it
        (0.0, None, "wrong format"),
        (None, 1.0, "failed"),
    ],
)
def test_a_format_decides_only_what_is_right(value: float | None, kept: float | None, expected: PlaceName) -> None:
    assert ended("the city of Paris", value=value, kept=kept, lists=IN) == (expected, 0)


def test_a_broken_format_alone_is_no_wrong_format() -> None:
    assert ended("Rome", value=0.0, kept=0.0, lists=IN) == ("answered wrongly", 0)


def test_what_the_generator_was_shown_decides_not_what_the_list_would_show() -> None:
    assert ended("Rome", lists=BELOW, shown=("yes",)) == ("answered wrongly", 0)
    assert ended("Rome", lists=IN, shown=("x",)) == ("not in the context", 0)
    assert ended("Paris", lists=IN, shown=("x",), value=1.0) == ("right", 1)


def test_without_judgements_the_source_passages_are_relevant() -> None:
    source = Reference("q", ("Paris",), source_passages=("y",))
    assert ended("Rome", reference=source, judged={}) == ("not in the context", 0)
    assert ended("Rome", reference=source, judged={"yes": 0}) == ("not in the context", 0)
    assert ended("Rome", reference=source, judged={"yes": 1}) == ("answered wrongly", 0)


def test_with_no_passage_known_only_a_right_answer_has_a_place() -> None:
    assert ended("Paris", value=1.0, judged={}) == ("right", 1)
    assert ended("It is Paris", judged={}) == ("wrong format", 1)
    assert ended("Rome", judged={}) == ("failed", 0)
    assert ended(ABSTAINED, judged={}) == ("failed", 0)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Rome", "invented"), (ABSTAINED, "abstained"), (ABSTENTION, "abstained"), ("", "abstained"), (None, "failed")],
)
def test_an_unanswerable_question_ends(text: str | None, expected: PlaceName) -> None:
    declined = Reference("q", (), False, ("yes",))
    for lists in (IN, OUT):
        assert ended(text, reference=declined, judged={}, value=None, lists=lists) == (expected, 0)


# ---- what holds a reference


@pytest.mark.parametrize(
    ("text", "reference", "expected"),
    [
        ("It was the Eiffel Tower, in 1889.", "eiffel tower", True),
        ("It was the Eiffel-Tower", "Eiffel Tower", False),  # SQuAD joins what a hyphen parts
        ("Parisian", "Paris", False),  # whole tokens
        ("the tower of Eiffel", "Eiffel tower", False),  # in their order
        ("A city", "a", False),  # nothing is left of an article
        ("There is 1 of them", "1", True),
        ("In 1889 the first 1 of 300 towers of its kind was opened there", "1", False),  # by chance
        ("No, it does not", "no", True),
        ("The effect was found in mice and in rats, but no one has looked for it elsewhere", "no", False),
        (" ".join(["word"] * 50 + ["Paris"]), "Paris", False),
        (" ".join(["word"] * 15 + ["Paris"]), "Paris", True),
        ("I do not know; Paris is not named", "Paris", False),
        ("", "Paris", False),
    ],
)
def test_holds_reference(text: str, reference: str, expected: bool) -> None:
    assert holds_reference(text, ["zebra", reference]) is expected


def test_an_echo_of_the_question_holds_nothing() -> None:
    question = "Which is larger, Paris or Rome?"
    text = "Paris or Rome is larger"
    assert holds_reference(text, ["Paris"])
    assert not holds_reference(text, ["Paris"], question)
    assert holds_reference("It is Paris, in France", ["Paris, in France"], question)
    assert ended(text, question=question) == ("answered wrongly", 0)


# ---- the funnel as a whole


def planted(texts: Mapping[str, str], rule: Measure = EXACT, threshold: float = 1.0) -> Funnel:
    """A system whose perfect retriever puts ``yes`` first, on 4 questions that have an answer and 2 that have none."""
    references = {f"q{number}": Reference(f"q{number}", (f"answer {number}",)) for number in range(4)}
    references |= {f"u{number}": Reference(f"u{number}", (), False) for number in range(2)}
    written = Written(
        {query_id: Answer(query_id, text, 1, 1, ("yes",)) for query_id, text in texts.items()},
        references,
        {
            query_id: token_f1(texts[query_id], reference.answers[0])
            for query_id, reference in references.items()
            if reference.answerable and query_id in texts
        },
        rule,
        threshold,
    )
    qrels: Qrels = {query_id: {"yes": 1} for query_id in references if query_id[0] == "q"}
    lists = Lists({query_id: ranked("yes", "x") for query_id in references}, qrels, 2, 1)
    return funnel.answers("planted", lists, written, {query_id: query_id for query_id in references}, 2)


QUESTIONS = ["q0", "q1", "q2", "q3", "u0", "u1"]


def test_every_place_is_listed_in_the_order_of_the_pipeline() -> None:
    found = planted({})
    assert [(place.population, place.name) for place in found.places] == [
        *(("answerable", name) for name in ANSWERABLE),
        *(("unanswerable", name) for name in UNANSWERABLE),
    ]
    assert (counts(found), counts(found, "unanswerable")) == ({"failed": 4}, {"failed": 2})
    assert (found.total("answerable"), found.total("unanswerable"), found.groups) == (4, 2, 6)
    empty = found.place("right")
    assert empty is not None
    assert (empty.count, empty.share, empty.low, empty.examples) == (0, 0.0, 0.0, ())


def test_a_generator_that_ignores_its_context_answers_wrongly() -> None:
    found = planted(dict.fromkeys(QUESTIONS, "something else"))
    assert counts(found) == {"answered wrongly": 4}
    assert counts(found, "unanswerable") == {"invented": 2}


def test_a_generator_that_never_abstains_invents() -> None:
    found = planted({**{f"q{number}": f"Answer {number}." for number in range(4)}, "u0": "this", "u1": "that"})
    assert (counts(found), counts(found, "unanswerable")) == ({"right": 4}, {"invented": 2})


def test_a_generator_that_is_right_in_the_wrong_format() -> None:
    found = planted({**{f"q{number}": f"I believe it is answer {number}" for number in range(4)}, "u0": "", "u1": ""})
    assert (counts(found), counts(found, "unanswerable")) == ({"wrong format": 4}, {"abstained": 2})


@pytest.mark.parametrize(
    ("measure", "threshold", "formatted", "expected"),
    [
        (EXACT, 1.0, False, "right: exact_match of 1"),
        (F1, 0.5, False, "right: token_f1 of 0.5 or more"),
        (F1, 0.5, True, "right: token_f1 of 0.5 or more, in the answer format"),
    ],
)
def test_the_rule_is_said_in_words(measure: Measure, threshold: float, formatted: bool, expected: str) -> None:
    assert Written({}, {}, {}, measure, threshold, {} if formatted else None).rule == expected


def test_examples_are_cut_and_the_same_in_whatever_order_questions_come() -> None:
    qrels: Qrels = {f"q{number}": {"yes": 1} for number in range(30)}
    groups = {query_id: query_id for query_id in qrels}
    forwards, backwards = (
        funnel.retrieval("s", Lists({}, {key: qrels[key] for key in keys}, 2, 1), groups, examples=3).places
        for keys in (list(qrels), list(reversed(qrels)))
    )
    assert forwards == backwards
    assert len(forwards[0].examples) == 3
    assert forwards[0].examples != ("q0", "q1", "q2")  # neighbours are about one document


# ---- laws

DOCUMENTS = st.lists(st.sampled_from("abcdef"), unique=True, max_size=6)
TEXTS = st.sampled_from(["Paris", "It is Paris", "Rome", ABSTAINED, ""])
VALUES = st.sampled_from([None, 0.0, 0.4, 0.5, 1.0])


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Lists, Written, dict[str, str]]:
    questions = [f"q{number}" for number in range(draw(st.integers(1, 8)))]

    def some(strategy: st.SearchStrategy[object]) -> dict[str, object]:
        return {query_id: draw(strategy) for query_id in questions if draw(st.booleans())}

    run = {query_id: ranked(*docs) for query_id, docs in some(DOCUMENTS).items()}  # type: ignore[misc]
    qrels = some(st.dictionaries(st.sampled_from("abcdef"), st.integers(0, 2), max_size=3))
    references = {
        query_id: Reference(query_id, ("Paris",), True, ("a",))
        if draw(st.booleans())
        else Reference(query_id, ("Paris",) if (answerable := draw(st.booleans())) else (), answerable)
        for query_id in questions
    }
    answers = {
        query_id: Answer(query_id, str(text), 1, 1, tuple(draw(DOCUMENTS))) for query_id, text in some(TEXTS).items()
    }
    formats = draw(
        st.none() | st.fixed_dictionaries({query_id: st.sampled_from([None, 0.0, 1.0]) for query_id in answers})
    )
    written = Written(answers, references, some(VALUES), F1, 0.5, formats)  # type: ignore[arg-type]
    depth = draw(st.integers(1, 6))
    lists = Lists(run, qrels, depth, draw(st.integers(1, depth)))  # type: ignore[arg-type]
    return lists, written, {query_id: draw(st.sampled_from(["g", "h", "i"])) for query_id in questions}


def check(found: Funnel, population: Population, questions: set[str], names: tuple[PlaceName, ...]) -> None:
    """Each question in exactly one place, and shares that add up to 1; no places without questions."""
    places = [place for place in found.places if place.population == population]
    assert [place.name for place in places] == (list(names) if questions else [])
    assert sorted(query_id for place in places for query_id in place.examples) == sorted(questions)
    assert sum(place.count for place in places) == len(questions) == found.total(population)
    assert all(place.count == len(place.examples) for place in places)
    if questions:
        assert sum(place.share for place in places) == pytest.approx(1)
        assert all(0 <= place.low <= place.share <= place.high <= 1 for place in places)


@given(worlds())
def test_every_question_ends_in_exactly_one_place(world: tuple[Lists, Written, dict[str, str]]) -> None:
    lists, written, groups = world
    judged = {query_id for query_id, grades in lists.qrels.items() if any(grades.values())}
    check(funnel.retrieval("s", lists, groups, 99), "answerable", judged, RETRIEVAL)
    found = funnel.answers("s", lists, written, groups, 99)
    asked = {query_id for query_id, reference in written.references.items() if reference.answerable}
    check(found, "answerable", asked, ANSWERABLE)
    check(found, "unanswerable", written.references.keys() - asked, UNANSWERABLE)
    told = sum(place.count for place in found.places if place.name in ("right", "wrong format"))
    assert found.right_without <= told
