"""The dataset built from the installed SciPy. No text of SciPy's stands here; summaries below are invented."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import warnings
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from harness.data.builders import BUILDERS, Built, load_builder, scipy_symbols
from harness.data.builders.docstrings import entries, entry_names, parse_docstring, plain, prose
from harness.data.builders.questions import ASK, argument_question, question, third_person
from harness.data.builders.scipy_api import ARGUMENTS_A_GROUP, _groups, _split, build
from harness.data.builders.scipy_symbols import MODULES, Symbol, read_symbols
from harness.data.builders.scipy_symbols import usable as usable_symbols
from harness.data.builders.signatures import MAX_LENGTH, signature_of
from harness.errors import ConfigError

pytest.importorskip("scipy")
ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def full() -> Built:
    return build(None, 0.15, 0)


@pytest.fixture(scope="module")
def everything() -> Built:
    return build(None, 0.0, 0)


def usable() -> dict[str, Symbol]:
    return {symbol.name: symbol for symbol in usable_symbols()[0]}


def test_the_builder_is_found_by_its_name() -> None:
    assert load_builder("scipy-api").BUILDER_VERSION == 1
    with pytest.raises(ConfigError, match="did you mean 'scipy-api'"):
        load_builder("scipy-apis")
    assert set(BUILDERS) == {"scipy-api"}


def test_counts_are_of_the_expected_order(full: Built, everything: Built) -> None:
    assert 1_400 < full.source["usable_symbols"] < 1_700
    assert len(everything.documents) == full.source["usable_symbols"] == full.source["symbols"]
    assert len(full.documents) < len(everything.documents)
    assert len(full.queries) == len(everything.queries) == full.source["queries"]
    packages = {document.doc_id.split(".")[1] for document in everything.documents}
    assert packages == {module.split(".")[1] for module in MODULES}


def test_every_id_is_unique(full: Built) -> None:
    assert max(Counter(document.doc_id for document in full.documents).values()) == 1
    assert max(Counter(query.query_id for query in full.queries).values()) == 1
    texts = Counter((query.group, query.text.casefold()) for query in full.queries)
    assert max(texts.values()) == 1


def test_twins_are_relevant_to_each_other(everything: Built) -> None:
    qrels = everything.qrels
    both = {"scipy.fft.dct": 1, "scipy.fftpack.dct": 1}
    assert qrels["q:scipy.fft.dct"] == both
    assert qrels["q:scipy.fft.fft"] == qrels["q:scipy.fftpack.fft"] == {"scipy.fft.fft": 1, "scipy.fftpack.fft": 1}
    answers = everything.references["q:scipy.fft.dct"].answers
    assert [answer.partition("(")[0] for answer in answers] == list(both)


def test_one_name_for_two_things_is_one_group_but_two_answers(everything: Built) -> None:
    queries = {query.query_id: query for query in everything.queries}
    assert queries["q:scipy.linalg.norm"].group == queries["q:scipy.stats.norm"].group
    assert list(everything.qrels["q:scipy.stats.norm"]) == ["scipy.stats.norm"]
    assert list(everything.qrels["q:scipy.linalg.norm"]) == ["scipy.linalg.norm", "scipy.sparse.linalg.norm"]


def test_names_of_one_object_are_one_group() -> None:
    symbols = [symbol._replace(identity=7) for symbol in list(usable().values())[:2]]
    symbols.append(symbols[0]._replace(name="scipy.z.other", question=f"{ASK} stands alone?", identity=8))
    groups = _groups(symbols)
    assert [[symbol.name for symbol in group] for group in groups.values()] == [
        [symbols[0].name, symbols[1].name],
        ["scipy.z.other"],
    ]


def test_a_question_gives_neither_name_nor_answer_away(full: Built) -> None:
    names = set(usable())
    for query in full.queries:
        assert query.text.startswith(ASK)
        assert query.text.endswith("?")
        assert "\n" not in query.text
        assert "`" not in query.text
        assert query.query_id.removeprefix("q:") in names
        assert query.query_id.removeprefix("q:") not in query.text
        assert not any(answer in query.text for answer in full.references[query.query_id].answers)


@pytest.fixture(scope="module")
def both() -> Built:
    """The dataset with questions about arguments, a fifth of it unanswerable."""
    return build(200, 0.2, 0, arguments=True)


def test_questions_about_arguments_stand_beside_those_about_summaries(both: Built) -> None:
    alone = build(200, 0.2, 0)
    summaries = [query for query in both.queries if query.metadata["about"] == "summary"]
    assert [query._replace(metadata={"package": query.metadata["package"]}) for query in summaries] == alone.queries
    assert both.documents == alone.documents
    arguments = {query.query_id: query for query in both.queries if query.metadata["about"] == "argument"}
    assert 0.2 < len(arguments) / len(summaries) < 1
    assert max(Counter(query.group for query in arguments.values()).values()) <= ARGUMENTS_A_GROUP
    splits = {query.group: both.splits[query.query_id] for query in summaries}
    assert all(both.splits[key] == splits[query.group] for key, query in arguments.items())


def test_a_question_about_an_argument_is_answered_by_every_passage_that_explains_it(both: Built) -> None:
    documents = {document.doc_id: document.content.casefold() for document in both.documents}
    asked = [query for query in both.queries if query.metadata["about"] == "argument"]
    answered = 0
    for query in asked:
        meaning = re.sub(r"^.* (takes|can be told) ", "", query.text, count=1).rstrip("?").casefold()
        if both.references[query.query_id].answerable:
            answered += 1
            assert any(meaning in documents[name] for name in both.qrels[query.query_id]), query.text
        else:
            assert query.query_id not in both.qrels
    assert 0 < answered < len(asked)
    # Two groups never ask the same.
    assert len({query.text.casefold() for query in asked}) == len(asked)


@pytest.mark.parametrize(
    ("meaning", "asked"),
    [
        ("The number of taps in the FIR filter. Even is refused.", "takes the number of taps in the FIR filter?"),
        ("Whether to check that the input holds only finite numbers.",
         "can be told whether to check that the input holds only finite numbers?"),
        ("N-length list of the sizes of each axis", None),
        ("An axis", None),
        ("If True, the input is overwritten and nothing is returned", None),
        ("The norm to be used for the vectors (see Notes)", None),
    ],
)  # fmt: skip
def test_argument_to_question(meaning: str, asked: str | None) -> None:
    assert argument_question(meaning) == (asked and f"{ASK} {asked}")


def test_a_document_lacks_its_summary_and_holds_its_answer_once(everything: Built) -> None:
    documents = {document.doc_id: document for document in everything.documents}
    for name, symbol in usable().items():
        content = documents[name].content
        assert content.startswith(symbol.answer + "\n")
        assert symbol.answer.startswith(name + "(")
        assert symbol.answer.endswith(")")
        assert content.count(name + "(") == 1
        assert "\n" not in symbol.answer
        assert "0x" not in symbol.answer
        assert len(symbol.answer) <= len(name) + MAX_LENGTH
        sentences = re.split(r"(?<=\.)\s+|\n", content)
        assert symbol.summary.rstrip(".") not in {sentence.strip().rstrip(".") for sentence in sentences}
    restated = [symbol.name for symbol in usable().values() if symbol.summary.rstrip(".") in symbol.body]
    assert len(restated) < 60, "a summary may stand in a longer sentence, but seldom"


def test_the_answer_stands_in_each_relevant_document(full: Built) -> None:
    content = {document.doc_id: document.content for document in full.documents}
    judged = 0
    for query_id, relevant in full.qrels.items():
        reference = full.references[query_id]
        assert tuple(relevant) == reference.source_passages
        for answer, doc_id in zip(reference.answers, relevant, strict=True):
            assert answer in content[doc_id]
            judged += 1
    assert judged >= len(full.qrels) > 1_000


def test_groups_never_cross_splits(full: Built) -> None:
    of_group: dict[str, set[str]] = {}
    for query in full.queries:
        of_group.setdefault(query.group, set()).add(full.splits[query.query_id])
    assert all(len(splits) == 1 for splits in of_group.values())
    shares = Counter(split for splits in of_group.values() for split in splits)
    for split, share in (("train", 0.50), ("dev", 0.15), ("test", 0.35)):
        assert shares[split] / len(of_group) == pytest.approx(share, abs=0.04)


def test_a_split_depends_on_group_and_seed_alone() -> None:
    names = [f"scipy.made.up{number}" for number in range(40)]
    assert [_split(name, 0) for name in names] != [_split(name, 1) for name in names]
    few, many = build(60, 0.0, 0), build(120, 0.0, 0)
    shared = few.splits.keys() & many.splits.keys()
    assert shared
    assert all(few.splits[query_id] == many.splits[query_id] for query_id in shared)


def test_removed_groups_leave_no_document(full: Built, everything: Built) -> None:
    kept = {document.doc_id for document in full.documents}
    group_of = {query.query_id: query.group for query in full.queries}
    removed = {group_of[query_id] for query_id, ref in full.references.items() if not ref.answerable}
    assert len(removed) == full.source["groups_removed"] > 100
    for query in full.queries:
        reference = full.references[query.query_id]
        once = everything.qrels[query.query_id]
        if query.group in removed:
            assert reference.answers == ()
            assert not reference.answerable
            assert query.query_id not in full.qrels
            assert not kept & once.keys()
        else:
            assert full.qrels[query.query_id] == once
            assert once.keys() <= kept


@pytest.mark.parametrize("share", [0.0, 0.15, 0.4])
def test_the_unanswerable_share_is_met_in_every_split(share: float) -> None:
    built = build(None, share, 3)
    for split in ("train", "dev", "test"):
        references = [built.references[query_id] for query_id, of in built.splits.items() if of == split]
        found = sum(not reference.answerable for reference in references) / len(references)
        assert found == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize("symbols", [60, 350])
def test_a_sample_keeps_whole_groups_of_every_package(symbols: int) -> None:
    built = build(symbols, 0.0, 0)
    assert symbols - 3 <= len(built.documents) <= symbols
    kept = {document.doc_id for document in built.documents}
    for query in built.queries:
        assert built.qrels[query.query_id].keys() <= kept
    groups = _groups(usable_symbols()[0])
    assert all(kept.issuperset(s.name for s in groups[name]) for name in {query.group for query in built.queries})
    assert len({name.split(".")[1] for name in kept}) == len({module.split(".")[1] for module in MODULES})
    assert kept != {document.doc_id for document in build(symbols, 0.0, 1).documents}


DIGEST = """
import warnings
warnings.simplefilter("error")
from harness.data.builders.scipy_api import build
from harness.hashing import digest_of
built = build(60, 0.15, 0)
queries = [[q.query_id, q.text, q.group, dict(q.metadata)] for q in built.queries]
print(digest_of([built.documents, queries, list(built.qrels.items()), list(built.references.items()),
                 list(built.splits.items()), built.source]))
