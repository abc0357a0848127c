"""A generator's checkpoint is chosen by the utility of answers to dev queries, scored as the suite scores answers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import tiny
from stage_inputs import part, silent

from harness.data.formats import write_jsonl, write_run
from harness.models import generation
from harness.models.chat_templates import ChatTemplate
from harness.models.generation import GeneratedText
from harness.scoring import AnswerSettings, score_answers
from harness.scoring.answers import same_text
from harness.stages import load_stage
from harness.stages.instruct import INSTRUCTIONS_FILE
from harness.stages.retrieve import RUN_FILE
from harness.stages.shared import common
from harness.stages.shared.dev_answers import BY_TOKENS, TIE, DevAnswering, DevAnswers, DevQuestion
from harness.stages.shared.dev_evaluation import sample_with_references
from harness.stages.tune_generator import GeneratorPrompt, TuneGeneratorSpec, tune_generator
from harness.suite.recipes import ABSTENTION, GeneratorRecipe
from harness.suite.spec import AnswerFormat, Utility
from harness.training import generators
from harness.values.measures import Measure
from harness.values.records import DEV_EVALUATION_SECONDS, Answer, Document, Reference, Usage

INSTRUCTION = f"answer from the passages or write exactly: {ABSTENTION}"
WORDS = ["the", "stone", "wall", "is", "red", "blue", "what", "question", "passages"]
CORPUS = {f"d{number}": Document(f"d{number}", "", f"the stone wall {number} is red. ") for number in range(6)}
ROWS = [
    {"query_id": f"q{number}", "query": f"what is wall {number}", "context": [f"d{number % 6}"], "answer": "red wall",
     "kind": "oracle"}
    for number in range(12)
]  # fmt: skip
DEV = {f"v{number}": f"what is stone {number}" for number in range(6)}
SHOWN = GeneratorPrompt(model="tiny", instruction=INSTRUCTION, passage_tokens=20)
QUICK = GeneratorRecipe(epochs=8, batch_size=4, learning_rate=3e-2, rank=4, alpha=8, checkpoints=3, dev_queries=4)
RULE = DevAnswering(context=1, max_new_tokens=6, batch_size=4, utility=Utility(right="token_f1", threshold=0.5))


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("dev")
    common.write_corpus(part(root, "corpus"), CORPUS)
    write_jsonl(part(root, "instructions") / INSTRUCTIONS_FILE, ROWS)
    common.write_queries(part(root, "dev_queries"), DEV)
    write_run(part(root, "dev_run") / RUN_FILE, {key: [(f"d{key[1:]}", 2.0)] for key in DEV})
    common.write_references(part(root, "dev_references"), references("red wall"))
    common.write_references(part(root, "other_references"), references("blue stone"))
    tiny.generator(part(root, "model"), WORDS, hidden=64)
    return {item.name: item for item in root.iterdir()}


def references(answer: str) -> dict[str, Reference]:
    return {key: Reference(key, (answer,), True, ()) for key in DEV}


def tuned(
    inputs: dict[str, Path], out: Path, recipe: GeneratorRecipe = QUICK, dev: DevAnswering | None = RULE
) -> Usage:
    declared = load_stage("tune_generator").takes
    chosen = {name: path for name, path in inputs.items() if name in (*declared.required, *declared.optional)}
    assert declared.problem(chosen) == ""
    return tune_generator(TuneGeneratorSpec(generator=SHOWN, recipe=recipe, dev=dev), chosen, part(out, "a"), 0, silent)


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.numpy import load_file

    return dict(load_file(folder / "a" / "adapter_model.safetensors"))


# choosing


def test_the_best_checkpoint_on_dev_is_kept(inputs: dict[str, Path], tmp_path: Path) -> None:
    usage = tuned(inputs, tmp_path)
    shown = [one.split() for one in str(usage.notes["utility on dev"]).split(", ")]
    scores = {int(step): float(score) for _, step, score in shown}
    assert list(scores) == [0, 8, 16, 24]
    assert scores[0] == -1.0
    assert max(scores.values()) == 1.0
    best = next(step for step, score in scores.items() if score == 1.0)
    assert usage.notes["checkpoint"] == f"step {best}"
    assert usage.notes["dev queries answered"] == 4
    assert usage.notes[DEV_EVALUATION_SECONDS] >= 0
    assert "checkpoints chosen by" not in usage.notes


def test_a_training_that_gains_nothing_ends_with_the_untuned_start(
    inputs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter((0.5, 0.25, 0.5, 0.0))
    monkeypatch.setattr(DevAnswers, "score", lambda self, answers: next(scores))
    usage = tuned(inputs, tmp_path)
    assert usage.notes["checkpoint"] == "step 0: training gained nothing on dev"
    found = weights(tmp_path)
    assert all((value == 0).all() for name, value in found.items() if "lora_B" in name)
    assert any((value != 0).any() for name, value in found.items() if "lora_A" in name)


def test_evaluating_dev_leaves_the_training_alone(
    inputs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last checkpoint of a training with dev is the training without it."""
    import numpy as np

    calls: list[int] = []

    def rising(self: DevAnswers, answers: Sequence[GeneratedText]) -> float:
        calls.append(len(answers))
        return float(len(calls))

    monkeypatch.setattr(DevAnswers, "score", rising)
    with_dev = tuned(inputs, tmp_path / "with")
    without = tuned(inputs, tmp_path / "without", QUICK.model_copy(update={"checkpoints": 1}))
    assert calls == [4, 4, 4, 4]
    assert with_dev.notes["checkpoint"] == "step 24"
    assert not {"checkpoint", "utility on dev", "dev queries answered"} & without.notes.keys()
    first, second = weights(tmp_path / "with"), weights(tmp_path / "without")
    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_answers_are_those_that_the_merged_adapter_writes(
    inputs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.models.language_models import load_generator
    from harness.stages.shared.generator_prompts import turns_of

    texts: list[list[str]] = []
    real = DevAnswers.score

    def recorded(self: DevAnswers, answers: Sequence[GeneratedText]) -> float:
        texts.append([answer.text for answer in answers])
        return real(self, answers) if len(texts) < 4 else 9.0

    monkeypatch.setattr(DevAnswers, "score", recorded)
    tuned(inputs, tmp_path)
    model, tokenizer = load_generator(inputs["model"], tmp_path / "a")
    asked = [(DEV[key], [f"d{key[1:]}"]) for key in sample_with_references(DEV, references("red wall"), 4)]
    turns = turns_of(tokenizer, INSTRUCTION, [], asked, CORPUS, SHOWN.passage_tokens)
    written = generation.Conversations(model, ChatTemplate(tokenizer), turns).write(generation.Sampling(6, 4))
    assert [one.text for one in written] == texts[-1]


def test_without_references_the_last_checkpoint_is_taken(inputs: dict[str, Path], tmp_path: Path) -> None:
    common.write_references(part(tmp_path, "none"), {})
    usage = tuned({**inputs, "dev_references": tmp_path / "none"}, tmp_path)
    assert usage.notes["checkpoint"] == "the last: dev was not evaluated"


# scoring


def questions(*found: Reference) -> list[DevQuestion]:
    return [DevQuestion([], reference) for reference in found]


def written(*texts: str) -> list[GeneratedText]:
    return [GeneratedText(text, 5, 5) for text in texts]


ANSWERABLE = Reference("a", ("red wall", "a wall of red stone"), True, ())
UNANSWERABLE = Reference("u", (), False, ())


def scorer(rule: DevAnswering, *found: Reference) -> DevAnswers:
    template: Any = None
    return DevAnswers(template, questions(*found), rule, ())


@pytest.mark.parametrize("right", ["exact_match", "token_f1", "key_match"])
@pytest.mark.parametrize("text", ["red wall", "Red wall", "wall", "blue", ABSTENTION, "", "I cannot say."])
def test_utility_on_dev_is_that_of_the_suite(right: Any, text: str) -> None:
    utility = Utility(right=right, threshold=0.6, wrong_cost=0.5)
    pattern = AnswerFormat(pattern="(?P<key>red|blue)( wall)?")
    rule = RULE.model_copy(update={"utility": utility, "answer_format": pattern, "sentences": ("I cannot say.",)})
    found = scorer(rule, ANSWERABLE, UNANSWERABLE)
    answers = {key: Answer(key, text, 5, 5, (), False, False) for key in ("a", "u")}
    settings: AnswerSettings = rule.settings("en")
    scores = score_answers(answers, {"a": ANSWERABLE, "u": UNANSWERABLE}, [Measure("utility")], settings)
    values = [score.value for score in scores[Measure("utility")].values() if score.value is not None]
    assert found.score(written(text, text)) == pytest.approx(sum(values) / len(values), abs=2 * TIE)
    assert rule.measured == "utility"


def test_equal_utility_is_decided_by_token_f1() -> None:
    rule = RULE.model_copy(update={"utility": Utility(right="token_f1", threshold=1.0)})
    found = scorer(rule, ANSWERABLE)
    near, far = found.score(written("red stone")), found.score(written("blue house"))
    assert near > far
    assert round(near, 4) == round(far, 4) == -1.0


def test_where_an_llm_judges_token_f1_decides_and_it_is_said() -> None:
    rule = RULE.model_copy(update={"utility": Utility(right="faithfulness", threshold=0.5)})
    found = scorer(rule, ANSWERABLE, UNANSWERABLE)
    assert rule.measured == BY_TOKENS
    assert found.score(written("red wall", ABSTENTION)) == 1.0
    assert found.score(written("red wall", "red wall")) == 0.5
    assert found.score(written(ABSTENTION, ABSTENTION)) == 0.5
    assert found.score(written("red stone", ABSTENTION)) == pytest.approx((2 / 3 + 1) / 2)
    assert found.notes()["checkpoints chosen by"] == "token_f1: an LLM judges faithfulness"


def test_a_response_that_is_only_a_thought_is_wrong() -> None:
    found = scorer(RULE, ANSWERABLE)
    assert found.score([GeneratedText("", 5, 5, True, "hm", True)]) == -1.0


@pytest.mark.parametrize("language", ["en", "de", "zh"])
def test_same_text_is_exact_match_of_ragas(language: str) -> None:
    pytest.importorskip("ragas")
    pairs = [
        ("red", ("red",)),
        ("Red", ("red",)),
        ("red ", ("red", "red wall")),
        ("红色", ("紅色", "红色")),
        ("\uff41", ("a",)),
    ]
    settings = AnswerSettings(Utility(), None, None, "", language=language)
    for text, wanted in pairs:
        scores = score_answers(
            {"q": Answer("q", text, 1, 1, (), False, False)}, {"q": Reference("q", wanted, True, ())},
            [Measure("exact_match")], settings,
        )  # fmt: skip
        assert scores[Measure("exact_match")]["q"].value == same_text(text, wanted, language), text


# the sample


def test_a_sample_keeps_the_share_of_the_unanswerable_and_lies_in_a_larger_one() -> None:
    known = {f"q{number}": Reference(f"q{number}", (), number % 4 != 0, ()) for number in range(40)}
    asked = [*known, "unknown"]
    small, large = (sample_with_references(asked, known, count) for count in (8, 16))
    assert len(small) == 8
    assert set(small) < set(large) < set(known)
    assert sum(not known[key].answerable for key in small) == 2
    assert sample_with_references(asked, known, 99) == list(known)
    assert small == [key for key in asked if key in set(small)]


def test_the_monitor_of_a_training_without_dev_measures_nothing() -> None:
    assert generators.Monitor(silent).measure is None
