"""The rules by which questions are dropped, each with what it drops and what it leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.models.search import Bm25Index
from harness.testset import reasons
from harness.testset.dealing import Job, Kind
from harness.testset.drafts import Draft
from harness.testset.filters import Filters
from harness.testset.local import LocalWriter, named
from harness.testset.passages import Passage
from harness.testset.sentences import fact_of, facts_of
from harness.testset.wordings import copied_prompt, fault, in_title, other_language, shared_words
from harness.text import text_of
from harness.values.records import Document

WALL = (
    "Dry walls need no mortar. Long through-stones lie across at knee height and tie both faces together. "
    "The batter leans inwards by one part in six. A course of flat copes closes the top against frost. "
    "A gap must be packed with rubble at every course."
)
KILN = (
    "Lime is burned for nine days in a kiln of brick. The draw hole stays shut until the stone has turned white. "
    "Coal and stone are laid in turns. One cart of lime costs four shillings at the quay."
)
OVEN = (
    "Bread is baked at dawn in an oven of clay. The door stays shut for forty minutes and must not be opened. "
    "Loaves cost a penny each."
)
PASSAGES = [
    Passage(f"d{n}", title, 0, len(text), text)
    for n, (title, text) in enumerate((("Walls", WALL), ("Lime kilns", KILN), ("Ovens", OVEN)))
]
GERMAN = "Der Ofen wird bei Tagesanbruch geheizt, und das Brot ist nach vierzig Minuten fertig, wenn die Tür zu bleibt."


def filters(tmp_path: Path, lexical: bool = False, questions: tuple[str, ...] = ()) -> Filters:
    rows = [Document(str(place), one.place, one.text) for place, one in enumerate(PASSAGES)]
    Bm25Index.save(tmp_path, rows)
    similarity = (lambda first, second: 1.0) if lexical else None
    return Filters(PASSAGES, text_of("en"), Bm25Index(tmp_path), questions, similarity)


def job(kind: Kind = "single", *places: int) -> Job:
    return Job(kind, "test", tuple(PASSAGES[place] for place in places or (0,)))


TIE = "Long through-stones lie across at knee height and tie both faces together."
SHUT = "The draw hole stays shut until the stone has turned white."
GOOD = Draft("Which stones keep the two sides of a mortarless wall joined?", "long through-stones", (TIE,))


@pytest.mark.parametrize(
    ("draft", "kind", "reason"),
    [
        (GOOD, "single", ""),
        (GOOD._replace(question=""), "single", reasons.EMPTY),
        (GOOD._replace(question="Which stones?"), "single", reasons.EMPTY),
        (GOOD._replace(question="Through-stones tie both faces of the wall."), "single", "an answer, not a question"),
        (GOOD._replace(question="Through-stones and walls at knee height"), "single", reasons.NOT_ASKED),
        (GOOD._replace(question=f"Which stones {'and more ' * 40}tie?"), "single", reasons.LONG),
        (GOOD._replace(question="<passage> which through-stones tie it?"), "single", reasons.PROMPT),
        (GOOD._replace(question="Wie hält man die Steine ohne Mörtel und was ist das?"), "single", reasons.LANGUAGE),
        (GOOD._replace(question=TIE[:-1] + "?"), "single", reasons.COPIED),
        (GOOD._replace(question="What are walls for?"), "single", reasons.TITLE),
        (GOOD._replace(question="According to the text, which stones tie it?"), "single", "refers to the passage"),
        (GOOD._replace(answer=" "), "single", reasons.NO_ANSWER),
        (GOOD._replace(answer="The answer to given question is not present in context."), "single", reasons.NO_ANSWER),
        (GOOD._replace(quotes=("Nobody ever wrote this anywhere at all.",)), "single", reasons.UNFOUND),
        (GOOD._replace(quotes=()), "single", reasons.UNFOUND),
        (GOOD._replace(question="Which stones tie the faces at knee height?"), "paraphrased", reasons.SAME_WORDS),
        (GOOD, "paraphrased", ""),
        (Draft("Who taught masons to lay copes and flat courses?"), "unanswerable", ""),
        (Draft("Which through-stones tie both faces at knee height together?"), "unanswerable", reasons.ANSWERED),
        (Draft("How many penguins live in Antarctic research stations?"), "unanswerable", reasons.OFF_TOPIC),
    ],
)
def test_a_draft_is_judged(tmp_path: Path, draft: Draft, kind: Kind, reason: str) -> None:
    assert filters(tmp_path).judge(job(kind), draft).reason == reason


@pytest.mark.parametrize(
    ("draft", "reason"),
    [
        (Draft("How long does the draw hole of a kiln stay shut?", SHUT, (SHUT,)), ""),
        (
            Draft("How long does the draw hole of a kiln stay shut?", "forty penguins dancing", (SHUT,)),
            reasons.UNSUPPORTED,
        ),
        (Draft("What is the purpose of the draw hole when white?", SHUT, (SHUT,)), reasons.VAGUE),
        (Draft("Does the draw hole stay shut until the stone turned white?", SHUT, (SHUT,)), reasons.REPEATS),
        (Draft("Which carts of coal reach the quay with lime?", SHUT, (SHUT,)), reasons.OFF_TOPIC),
    ],
)
def test_words_decide_where_the_writer_cannot_be_asked(tmp_path: Path, draft: Draft, reason: str) -> None:
    assert filters(tmp_path, lexical=True).judge(job("single", 1), draft).reason in (reason, reasons.COPIED)
    if not reason:
        assert filters(tmp_path, lexical=True).judge(job("single", 1), draft).reason == ""


def test_both_passages_of_a_question_need_evidence(tmp_path: Path) -> None:
    both = Draft("Do through-stones need as long as a kiln that stays shut?", "no", (TIE, SHUT))
    rules = filters(tmp_path)
    assert rules.judge(job("several", 0, 1), both).reason == ""
    assert len(rules.judge(job("several", 0, 1), both).spans) == 2
    assert rules.judge(job("several", 0, 1), both._replace(quotes=(TIE,))).reason == reasons.UNFOUND


def test_repeats_are_found_across_splits_and_against_questions_of_people(tmp_path: Path) -> None:
    """DeepEval #1925, ragas #1244: the same question many times."""
    rules = filters(tmp_path, questions=("How long is lime burned in a brick kiln?",))
    assert rules.repeats("How long is lime burned in a brick kiln?")
    assert rules.repeats("How long is lime burned in the kilns of brick?")
    assert rules.repeats("In a brick kiln, how long is lime burned?")
    assert not rules.repeats("What does a cart of lime cost at the quay?")
    rules.keep("What does a cart of lime cost at the quay?")
    assert rules.repeats("what does a cart of lime cost, at the quay")
    assert not rules.repeats("What does a cart of coal cost at the quay?")


