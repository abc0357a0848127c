"""Chunks as passages: what is indexed, how judgements move to chunks, and how rankings of chunks are scored."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pocket
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from staged import folder, silent

from harness.data.datasets import load_dataset
from harness.data.formats import read_run, write_run
from harness.data.passages import Passages, passage
from harness.errors import ConfigError, DataError
from harness.execution.measurements import Measurements
from harness.gates.commands import score
from harness.planning.plan import build_plan
from harness.scoring import score_evidence
from harness.stages.chunk import ChunkSpec, chunk
from harness.stages.locate import LocateSpec, locate
from harness.stages.mine import Known, _know_neighbours
from harness.stages.project import ProjectSpec, Reader, project, projected, ranking, read_evidence
from harness.stages.retrieve import RUN_FILE
from harness.stages.shared import common
from harness.store import FolderStore
from harness.suite.files import parse_suite
from harness.suite.pipeline import Chunking
from harness.suite.sources import DatasetSource
from harness.text.chunks import words
from harness.values.measures import Measure
from harness.values.passages import Span, chunk_id, document_of, holds, holds_any, neighbours_of, span_of
from harness.values.records import Document, Pair, Reference, Run

KILN = Document(
    "kiln", "The kiln", "# Lime\n\nLime is burned at night. It takes nine hours.\n\n# Slate\n\nSlate is split by hand.",
)  # fmt: skip
FERRY = Document("ferry#1", "", "The ferry carries mail over the ice. In spring it rests.")
CORPUS = {KILN.doc_id: KILN, FERRY.doc_id: FERRY}
IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
PLACES = st.tuples(st.integers(0, 300), st.integers(1, 100)).map(lambda pair: (pair[0], pair[0] + pair[1]))
quick = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def at(document: Document, text: str) -> tuple[int, int]:
    start = document.text.index(text)
    return start, start + len(text)


def cut(out: Path, rule: ChunkSpec, corpus: dict[str, Document] = CORPUS) -> dict[str, Document]:
    common.write_corpus(folder(out, "documents"), corpus)
    chunk(rule, {"corpus": out / "documents"}, folder(out, "chunks"), 0, silent)
    return common.read_corpus(out / "chunks")


# Names and spans


@given(IDS, PLACES)
def test_the_id_of_a_chunk_names_its_span(doc_id: str, place: tuple[int, int]) -> None:
    assert span_of(chunk_id(doc_id, *place)) == Span(doc_id, *place)
    assert document_of(chunk_id(doc_id, *place)) == doc_id


@given(st.lists(st.integers(1, 80), min_size=1, max_size=12), PLACES)
def test_a_span_is_held_by_a_chunk_of_any_cover(lengths: list[int], span: tuple[int, int]) -> None:
    ends = [sum(lengths[: number + 1]) for number in range(len(lengths))]
    cover = list(zip([0, *ends[:-1]], ends, strict=True))
    if span[0] < ends[-1]:
        inside = (span[0], min(span[1], ends[-1]))
        assert any(holds(piece, inside) for piece in cover)


def test_a_chunk_that_only_touches_a_span_does_not_hold_it() -> None:
    assert not holds((0, 100), (95, 145))
    assert holds((0, 100), (60, 140))
    assert holds((100, 110), (0, 500))
    assert not holds_any((0, 10), ())


# Chunks


def test_chunks_are_documents_with_the_headings_above_them(tmp_path: Path) -> None:
    found = cut(tmp_path, ChunkSpec(by="headings", tokens=16))
    assert [one.title for one in found.values()][:2] == ["The kiln", "The kiln > Lime"]
    assert all(key == one.doc_id and document_of(key) in CORPUS for key, one in found.items())
    lookup = Passages(CORPUS)
    assert all(lookup[key] == one for key, one in found.items())


@quick
@given(
    st.lists(st.tuples(st.text(max_size=30), st.text(max_size=200)), min_size=1, max_size=4),
    st.sampled_from(["tokens", "sentences", "headings"]), st.integers(16, 40), st.integers(0, 8),
)  # fmt: skip
def test_chunks_cover_their_documents(
    tmp_path: Path, texts: list[tuple[str, str]], by: Any, tokens: int, overlap: int
) -> None:
    corpus = {f"d{number}": Document(f"d{number}", *one) for number, one in enumerate(texts)}
    found = cut(tmp_path, ChunkSpec(by=by, tokens=tokens, overlap=overlap), corpus)
    for doc_id, document in corpus.items():
        spans = [span for key in found if (span := span_of(key)) and span.doc_id == doc_id]
        assert spans[0].start == 0
        assert spans[-1].end == len(document.text)
        assert all(after.start <= before.end for before, after in pairwise(spans))


def test_a_chunk_that_is_called_like_a_document_is_refused(tmp_path: Path) -> None:
    corpus = {"d": Document("d", "", "short"), "d#0-5": Document("d#0-5", "", "another")}
    with pytest.raises(ValueError, match="a chunk of 'd' would have the id of the document 'd#0-5'"):
        cut(tmp_path, ChunkSpec(tokens=16), corpus)
    # Of another span it is no other's name.
    assert list(cut(tmp_path, ChunkSpec(tokens=16), {"d#0-9": Document("d#0-9", "", "another")})) == ["d#0-9#0-7"]


def test_a_title_counts_among_the_tokens(tmp_path: Path) -> None:
    text = " ".join(f"word{number}" for number in range(200))
    for title in ("", "a b c d e f g h"):
        found = cut(tmp_path, ChunkSpec(tokens=32), {"d": Document("d", title, text)})
        assert max(len(words(one.content)) for one in found.values()) == 30


def test_a_long_title_leaves_half_of_the_tokens(tmp_path: Path) -> None:
    text = " ".join(f"word{number}" for number in range(200))
    found = cut(tmp_path, ChunkSpec(tokens=32), {"d": Document("d", "long " * 100, text)})
    assert max(len(words(one.text)) for one in found.values()) == 14


def test_an_encoder_reads_its_chunks_whole(tmp_path: Path) -> None:
    from harness.models.loaders import load_bi_encoder, locate

    text = " ".join(f"Otorhinolaryngology{number}, says Ørsted." for number in range(120))
    rule = ChunkSpec(tokens=64, overlap=8, model="embedded:all-minilm-l6-v2")
    found = cut(tmp_path, rule, {"d": Document("d", "Ears and noses", text)})
    tokenizer = load_bi_encoder(locate("embedded:all-minilm-l6-v2"), 64).tokenizer
    lengths = [len(tokenizer(one.content)["input_ids"]) for one in found.values()]
    assert max(lengths) <= 64
    assert max(lengths) > 56


@pytest.mark.parametrize("overlap", [129, 256])
def test_an_overlap_of_more_than_half_is_refused(overlap: int) -> None:
    with pytest.raises(ValueError, match="at most half of the 256 tokens"):
        Chunking(overlap=overlap)


# Judgements in chunks


def located(out: Path, rule: LocateSpec, **given: Any) -> dict[str, dict[str, int]]:
    cut(out, ChunkSpec(by="sentences", tokens=16))
    inputs = {"corpus": out / "chunks"}
    writers: dict[str, Any] = {
        "qrels": common.write_judgements, "queries": common.write_queries, "spans": common.write_spans,
        "references": common.write_references,
    }  # fmt: skip
    for name, value in given.items():
        writers[name](folder(out, name), value)
        inputs[name] = out / name
    locate(rule, inputs, folder(out, "located"), 0, silent)
    return common.read_judgements(out / "located")


def test_a_span_makes_the_chunks_that_hold_it_relevant(tmp_path: Path) -> None:
    spans = {"q": {"kiln": (at(KILN, "It takes nine hours."),)}}
    (chunks,) = located(tmp_path, LocateSpec(), qrels={"q": {"kiln": 2}}, spans=spans).values()
    found = Passages(CORPUS)
    assert list(chunks.values()) == [2] * len(chunks)
    assert all("nine hours" in found[key].text for key in chunks)


def test_without_a_span_the_chunk_with_the_answer_is_relevant(tmp_path: Path) -> None:
    given = {"qrels": {"q": {"kiln": 1}}, "queries": {"q": "lime night burned"}}
    (by_words,) = located(tmp_path, LocateSpec(), **given).values()
    references = {"q": Reference("q", ("split by hand",))}
    (by_answer,) = located(tmp_path, LocateSpec(), **given, references=references).values()
    found = Passages(CORPUS)
    assert ["burned" in found[key].text for key in by_words] == [True]
    assert ["split by hand" in found[key].text for key in by_answer] == [True]


def test_every_chunk_of_a_document_can_be_judged_like_it(tmp_path: Path) -> None:
    (chunks,) = located(tmp_path, LocateSpec(every=True), qrels={"q": {"kiln": 1}}, queries={"q": "?"}).values()
    assert {document_of(key) for key in chunks} == {"kiln"}
    assert len(chunks) == sum(document_of(key) == "kiln" for key in common.read_corpus(tmp_path / "chunks"))


def test_pairs_move_to_the_chunk_that_they_are_about(tmp_path: Path) -> None:
    cut(tmp_path, ChunkSpec(by="sentences", tokens=16))
    start, end = at(KILN, "It takes nine hours.\n\n# Slate\n\nSlate is split by hand.")
    pairs = [Pair("how many hours", chunk_id("kiln", start, end), "question", "synthetic", "s1")]
    pairs += [
        Pair("who splits slate", "kiln", "question", "synthetic", "s2"),
        Pair("gone", "none", "question", "synthetic"),
    ]
    common.write_pairs(folder(tmp_path, "pairs"), pairs)
    inputs = {"corpus": tmp_path / "chunks", "pairs": tmp_path / "pairs"}
    locate(LocateSpec(), inputs, folder(tmp_path, "moved"), 0, silent)
    moved, found = common.read_pairs(tmp_path / "moved"), Passages(CORPUS)
    assert [pair.query_id for pair in moved] == ["s1", "s2"]
    assert "nine hours" in found[moved[0].doc_id].text
    assert "split by hand" in found[moved[1].doc_id].text


def test_a_chunk_that_overlaps_a_positive_is_no_negative(tmp_path: Path) -> None:
    chunks = [chunk_id("d", 0, 50), chunk_id("d", 40, 90), chunk_id("d", 90, 140), chunk_id("e", 0, 60)]
    assert neighbours_of(chunks) == {chunks[0]: [chunks[1]], chunks[1]: [chunks[0]]}
    known = Known([("q", chunks[0])])
    _know_neighbours(known, [Pair("q", chunks[0], "question", "judged", "1")], chunks, {})
    assert set(known.of("q")) == set(chunks[:2])
    common.write_queries(folder(tmp_path, "queries"), {"1": "q"})
    common.write_judgements(folder(tmp_path, "known"), {"1": {chunks[2]: 1, chunks[3]: 0}, "2": {chunks[3]: 1}})
    inputs = {"train_queries": tmp_path / "queries", "train_known": tmp_path / "known"}
    _know_neighbours(known, [], chunks, inputs)
    assert set(known.of("q")) == set(chunks[:3])


# Rankings by what was judged


@st.composite
def runs(draw: st.DrawFn) -> tuple[Run, dict[str, Document], dict[str, Any]]:
    """A run of chunks of some documents, and spans of some of them."""
    corpus = {f"d{number}": Document(f"d{number}", "", "word " * 40) for number in range(3)}
    pieces = [chunk_id(key, start, start + 40) for key in corpus for start in range(0, 200, 20) if start + 40 <= 200]
    chosen = draw(st.lists(st.sampled_from(pieces), unique=True, max_size=20))
    spans = draw(st.dictionaries(st.sampled_from(sorted(corpus)), st.lists(PLACES, min_size=1, max_size=2).map(tuple)))
    inside = {
        key: tuple((start % 190, min(200, start % 190 + 30)) for start, _ in places) for key, places in spans.items()
    }
    hits = [(key, float(len(chosen) - number)) for number, key in enumerate(chosen)]
    return {"q": hits}, corpus, {"q": inside} if inside else {}


@given(runs())
def test_no_document_stands_twice_in_a_projected_ranking(case: Any) -> None:
    run, corpus, spans = case
    (found,) = projected(run, corpus, spans).values()
    ids = [key for key, _ in found.hits]
    assert len(ids) == len(set(ids))
    assert [score for _, score in found.hits] == sorted((score for _, score in found.hits), reverse=True)
    if not spans:
        assert set(ids) == {document_of(key) for key, _ in run["q"]}


@given(runs())
def test_projecting_twice_changes_nothing(case: Any) -> None:
    run, corpus, spans = case
    once = {key: one.hits for key, one in projected(run, corpus, spans).items()}
    assert {key: one.hits for key, one in projected(once, corpus, spans).items()} == once


@given(st.dictionaries(IDS | st.just("d#0-5"), st.floats(-5, 5), max_size=12))
def test_a_ranking_of_whole_documents_stays_as_it_is(scores: dict[str, float]) -> None:
    # A document may be called like a chunk.
    reader = Reader({key: Document(key, "", "some text") for key in scores})
    assert ranking(list(scores.items()), reader, {}).hits == list(scores.items())


@given(runs())
def test_a_document_is_found_where_its_first_chunk_with_the_span_stands(case: Any) -> None:
    run, corpus, spans = case
    (found,) = projected(run, corpus, spans).values()
    for doc_id, places in spans.get("q", {}).items():
        holding = [
            score
            for key, score in run["q"]
            if (one := span_of(key)) and one.doc_id == doc_id and holds_any(one.place, places)
        ]
        assert [score for key, score in found.hits if key == doc_id] == holding[:1]
        assert (doc_id in found.words) == bool(holding)


def test_words_are_counted_to_the_end_of_the_evidence(tmp_path: Path) -> None:
    first, second = passage(FERRY, 0, 36), passage(KILN, *at(KILN, "Lime is burned at night. It takes nine hours."))
    write_run(folder(tmp_path, "run") / RUN_FILE, {"q": [(first.doc_id, 2.0), (second.doc_id, 1.0)]})
    common.write_corpus(folder(tmp_path, "documents"), CORPUS)
    common.write_spans(folder(tmp_path, "spans"), {"q": {"kiln": (at(KILN, "burned at night"),)}})
    inputs = {name: tmp_path / name for name in ("run", "spans")} | {"corpus": tmp_path / "documents"}
    project(ProjectSpec(), inputs, folder(tmp_path, "out"), 0, silent)
    # Seven words of the ferry, then "Lime is burned at night".
    words_read = read_evidence(tmp_path / "out")
    assert words_read == {"q": {"kiln": 12}}
    assert [key for key, _ in read_run(tmp_path / "out" / RUN_FILE, escaped=True)["q"]] == [first.doc_id, "kiln"]
    qrels, spans = {"q": {"kiln": 1}, "other": {"kiln": 1}}, {"q": {"kiln": ()}}
    within = [Measure("evidence", 11), Measure("evidence", 12)]
    assert score_evidence(words_read, qrels, spans, within, 1) == {within[0]: {"q": 0.0}, within[1]: {"q": 1.0}}


# Datasets with spans


def written(out: Path, spans: list[dict[str, Any]]) -> DatasetSource:
    rows = [{"_id": one.doc_id, "title": one.title, "text": one.text} for one in CORPUS.values()]
    files = {"corpus.jsonl": rows, "queries.jsonl": [{"_id": "1", "text": "nine?"}, {"_id": "2", "text": "mail?"}]}
    for name, values in {**files, "spans.jsonl": spans}.items():
        (out / name).write_text("".join(json.dumps(row) + "\n" for row in values), encoding="utf-8")
    (folder(out, "qrels") / "test.tsv").write_text(
        "query-id\tcorpus-id\tscore\n1\tkiln\t1\n1\tferry#1\t1\n2\tferry#1\t1\n"
    )
    return DatasetSource(path=str(out))


def test_spans_are_read_and_change_the_digest(tmp_path: Path) -> None:
    spans = [
        {"query_id": "1", "doc_id": "kiln", "start": 5, "end": 9},
        {"qid": 1, "corpus-id": "kiln", "start": 5, "end": 9},
    ]
    split = load_dataset(written(tmp_path, spans), "test").splits["test"]
    # A relevant document without a span is evidence as a whole, where the query has any span.
    assert split.spans == {"1": {"kiln": ((5, 9),), "ferry#1": ((0, len(FERRY.text)),)}}
    without = load_dataset(written(tmp_path, []), "test")
    assert "test.spans" not in without.digests
    assert not without.splits["test"].spans


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"query_id": "1", "doc_id": "kiln", "start": 9, "end": 5}, "start 9 and end 5 are no span"),
        ({"query_id": "1", "doc_id": "kiln", "start": 0.5, "end": 5}, "start 0.5 and end 5 are no span"),
        ({"query_id": "1", "doc_id": "kiln", "start": True, "end": 5}, "start True and end 5 are no span"),
        ({"query_id": "1", "doc_id": "kiln", "end": 5}, "start None and end 5 are no span"),
        ({"query_id": "1", "doc_id": "kiln", "start": 0, "end": 5000}, "the span ends at 5000, and the text of 'kiln'"),
        ({"doc_id": "kiln", "start": 0, "end": 5}, "no query_id"),
        ({"query_id": [1], "doc_id": "", "start": 0, "end": 5}, "no query_id and no doc_id"),
    ],
)  # fmt: skip
def test_a_span_that_means_nothing_is_refused(tmp_path: Path, row: dict[str, Any], said: str) -> None:
    with pytest.raises(DataError) as caught:
        load_dataset(written(tmp_path, [row]), "test")
    assert [problem.what.startswith(said) for problem in caught.value.problems] == [True]
    assert "spans.jsonl:1" in str(caught.value)


def test_a_span_without_a_judgement_is_left_out_and_counted(tmp_path: Path) -> None:
    spans = [
        {"query_id": "1", "doc_id": "kiln", "start": 5, "end": 9},
        {"query_id": "2", "doc_id": "kiln", "start": 0, "end": 4},
    ]
    dataset = load_dataset(written(tmp_path, spans), "test")
    assert [(repair.kind, repair.count) for repair in dataset.repairs] == [("absent-span", 1)]


# Plans


def test_without_chunking_no_key_changes_and_nothing_is_projected() -> None:
    plain, named = pocket.suite(), pocket.suite({"pipeline.chunking": None})
    plans = [build_plan(suite, pocket.dataset()) for suite in (plain, named)]
    assert plans[0].calls.keys() == plans[1].calls.keys()
    assert not {"chunk", "locate", "project"} & {planned.call.stage for planned in plans[0].calls.values()}


EVERY_STAGE: list[dict[str, Any]] = [
    {"staged": {"tune": ["retriever", "reranker", "generator"], "pairs": "both"}},
    {
        "judged": {
            "tune": ["retriever", "reranker", "generator"],
            "pairs": "judged",
            "instruct": {"answers": "references"},
        }
    },
    {"labelled": {"tune": ["retriever"], "retriever": {"recipe": "distill", "teacher": "fusion", "list_size": 4}}},
    {"structure": {"tune": ["retriever"], "pairs": "structure", "pipeline": {"retriever": {"bm25_weight": "dev"}}}},
]


@pytest.mark.parametrize("candidates", EVERY_STAGE, ids=lambda value: next(iter(value)))
def test_chunks_take_the_place_of_documents_everywhere(candidates: dict[str, Any]) -> None:
    changes = {"pipeline.chunking": {"tokens": 32}, "pipeline.reranker": {"kind": "late-interaction"}}
    shots = {"pipeline.generator.shots": 2, "data.synthesize.examples": "train", "recipes.generator.checkpoints": 2}
    suite = pocket.suite({**changes, **shots, "candidates": candidates})
    dataset = pocket.dataset()
    plan = build_plan(suite, dataset)
    (chunks,) = [key for key, planned in plan.calls.items() if planned.call.stage == "chunk"]
    documents = plan.artifacts.keys["corpus"]
    for planned in plan.calls.values():
        given, stage = planned.call.inputs.get("corpus"), planned.call.stage
        assert given in ({documents} if stage in ("chunk", "project") else {chunks, None}), stage
        for name in ("qrels", "dev_qrels", "train_qrels", "excluded", "references"):
            key = planned.call.inputs.get(name)
            if key is not None and stage != "locate":
                assert plan.calls[key].call.stage in ("locate", "sift"), (stage, name)
    for system in plan.systems:
        for run in filter(None, (system.run, system.dev_run)):
            assert plan.calls[run].call.stage == "project"


def test_candidates_with_other_chunks_share_the_written_queries() -> None:
    changes = {
        "pipeline.chunking": {"tokens": 64},
        "candidates": {
            "same": {"tune": ["retriever"]},
            "small": {"tune": ["retriever"], "pipeline": {"chunking": {"tokens": 32, "overlap": 8}}},
            "whole": {"pipeline": {"chunking": None}},
        },
    }
    plan = build_plan(pocket.suite(changes), pocket.dataset())
    stages = [planned.call.stage for planned in plan.calls.values()]
    assert stages.count("synthesize") == 1
    assert stages.count("chunk") == 2
    assert stages.count("tune_retriever") == 2
    assert plan.calls[str(plan.system("whole").run)].call.stage == "retrieve"
    small = (
        plan.system("small, seed 0") if any(one.label == "small, seed 0" for one in plan.systems) else plan.systems[-2]
    )
    assert small.settings.chunking == Chunking(tokens=32, overlap=8)


def test_a_dataset_that_is_cut_in_another_way_is_measured_alike(tmp_path: Path) -> None:
    dataset = pocket.dataset()
    identities = []
    for chunking in (None, {"tokens": 32}, {"by": "headings", "tokens": 64, "overlap": 8}):
        plan = build_plan(pocket.suite({"pipeline.chunking": chunking}), dataset)
        measured = Measurements(plan, dataset, FolderStore(tmp_path), tmp_path)
        identities.append({measure: measured.identity(measure, "test") for measure in measured.measures})
    assert identities[0] == identities[1] == identities[2]


def test_a_measure_of_evidence_needs_spans() -> None:
    with pytest.raises(ConfigError, match="evidence@100 needs judged spans of split 'test', and there are none"):
        build_plan(pocket.suite({"measures": ["ndcg@10", "evidence@100"]}), pocket.dataset())


def test_chunks_do_not_go_with_exclude_own() -> None:
    changes = {"pipeline.chunking": {"tokens": 64}, "evaluate.exclude_own": True}
    with pytest.raises(ConfigError, match="exclude_own cannot leave out"):
        parse_suite(pocket.suite_text(changes), Path("suite.yaml"))


def test_a_run_file_has_no_evidence_to_score(tmp_path: Path) -> None:
    (tmp_path / "run.trec").write_text("q Q0 d 1 2.0 tag\n", encoding="utf-8")
    (tmp_path / "qrels.tsv").write_text("q\td\t1\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="evidence@100 needs the passages and judged spans"):
        score(tmp_path / "run.trec", tmp_path / "qrels.tsv", ["evidence@100"])