"""


def test_two_processes_build_the_same_without_a_warning(tmp_path: Path) -> None:
    def run(seed: str, cache: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", DIGEST]
        env = {**os.environ, "PYTHONHASHSEED": seed, "XDG_CACHE_HOME": str(tmp_path / cache)}
        return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)

    # The third process takes what the second one kept.
    printed = [run("1", "first"), run("2", "second"), run("3", "second")]
    assert [(done.returncode, done.stderr) for done in printed] == [(0, "")] * 3
    assert printed[0].stdout == printed[1].stdout == printed[2].stdout != ""
    assert len([*tmp_path.glob("*/*/scipy-api/*.json")]) == 2


def test_warnings_of_deprecated_names_stay_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    def pour(mug: int = 1) -> None:
        """Pour some tea slowly.

        It must be hot.
        """

    def warn(name: str) -> object:
        warnings.warn(f"{name} is old", DeprecationWarning, stacklevel=1)
        return pour

    module = ModuleType("scipy.kitchen")
    vars(module).update(__all__=["pour"], __getattr__=warn)
    monkeypatch.setitem(sys.modules, "scipy.kitchen", module)
    monkeypatch.setattr(scipy_symbols, "MODULES", ("scipy.kitchen", "scipy.not_there"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (symbol,), _ = read_symbols()
    assert symbol.answer == "scipy.kitchen.pour(mug=1)"
    assert symbol.body == "It must be hot."


@pytest.mark.parametrize(
    ("summary", "asked"),
    [
        ("Compute the tidal height of a bay.", "computes the tidal height of a bay"),
        ("Apply a wobble to the crane.", "applies a wobble to the crane"),
        ("Polishes a very old lens", "gives polishes a very old lens"),
        ("Returns the colour of a kite.", "returns the colour of a kite"),
        ("Find and return the missing sock:", "finds and returns the missing sock"),
        ("Recursively find the lost sock.", "recursively finds the lost sock"),
        ("Filter a river of noise.", "filters a river of noise"),
        ("Filter for rivers of noise.", "gives the filter for rivers of noise"),
        ("A very Cauchy kind of tea.", "is a very Cauchy kind of tea"),
        ("The weight of a feather.", "gives the weight of a feather"),
        ("Bessel curve of the third mug.", "gives the Bessel curve of the third mug"),
        ("Modified curve of the third mug.", "gives the modified curve of the third mug"),
        ("Zeros of the mug curve.", "gives zeros of the mug curve"),
        ("Base class for all mugs.", "is a base class for all mugs"),
        ("Abstract solver for all mugs.", "is an abstract solver for all mugs"),
        ("FFT of the mug curve.", "gives the FFT of the mug curve"),
        ("Owen's curve of mugs.", "gives Owen's curve of mugs"),
        ("Is a mug of clay?", "answers: is a mug of clay"),
    ],
)
def test_summary_to_question(summary: str, asked: str) -> None:
    assert question(summary) == f"{ASK} {asked}?"


def test_a_condition_comes_first() -> None:
    assert question("Given a mug, compute its tea.") == f"{ASK}, given a mug, computes its tea?"


@pytest.mark.parametrize("summary", ["", "Two words", "Gamma.", "-- not a sentence"])
def test_what_asks_for_nothing_gives_no_question(summary: str) -> None:
    assert question(summary) is None


def test_third_person() -> None:
    verbs = ("compute", "apply", "display", "pass", "fix", "stretch", "go")
    assert [third_person(verb) for verb in verbs] == [
        "computes", "applies", "displays", "passes", "fixes", "stretches", "goes"
    ]  # fmt: skip


DOCSTRING = """brew(leaves, pot=None)