@pytest.mark.parametrize(
    ("question", "text", "other"),
    [
        ("How long is bread baked in the oven?", GERMAN, True),
        ("Wie lange ist das Brot in dem Ofen und wann ist es fertig?", GERMAN, False),
        ("How do I create a sparse matrix from a scipy.sparse.lil_matrix?", WALL, False),
        ("窑要烧几天\uff1f", WALL, True),
        ("窑要烧几天\uff1f", "石灰在砖窑里烧九天\uff0c石头变白以前不打开出灰口。", False),
        ("How many days does the kiln burn?", "石灰在砖窑里烧九天\uff0c石头变白以前不打开出灰口。", True),
        ("axis=0?", WALL, False),
    ],
)
def test_the_language_is_that_of_the_document(question: str, text: str, other: bool) -> None:
    """ragas #1485, #439: questions in English about documents in another language."""
    assert other_language(question, text) is other


@pytest.mark.parametrize(
    "line",
    [
        "Here's a question that can be formed from the given context:",
        "Here are two potential questions based on the provided context information:",
        "Sure, here are 10 questions based on the provided context information:",
    ],
)
def test_talk_about_the_task_is_no_question(line: str) -> None:
    """llama_index #16745 and #10997: the model's introduction becomes a query."""
    assert fault(line, text_of("en"))


def test_parts_of_prompts_are_known() -> None:
    assert copied_prompt("How long must the stone soak before sharpen_blade hones a blade?")
    assert copied_prompt("Which parts stop a mortarless barrier from collapsing")
    assert copied_prompt("The passage alone must answer the question, in full")
    assert not copied_prompt("How long must a kiln burn before it is opened?")


def test_words_are_compared_by_their_stems_and_without_those_of_the_title() -> None:
    assert shared_words("Which walls are leaning?", "the wall leans") == 1.0
    assert shared_words("Which walls are leaning today?", "a wall", "walls") == 0.0
    assert shared_words("Which walls?", "x", "wall") == 1.0
    assert in_title("What is a lime kiln?", "Lime kilns", text_of("en"))
    assert not in_title("What does a lime kiln burn?", "Lime kilns", text_of("en"))
    assert not in_title("What is it?", "", text_of("en"))


def test_facts_are_whole_statements() -> None:
    text = (
        "## Notes\nIt is old. See the manual for more. Returned only if the flag is False and the list is short.\n\n"
        "where x is the value of the first entry of the list.\n\n>>> f(1, 2)\n\n"
        "The default of the flag is True in this version.\n"
    )
    found = list(facts_of(Passage("d", "T", 0, len(text), text)))
    assert found == [
        "Returned only if the flag is False and the list is short.",
        "The default of the flag is True in this version.",
    ]
    assert fact_of(Passage("d", "T", 0, 4, "None")) == ""


def test_a_question_is_named_by_its_title_if_it_says_nothing_else() -> None:
    assert named("How long must it burn?", "Lime kilns") == "In Lime kilns, how long must it burn?"
    assert named("How long must a kiln burn?", "Lime kilns") == "How long must a kiln burn?"
    assert named("What does scipy.fft.dct take?", "Lime kilns") == "What does scipy.fft.dct take?"
    assert named("", "Lime kilns") == ""


class Written(LocalWriter):
    """A local writer whose model is a function of what it is shown."""

    calls = 0

    def _fill(self, keys, texts, draw):  # type: ignore[no-untyped-def]
        type(self).calls += len(keys)
        rows = {
            key: f"How is {text.fact.split()[1]} done {draw or 'today'}?" for key, text in zip(keys, texts, strict=True)
        }
        self._keep(rows)


def test_a_local_model_writes_each_text_once(tmp_path: Path) -> None:
    kept = tmp_path / "state" / "written.jsonl"
    jobs = [job("single", 0), job("paraphrased", 1), job("several", 0, 1), job("unanswerable", 2)]

    def writer() -> Written:
        return Written(lambda: tmp_path, "small", "digest", kept, PASSAGES, lambda a, b: 0.9)

    first = writer().write(jobs, lambda done, total: None)
    assert Written.calls == 1 + 3 + 1 + 1
    assert all(draft.question.endswith("?") for draft in first)
    assert first[2].parts[0][0] == first[0].question
    assert len(first[2].quotes) == 2
    assert not first[3].answer
    kept.write_text(kept.read_text() + '{"key": "torn', encoding="utf-8")
    assert writer().write(jobs, lambda done, total: None) == first
    assert Written.calls == 6
    assert writer().estimate(jobs[1]).requests == 3
    assert writer().lacks(PASSAGES[0]) == ""
    assert writer().lacks(Passage("x", "", 0, 9, "no fact")) != ""
