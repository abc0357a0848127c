"""A suite file is read whole or refused with all of its mistakes, each with file, line, key and the right name."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pocket
import pytest
import yaml

from harness.errors import ConfigError
from harness.suite.files import load_suite, parse_suite
from harness.values.measures import parse

GOOD = """\
schema: harness/suite-2
name: good
dataset: {builder: scipy-api}
measures: [ndcg@10]
"""
FILE = Path("s.yaml")
BOUNDS_WANTED = "a gate on a measure needs 'margin'; on a probe, 'relative' or 'ceiling'"


def problems_of(text: str, path: Path = FILE) -> list[str]:
    """What is said about a suite, one sentence a problem."""
    with pytest.raises(ConfigError) as caught:
        parse_suite(textwrap.dedent(text), path)
    assert caught.value.exit_code == 2
    return [str(problem) for problem in caught.value.problems]


def problems_with(more: str) -> list[str]:
    """What is said about a good suite with more lines (the first of them is line 5)."""
    return problems_of(GOOD + textwrap.dedent(more))


def test_a_good_suite_has_defaults() -> None:
    suite = parse_suite(GOOD, FILE)
    assert suite.measures == (parse("ndcg@10"),)
    assert (suite.pipeline.depth, suite.seeds, suite.candidates) == (100, (0,), {})
    assert suite.baseline_rows == ("closed-book", "bm25", "hybrid", "untuned", "few-shot", "oracle-context")


def test_all_mistakes_of_a_file_come_at_once() -> None:
    text = """\
        schema: harness/suite-2
        name: Bad Name
        nmae: x
        dataset: {path: "${HARNESS_NOWHERE}/a", grup: {doc_id_prefix: "-"}}
        evaluate: {split: tset}
        pipeline:
          retriever: {modl: a}
          generator: null
          depth: 50
          context: 60
          reranker: {model: x}
        data: {synthesize: {kinds: [question, question, kyword], round_trip: {kk: 3}}}
        candidates:
          retriever: {tune: [retriever], retriever: {epoch: 1}}
          bm25: {tune: [retriever]}
          staged: {tune: retriever}
          x: {tune: [retriever]}
          x: {tune: [retriever]}
        measures: [ndgc@10, ndcg@10, ndcg@10, recall@100, token_f1]
        gates:
          - {measur: ndcg@10, margin: 1}
          - {measure: ndcg@10, margin: 1, relative: 2}
          - {measure: ndcg@10, margin: 1}
          - {measure: ndcg@10, margin: 2}
        seeds: [0, 1.5, -1]
        """
    assert sorted(problems_of(text)) == sorted(
        [
            "s.yaml:2: name: should be lower-case words joined by '-', not 'Bad Name'",
            "s.yaml:3: nmae: unknown key; did you mean 'name'?",
            "s.yaml:4: dataset.path: the environment variable HARNESS_NOWHERE is not set; export HARNESS_NOWHERE=...",
            "s.yaml:4: dataset.grup: unknown key; did you mean 'group'?",
            "s.yaml:5: evaluate.split: 'tset' is not allowed; did you mean 'test'?",
            "s.yaml:7: pipeline.retriever.modl: unknown key; did you mean 'model'?",
            "s.yaml:10: pipeline.context: more than pipeline.depth 50; raise the depth",
            "s.yaml:12: data.synthesize.kinds.1: 'question' is named twice (first in line 12); keep one",
            "s.yaml:12: data.synthesize.kinds.2: 'kyword' is not allowed; did you mean 'keyword'?",
            "s.yaml:12: data.synthesize.round_trip.kk: unknown key; did you mean 'k'?",
            "s.yaml:14: candidates.retriever.retriever.epoch: unknown key; did you mean 'epochs'?",
            "s.yaml:15: candidates.bm25: 'bm25' is the name of a baseline row; rename the candidate",
            "s.yaml:16: candidates.staged.tune: should be a list, not 'retriever'",
            "s.yaml:18: candidates.x: 'x' is named twice (first in line 17); keep one",
            "s.yaml:19: measures.0: unknown measure 'ndgc@10'; did you mean 'ndcg@10'?",
            "s.yaml:19: measures.2: 'ndcg@10' is named twice (first in line 19); keep one",
            "s.yaml:19: measures.3: recall@100 has a cutoff above pipeline.depth 50; raise the depth",
            "s.yaml:19: measures.4: token_f1 needs a generator; add pipeline.generator",
            "s.yaml:21: gates.0.measur: unknown key; did you mean 'measure'?",
            f"s.yaml:22: gates.1: {BOUNDS_WANTED}",
            "s.yaml:24: gates.3.measure: ndcg@10 has two gates; keep one",
            "s.yaml:25: seeds.1: should be a valid integer, not 1.5",
            "s.yaml:25: seeds.2: should be greater than or equal to 0, not -1",
        ]
    )


@pytest.mark.parametrize(
    ("more", "key", "right"),
    [
        ("titel: x", "titel", "title"),
        ("dataset2: x", "dataset2", "dataset"),
        ("evaluate: {splt: test}", "evaluate.splt", "split"),
        ("pipeline: {dept: 3}", "pipeline.dept", "depth"),
        ("pipeline: {generator: {modell: x}}", "pipeline.generator.modell", "model"),
        ("llm: {synthesiser: {model: x}}", "llm.synthesiser", "synthesizer"),
        ("llm: {synthesizer: {modle: x}}", "llm.synthesizer.modle", "model"),
        ("data: {synthesise: {}}", "data.synthesise", "synthesize"),
        ("data: {synthesize: {kind: [claim]}}", "data.synthesize.kind", "kinds"),
        ("data: {synthesize: {round_trip: {bye: bm25}}}", "data.synthesize.round_trip.bye", "by"),
        ("data: {mine: {heard: 1}}", "data.mine.heard", "hard"),
        ("candidates: {staged: {tune: [retriever], tunes: 1}}", "candidates.staged.tunes", "tune"),
        ("candidates: {retriever: {tune: [retriever], tunes: 1}}", "candidates.retriever.tunes", "tune"),
        ("candidates: {a: {tune: [retriever], mine: {rand: 1}}}", "candidates.a.mine.rand", "random"),
        ("recipes: {retreiver: {}}", "recipes.retreiver", "retriever"),
        ("recipes: {retriever: {learning-rate: 0.1}}", "recipes.retriever.learning-rate", "learning_rate"),
        ("answer_format: {pattern: x, patern: x}", "answer_format.patern", "pattern"),
        ("utility: {rigth: exact_match}", "utility.rigth", "right"),
        ("gates: [{measure: ndcg@10, margin: 1, mesure: 1}]", "gates.0.mesure", "measure"),
        ("prices: {gpu_hours: 1}", "prices.gpu_hours", "gpu_hour"),
        ("rows: [bm25]", "rows", "baseline_rows"),
        ("reference_rows: [bm25]", "reference_rows", "baseline_rows"),
        ("strategies: {}", "strategies", "candidates"),
        ("metrics: [ndcg@10]", "metrics", "measures"),
        ("limits: {p95: 1}", "limits.p95", "max_p95_ms"),
        ("limits: {usd: 1}", "limits.usd", "max_build_usd"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest_right_one(more: str, key: str, right: str) -> None:
    assert problems_with(more) == [f"s.yaml:5: {key}: unknown key; did you mean {right!r}?"]


@pytest.mark.parametrize(
    ("text", "key", "right"),
    [
        ("nmae: x\ndataset: {path: .}\nmeasures: [ndcg@10]", "nmae", "name"),
        ("name: x\ndatasets: {path: .}\nmeasures: [ndcg@10]", "datasets", "dataset"),
        ("name: x\ndataset: {path: .}\nmetrics: [ndcg@10]", "metrics", "measures"),
        ("name: x\ndataset: {path: .}\nmeasures: [ndcg@10]\ngates: [{mesure: ndcg@10, margin: 1}]", "gates.0.mesure",
         "measure"),
    ],
)  # fmt: skip
def test_a_misspelt_key_is_not_told_as_missing_too(text: str, key: str, right: str) -> None:
    (problem,) = problems_of(f"schema: harness/suite-2\n{text}\n")
    assert problem.split(": ", 1)[1] == f"{key}: unknown key; did you mean {right!r}?"


def test_an_unknown_key_near_to_none_is_answered_with_those_there_are() -> None:
    assert problems_with("prices: {xyz: 1}") == [
        "s.yaml:5: prices.xyz: unknown key; known here: cpu_hour, gpu_hour, right_answer"
    ]


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ("pipeline: 5", "pipeline: should be a mapping, not 5"),
        ("candidates: [a]", "candidates: should be a mapping, not ['a']"),
        ("gates: {measure: x}", "gates: should be a list, not {'measure': 'x'}"),
        ("pipeline: {depth: ten}", "pipeline.depth: should be a valid integer, not 'ten'"),
        ("pipeline: {depth: true}", "pipeline.depth: should be a valid integer, not True"),
        ("pipeline: {depth: 0}", "pipeline.depth: should be greater than or equal to 1, not 0"),
        ("title: 5", "title: should be a valid string, not 5"),
        ("failure_limit: 2", "failure_limit: should be less than or equal to 1, not 2"),
        ("prices: {gpu_hour: .inf}", "prices.gpu_hour: should be a finite number, not inf"),
        ("data: {pairs: judge}", "data.pairs: 'judge' is not allowed; did you mean 'judged'?"),
        ("baseline_rows: [untuned, bm52]", "baseline_rows.1: 'bm52' is not allowed; did you mean 'bm25'?"),
        ("published: {x: {mpa@9: 1}}", "published.x.mpa@9: unknown measure 'mpa@9'; did you mean 'map@9'?"),
        (
            "candidates: {a: {pairs: both}}",
            "candidates.a: changes nothing; name parts to 'tune', or settings that differ under 'pipeline'",
        ),
        ("seeds: []", "seeds: should be a list that is not empty, not []"),
        ("data: {data_seed: -1}", "data.data_seed: should be greater than or equal to 0, not -1"),
    ],
)  # fmt: skip
def test_a_value_of_a_wrong_type_or_size(more: str, problem: str) -> None:
    assert problems_with(more) == [f"s.yaml:5: {problem}"]


@pytest.mark.parametrize(
    ("more", "problems"),
    [
        ("pipeline: {depth: 9}", ["4: measures.0: ndcg@10 has a cutoff above pipeline.depth 9; raise the depth"]),
        ("pipeline: {depth: 10, context: 11}", ["5: pipeline.context: more than pipeline.depth 10; raise the depth"]),
        ("gates: [{measure: mrr@3, margin: 0}]", ["5: gates.0.measure: mrr@3 is not measured; add it to 'measures'"]),
        (
            "gates: [{probe: p50_ms, relative: 1}, {probe: p50_ms, relative: 1}]",
            ["5: gates.1.probe: p50_ms has two gates; keep one"],
        ),
        (
            "baseline_rows: [bm25]",
            ["5: baseline_rows: 'untuned' is missing: gains are measured against it; add it"],
        ),
        (
            "data: {synthesize: {queries_per_document: 3}}",
            [
                "5: data.synthesize.queries_per_document: 3 queries of 2 kinds would be alike at temperature 0; "
                "add kinds or raise the temperature"
            ],
        ),
        (
            "candidates: {few-shot: {tune: [retriever]}}",
            ["5: candidates.few-shot: 'few-shot' is the name of a baseline row; rename the candidate"],
        ),
        ("seeds: [0, 1, 0]", ["5: seeds.2: '0' is named twice (first in line 5); keep one"]),
        ("seeds: [1, 01]", ["5: seeds: named twice: 1"]),
        ("dataset: {builder: scipy-api}", ["5: dataset: 'dataset' is named twice (first in line 3); keep one"]),
        (
            "gates: [{measure: ndcg@10}]",
            [f"5: gates.0: {BOUNDS_WANTED}"],
        ),
        (
            "answer_format: {pattern: '('}",
            ["5: answer_format.pattern: not a regular expression: missing ), unterminated subpattern at position 0"],
        ),
    ],
)
def test_what_does_not_go_together(more: str, problems: list[str]) -> None:
    assert problems_with(more) == [f"s.yaml:{problem}" for problem in problems]


def test_answer_measures_need_a_generator_and_a_pattern() -> None:
    text = GOOD.replace("ndcg@10", "key_match, utility") + "pipeline: {generator: null}\nutility: {right: key_match}\n"
    assert problems_of(text) == [
        "s.yaml:4: measures.0: key_match needs a generator; add pipeline.generator",
        "s.yaml:4: measures.0: key_match needs a pattern; add answer_format: {pattern: ...}",
        "s.yaml:4: measures.1: utility needs a generator; add pipeline.generator",
        "s.yaml:6: utility.right: key_match needs a pattern; add answer_format: {pattern: ...}",
    ]


@pytest.mark.parametrize(
    "more",
    [
        "pipeline: {depth: ten}",
        "pipeline: {depth: 5, generator: {modl: x}, depht: 3}",
        "measures: [ndcg@1, ndgc@10]\ngates: [{measure: ndcg@10, margin: 0}]",
        "gates: [{measure: ndcg@10, margn: 0}]",
        "measures: 5\ngates: [{measure: ndcg@10, margin: 0}]",
        "data: {synthesize: {queries_per_document: 3, temperature: hot}}",
        "data: {synthesize: {queries_per_document: 3, kinds: [a, b, c]}}",
        "measures: [key_match]\nanswer_format: {patern: x}",
        "dataset: {pth: x}",
    ],
)
def test_no_mistake_is_blamed_for_what_another_left_open(more: str) -> None:
    """What cannot be judged before a first mistake is mended is not judged."""
    repeated = [line.split(":")[0] for line in more.splitlines()]
    text = "".join(line + "\n" for line in GOOD.splitlines() if line.split(":")[0] not in repeated) + more
    innocent = ("not measured", "alike", "needs a pattern", "belongs to", "at least", "deeper than pipeline.depth 100")
    problems = problems_of(text)
    assert not [problem for problem in problems if any(word in problem for word in innocent)]


def test_conflicts_are_found_beside_other_mistakes() -> None:
    """The numbers of list items are those of the file, whatever else is wrong in the list."""
    text = GOOD.replace("[ndcg@10]", "[ndgc@1, mrr@2, mrr@2, recall@100]") + "pipeline: {depth: 20}\nxyzzy: 1\n"
    assert problems_of(text) == [
        "s.yaml:4: measures.2: 'mrr@2' is named twice (first in line 4); keep one",
        "s.yaml:4: measures.0: unknown measure 'ndgc@1'; did you mean 'ndcg@1'?",
        "s.yaml:4: measures.3: recall@100 has a cutoff above pipeline.depth 20; raise the depth",
        "s.yaml:6: xyzzy: unknown key; remove it, or see the suite that 'harness init DIR' writes: "
        "it explains every key",
    ]


def test_a_measure_named_twice_does_not_hide_what_is_not_measured() -> None:
    text = GOOD.replace("[ndcg@10]", "[ndcg@10, ndcg@10]") + "gates: [{measure: mrr@10, margin: 0}]\n"
    assert problems_of(text) == [
        "s.yaml:4: measures.1: 'ndcg@10' is named twice (first in line 4); keep one",
        "s.yaml:5: gates.0.measure: mrr@10 is not measured; add it to 'measures'",
    ]


def test_what_is_missing_is_named() -> None:
    assert problems_of("title: x") == [
        "s.yaml:1: schema: missing; add 'schema: harness/suite-2'",
        *(f"s.yaml:1: {key}: missing; add '{key}:'" for key in ("name", "dataset", "measures")),
    ]
    assert problems_of(GOOD.replace("suite-2", "suite-3")) == [
        "s.yaml:1: schema: 'harness/suite-3' is not allowed; did you mean 'harness/suite-2'?"
    ]


@pytest.mark.parametrize(
    ("dataset", "said"),
    [
        ("{}", "dataset: give one of 'path', 'source' and 'builder'"),
        ("{path: ., builder: scipy-api}", "dataset: give one of 'path', 'source' and 'builder'"),
        ("{path: ., symbols: 5}", "dataset: symbols: only for a 'builder'"),
        ("{builder: scipy}", "dataset.builder: 'scipy' is not allowed; did you mean 'scipy-api'?"),
        ("{path: ., group: {}}", "dataset.group: give either 'doc_id_prefix' or 'metadata'"),
        ("{path: ., group: {doc_id_prefix: ''}}", "dataset.group.doc_id_prefix: string should have at least 1"),
    ],
)  # fmt: skip
def test_a_data_set_is_a_folder_or_a_builder(dataset: str, said: str) -> None:
    (problem,) = problems_of(GOOD.replace("{builder: scipy-api}", dataset))
    assert problem.startswith(f"s.yaml:3: {said}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "s.yaml: a suite is a mapping; start it with 'schema: harness/suite-2'"),
        ("- a\n- b", "s.yaml: a suite is a mapping; start it with 'schema: harness/suite-2'"),
        ("name: [a\nb: c", "s.yaml:2: not YAML: did not find expected ',' or ']'"),
        ("a: 1\n\tb: 2", "s.yaml:2: not YAML: found character"),
        ("? [a, b]\n: c", "s.yaml:1: not YAML: found unhashable key"),
        ("name: !!python/name:os.system x", "s.yaml:1: not YAML: could not determine a constructor for the tag "),
        ("name: 2026-13-77", "s.yaml: not YAML: month must be in 1..12"),
        ("a: \x07", "s.yaml: not YAML: "),
        ("--- {a: 1}\n--- {b: 1}", "s.yaml:2: not YAML: but found another document"),
        ("a: &a {b: *a}", "s.yaml:1: a.b.b: nested too deeply, or holds itself; write it flat"),
    ],
)
def test_what_is_no_mapping_is_refused_with_its_line(text: str, said: str) -> None:
    (problem,) = problems_of(text)
    if "did not find" in said:  # the two parsers of PyYAML word it differently
        said = said.split(": did")[0]
    assert problem.startswith(said)
    assert "\n" not in problem


def test_keys_that_are_no_words() -> None:
    assert any("keys should be strings, not 1" in problem for problem in problems_of(GOOD + "1: 2\n"))
    assert problems_with("candidates: {1: {tune: [retriever]}}")[0].startswith("s.yaml:5: candidates.1: ")


def test_the_folder_of_a_data_set_is_relative_to_the_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "suite.yaml").write_text(GOOD.replace("{builder: scipy-api}", '{path: "${HARNESS_X}ta"}'))
    monkeypatch.delenv("HARNESS_X", raising=False)
    with pytest.raises(ConfigError, match="HARNESS_X is not set"):
        load_suite(tmp_path)
    monkeypatch.setenv("HARNESS_X", "da")
    with pytest.raises(ConfigError) as caught:
        load_suite(tmp_path)
    where = f"{tmp_path / 'suite.yaml'}:3: dataset.path"
    assert str(caught.value).startswith(f"{where}: no folder {tmp_path / 'data'}; give a folder")
    (tmp_path / "data").mkdir()
    for name in (tmp_path, tmp_path / "suite.yaml", str(tmp_path)):
        suite, path = load_suite(name)
        assert suite.dataset.path == str(tmp_path / "data")
        assert path == tmp_path / "suite.yaml"


def test_a_file_that_is_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "suite.yaml").write_bytes(b"name: \xff")
    with pytest.raises(ConfigError, match=r"suite\.yaml: not UTF-8 at byte 6; save the file as UTF-8"):
        load_suite(tmp_path)


def test_a_suite_that_there_is_not() -> None:
    with pytest.raises(ConfigError) as caught:
        load_suite("quikstart")
    assert str(caught.value) == "no suite 'quikstart'; did you mean 'quickstart'?"


def test_a_mistyped_path_names_the_suite_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "support").mkdir()
    (tmp_path / "support" / "suite.yaml").touch()
    monkeypatch.chdir(tmp_path)
    for given, meant in (
        ("suport", "support"),
        ("support/sutie.yaml", "support/suite.yaml"),
        (str(tmp_path / "suport"), str(tmp_path / "support")),
    ):
        with pytest.raises(ConfigError) as caught:
            load_suite(given)
        assert str(caught.value) == f"no suite {given!r}; did you mean {meant!r}?"
    with pytest.raises(ConfigError, match=r"no suite 'nowhere/suite\.yaml'; give a suite file"):
        load_suite("nowhere/suite.yaml")


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ("{recipe: distill, teacher: cross-encoder}", "'teacher: cross-encoder' needs 'teacher_model'"),
        ("{recipe: distil}", "'distil' is not allowed; did you mean 'distill'?"),
    ],
)
def test_recipes_that_do_not_go_together_are_found_at_the_door(more: str, problem: str) -> None:
    assert any(problem in found for found in problems_with(f"recipes: {{retriever: {more}}}"))


def test_a_candidates_change_is_checked_with_what_it_changes() -> None:
    more = "candidates: {a: {tune: [retriever], retriever: {recipe: distill, teacher: cross-encoder}}}"
    assert problems_with(more) == ["s.yaml:5: candidates.a.retriever: 'teacher: cross-encoder' needs 'teacher_model'"]


@pytest.mark.parametrize(
    ("llm", "told"),
    [
        ({"judge": {"model": "m", "base_url": "https://me:secret@host/v1"}}, "'base_url' holds a user or a password"),
        ({"judge": {"model": "embedded:x", "base_url": "https://host/v1"}}, "runs in process, so it has no 'base_url'"),
        ({"judge": {"model": "m"}, "max_usd": 1.0}, "'max_usd' needs 'price_in'"),
        ({"prompts": {"question": "none.txt"}}, "llm.prompts.question: no file"),
        ({"prompts": {"answer": "none.txt"}}, "llm.prompts"),
        ({"judge": {"modell": "m"}}, "did you mean 'model'?"),
    ],
)
def test_mistakes_in_the_roles_of_language_models(llm: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as error:
        pocket.suite({"llm": llm})
    assert told in str(error.value)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"pipeline.generator": {"model": "llm:generator"}}, "'llm:generator' names a role that is not given"),
        ({"measures": ["ndcg@10", "rubric"]}, "rubric needs a text"),
        (
            {"measures": ["faithfulness"], "gates": [{"measure": "faithfulness", "margin": 0.1}]},
            "is judged by an LLM and scores answered queries only, so it cannot gate",
        ),
        (
            {"measures": ["ndcg@10", "utility"], "utility": {"right": "faithfulness", "threshold": 0.7}},
            "utility.right is faithfulness, and there is no judge",
        ),
        (
            {
                "llm": {"generator": {"model": "m"}}, "pipeline.generator": {"model": "llm:generator"},
                "candidates": {"a": {"tune": ["generator"]}},
            },
            "a generator behind an endpoint cannot be tuned here",
        ),
        (
            {"llm": {"generator": {"model": "m"}}, "pipeline.generator": {"model": "llm:generator", "thinking": True},
             "candidates": {}},
            "pipeline.generator.thinking: applies to a model that runs here, and the generator is at an endpoint",
        ),
    ],
)  # fmt: skip
def test_what_does_not_go_together_with_language_models(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as error:
        pocket.suite(changes)
    assert told in str(error.value)


@pytest.mark.parametrize("blank", ["", "  "])
@pytest.mark.parametrize("key", [
    "dataset.path", "pipeline.retriever.model", "pipeline.generator.model", "pipeline.reranker.model",
    "candidates.c.pipeline.retriever.model", "recipes.reranker.model", "data.label.model", "llm.synthesizer.model",
])  # fmt: skip
def test_an_empty_name_is_not_the_current_folder(key: str, blank: str, tmp_path: Path) -> None:
    value: Any = blank
    for part in reversed(key.split(".")):
        value = {part: value}
    text = f"schema: harness/suite-2\nname: s\nmeasures: [ndcg@10]\n{yaml.safe_dump(value)}"
    with pytest.raises(ConfigError) as caught:
        parse_suite(text, tmp_path / "s.yaml")
    said = [str(problem) for problem in caught.value.problems if key in str(problem)]
    assert [text.partition(f"{key}: ")[2] for text in said] == ["is empty; name one, or leave the key out"]