Brew some `tea`, e.g. a green one. It takes a while.

It is :func:`~kitchen.boil` that heats the ``water`` [1]_.

.. versionadded:: 0.3
    Now with milk.

.. math::

    t = 2 s

Parameters
----------
leaves, herbs : list of str
    What goes in. Not `sugar`;
    honey at most.
\\*more : int

References
----------
.. [1] A cook book.
"""


def test_a_docstring_falls_into_its_parts() -> None:
    doc = parse_docstring(DOCSTRING, "brew")
    assert doc.signature == "(leaves, pot=None)"
    assert doc.summary == "Brew some tea, e.g. a green one."[:-1]
    assert doc.description == "It takes a while.\n\nIt is boil that heats the water.\n\nt = 2 s"
    assert entries(doc.sections["Parameters"]) == (
        "leaves, herbs : list of str\n    What goes in. Not sugar; honey at most.\n*more : int"
    )
    assert entry_names(doc.sections["Parameters"]) == ["leaves", "herbs", "*more"]
    assert list(doc.sections) == ["Parameters", "References"]
    assert parse_docstring("", "brew").summary == ""


def test_markup_becomes_plain_text() -> None:
    assert plain("see :ref:`the  kettle <kettle>` and `a pot <http://pot>`__ *now*") == "see the kettle and a pot now"
    assert plain("2*x*y stays, **bold** goes, \\*args too::") == "2*x*y stays, bold goes, *args too:"
    assert prose("One\nline.\n\n- a\n- b\n  c\n\n=== ===\n a   b\n=== ===") == "One line.\n\n- a\n- b c\n\na b"


def test_signatures_hold_no_address_and_no_private_name() -> None:
    empty = parse_docstring("", "pour")

    def pour(x: int, key: object = object(), by: object = len, kind: type = float, _memo: int = 0) -> None: ...

    assert signature_of(pour, empty) == "(x, key=..., by=len, kind=float)"
    assert signature_of(lambda *args, **kwargs: None, empty) == "(*args, **kwargs)"
    assert signature_of(lambda *args: None, parse_docstring("pour(x, \\*y)\n\nPour it.", "pour")) == "(x, *y)"
    assert signature_of(3, empty) is None


def test_a_long_signature_is_cut_at_a_comma() -> None:
    names = [f"parameter_{number}" for number in range(40)]
    text = f"pour({', '.join(names)})\n\nPour."
    cut = signature_of(3, parse_docstring(text, "pour"))
    assert cut is not None
    assert len(cut) <= MAX_LENGTH
    assert cut.endswith(", ...)")
    assert cut[1:].split(", ")[:-1] == names[: cut.count(", ")]
