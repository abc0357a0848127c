"""Chat templates: the instruction is in every prompt, and training and serving render the same text."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import chatty
import pocket
import pytest
import tiny
from hypothesis import given, settings
from hypothesis import strategies as st
from stage_inputs import part, silent

from harness import provenance
from harness.cli import main as cli
from harness.data.formats import load_jsonl, write_jsonl
from harness.errors import ConfigError
from harness.models import generation
from harness.models.chat_templates import ChatTemplate, Turn
from harness.models.template_checks import ThinkingSettings, template_facts, template_remarks
from harness.stages import answer as answering
from harness.stages import tune_generator as tuning
from harness.stages.instruct import INSTRUCTIONS_FILE
from harness.stages.shared import common
from harness.suite.pipeline import Generator
from harness.suite.recipes import GeneratorRecipe
from harness.training.generators import load_tokenizer
from harness.values.records import Document, Reference

INSTRUCTION = 'Answer briefly, in "plain" words.\n\nIf nothing is found, say: nothing & <none>.'
CORPUS = {f"d{number}": Document(f"d{number}", f"Wall {number}", f"The wall {number} is red.") for number in range(3)}
QUERIES = {"q1": "What is wall 1?", "q2": "What is wall 2, and why?"}
ROWS = [
    {"query_id": key, "query": text, "context": ["d1", "d2"], "answer": "red\n- very red", "kind": "oracle"}
    for key, text in QUERIES.items()
]
MARKS = {"gemma1": "<end_of_turn>", "gemma3": "<end_of_turn>", "chatml": "<|im_end|>", "qwen3": "<|im_end|>"}
MARKS |= {"always": "<|im_end|>", "llama3": "<|eot|>", "phi": "<|end|>", "parts": "<|end|>", "granite": "<|end|>"}


def squeezed(text: str) -> str:
    return " ".join(text.split())


def inputs_of(root: Path, model: Path) -> dict[str, Path]:
    """What the stages `answer` and `tune_generator` read; few-shot examples come out of the same questions."""
    found = {
        name: part(root, name) for name in ("corpus", "queries", "contexts", "references", "qrels", "instructions")
    }
    common.write_corpus(found["corpus"], CORPUS)
    common.write_queries(found["queries"], QUERIES)
    common.write_contexts(found["contexts"], {key: ["d1", "d2"] for key in QUERIES})
    common.write_judgements(found["qrels"], {"q1": {"d1": 1}, "q2": {"d2": 1}})
    common.write_references(found["references"], {key: Reference(key, ("red",)) for key in QUERIES})
    write_jsonl(found["instructions"] / INSTRUCTIONS_FILE, ROWS)
    return {**found, "model": model, **{f"train_{name}": found[name] for name in ("queries", "qrels", "references")}}


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[list[int]]:
    """The tokens of every prompt that a model reads."""
    found: list[list[int]] = []
    real = generation._continue

    def recorded(head: Any, tails: list[list[int]], *rest: Any) -> Any:
        found.extend(head.tokens + tail for tail in tails)
        return real(head, tails, *rest)

    monkeypatch.setattr(generation, "_continue", recorded)
    return found


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A retriever, so that no model of a suite is an embedded one."""
    return tiny.bi_encoder(tmp_path_factory.mktemp("encoder"), ["wall"])


@pytest.fixture
def leave(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Run the command; return its exit code and all that it printed. Neither disk nor embedded models are looked at."""
    monkeypatch.setenv("COLUMNS", "900")
    monkeypatch.setenv(provenance.DEVICE_VARIABLE, "auto")
    monkeypatch.setattr("harness.cli.doctor.EMBEDDED", {})
    monkeypatch.setattr("harness.cli.doctor.LEAST_DISK", 0.0)

    def run(*arguments: object) -> tuple[int, str]:
        capsys.readouterr()
        monkeypatch.setattr("sys.argv", ["harness", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        return int(caught.value.code or 0), "".join(capsys.readouterr())

    return run


def write_suite(root: Path, model: Path, encoder: Path, **generator: Any) -> Path:
    changes = {
        "pipeline.generator": {"model": str(model), "instruction": INSTRUCTION, **generator},
        "pipeline.retriever": {"model": str(encoder)},
        "measures": ["exact_match"], "gates": [], "candidates": {},
    }  # fmt: skip
    (root / "suite.yaml").write_text(pocket.suite_text(changes), encoding="utf-8")
    return root / "suite.yaml"


HELD = "its prompts hold the instruction, "
IN_A_SYSTEM_TURN, IN_THE_USER_TURN = "as its chat template writes a system turn", "in the user turn"


@pytest.mark.parametrize("name", chatty.TEMPLATES)
def test_every_template_works_from_doctor_to_tuned_answers(
    name: str,
    encoder: Path,
    leave: Callable[..., tuple[int, str]],
    tmp_path: Path,
    read: list[list[int]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chain = ("nine hours", chatty.SPECIAL[1] if name not in MARKS else MARKS[name])
    model = chatty.generator(tmp_path / "model", chatty.TEMPLATES[name], chain)
    code, output = leave("doctor", write_suite(tmp_path, model, encoder), "--store", tmp_path)
    assert code == 0, output
    assert f"{HELD}{IN_THE_USER_TURN if name in chatty.IN_USER_TURN else IN_A_SYSTEM_TURN}" in output
    assert ("has no system turn" in output) == (name in chatty.IN_USER_TURN)
    assert ("26 July 2024" in output) == (name == "llama3")
    assert ("thinks by default" in output) == (name == "qwen3")
    assert ("closed at once" in output) == (name == "r1")

    inputs, rule = inputs_of(tmp_path, model), Generator(model="tiny", instruction=INSTRUCTION, max_new_tokens=8)
    coder = load_tokenizer(model)[0]
    for kind, few_shot, source in (("untuned", 0, "given"), ("few-shot", 2, "given"), ("closed-book", 0, "none")):
        read.clear()
        spec = answering.AnswerSpec(generator=rule, context=2, source=source, few_shot=few_shot)
        usage = answering.answer(spec, inputs, part(tmp_path, kind), 0, silent)
        assert [one.text for one in common.read_answers(tmp_path / kind).values()] == ["nine hours"] * 2
        assert usage.notes["answers"] == 2
        texts = [coder.decode(tokens) for tokens in read]
        assert len(texts) == 2
        for text in texts:
            assert squeezed(text).count(squeezed(INSTRUCTION)) == 1
            assert text.count("<s>") <= 1
            assert sum(question in text for question in QUERIES.values()) == (2 if few_shot else 1)

    read.clear()
    recipe = GeneratorRecipe(epochs=1, batch_size=2, rank=2, alpha=4, learning_rate=1e-4)
    trained: list[Any] = []
    real = tuning.tune
    monkeypatch.setattr(tuning, "tune", lambda *rest: (trained.extend(rest[2]), real(*rest))[1])
    shown = tuning.GeneratorPrompt(model="tiny", instruction=INSTRUCTION, passage_tokens=rule.passage_tokens)
    tuning.tune_generator(
        tuning.TuneGeneratorSpec(generator=shown, recipe=recipe), inputs, part(tmp_path, "adapter"), 0, silent
    )
    spec = answering.AnswerSpec(generator=rule, context=2, source="given")
    answering.answer(spec, {**inputs, "adapter": tmp_path / "adapter"}, part(tmp_path, "tuned"), 0, silent)
    assert sorted(one.prompt for one in trained) == sorted(read)
    for one in trained:
        text = coder.decode(one.completion)
        assert text.lstrip().startswith("red\n- very red")
        assert text.removeprefix(" ") == f"red\n- very red{chain[1]}"


@pytest.mark.parametrize("name", chatty.TEMPLATES)
def test_what_is_trained_on_is_the_templates_own_conversation(name: str) -> None:
    """Where the template takes a system turn and keeps to what its prompt began, nothing is added or taken away."""
    coder = chatty.tokenizer(chatty.TEMPLATES[name])
    template = ChatTemplate(coder, None)
    turns: list[Turn] = [("system", "Be short."), ("user", "Why?")]
    whole = template.prompt(turns) + template.completion(turns, "So.")
    shaped = [("user", "Be short.\n\nWhy?")] if name in chatty.IN_USER_TURN else turns
    content: Any = (lambda text: [{"type": "text", "text": text}]) if name == "parts" else str
    messages = [{"role": role, "content": content(text)} for role, text in [*shaped, ("assistant", "So.")]]
    own = coder.apply_chat_template(messages, tokenize=False, date_string="26 Jul 2024")
    if name == "always":
        # It begins a turn of its own after every conversation, also after one that is finished.
        own = own.removesuffix("<|im_start|>assistant\n")
    if name == "r1":
        assert whole.endswith("<|Assistant|><think>\n\n</think>\n\nSo.</s>")
    elif name == "mistral3":
        # It shows the instruction only while the question is the last turn, which is how it is served.
        assert whole == "<s>[INST]Be short.\n\nWhy?[/INST] So.</s>"
    else:
        assert own.startswith(whole)
        assert not own.removeprefix(whole).replace("</s>", "").strip()


@pytest.mark.parametrize(("thinking", "taught"), [(None, True), (True, True), (False, False)])
def test_training_a_model_that_thinks_on_plain_answers_is_noted(thinking: bool | None, taught: bool) -> None:
    shown = tuning.GeneratorPrompt(model="tiny", instruction=INSTRUCTION, passage_tokens=9, thinking=thinking)
    assert tuning._thinks(chatty.tokenizer(chatty.QWEN3), shown) == taught
    assert not tuning._thinks(chatty.tokenizer(chatty.CHATML), shown)


def test_a_date_is_pinned_whatever_the_day_is(monkeypatch: pytest.MonkeyPatch) -> None:
    class Later(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime(2031, 1, 2)

    monkeypatch.setattr("transformers.utils.chat_template_utils.datetime", Later)
    text = ChatTemplate(chatty.tokenizer(chatty.LLAMA3)).prompt([("system", "Be short."), ("user", "Why?")])
    assert "Today Date: 26 Jul 2024\n\nBe short." in text


@pytest.mark.parametrize(
    ("name", "thinking", "ending"),
    [
        ("qwen3", False, "assistant\n<think>\n\n</think>\n\n"),
        ("qwen3", None, "assistant\n"),
        ("qwen3", True, "assistant\n"),
        ("r1", False, "<|Assistant|><think>\n\n</think>\n\n"),
        ("r1", None, "<|Assistant|><think>\n"),
        ("granite", True, "<|assistant|>Think first."),
        ("granite", False, "<|assistant|>"),
        ("headless", False, "</s><|assistant|>"),
        ("mistral3", False, "[/INST]"),
    ],
)
def test_a_prompt_ends_as_the_switch_says(name: str, thinking: bool | None, ending: str) -> None:
    template = ChatTemplate(chatty.tokenizer(chatty.TEMPLATES[name]), thinking)
    assert template.prompt([("system", "Be short."), ("user", "Why?")]).endswith(ending)


SWITCHES = {
    "enable_thinking": "{% if not enable_thinking is defined %}{% set enable_thinking = true %}{% endif %}",
    "thinking": "{% set t = thinking if thinking is defined else true %}{% set enable_thinking = t %}",
    "reasoning_effort": "{% set enable_thinking = (reasoning_effort | default('medium')) != 'low' %}",
    "thinking_budget": "{% set enable_thinking = (thinking_budget | default(-1)) != 0 %}",
    "reasoning": "{% if reasoning is undefined %}{% set reasoning = true %}{% endif %}"
    "{% set enable_thinking = reasoning %}",
}


def test_a_switch_takes_the_words_that_the_template_takes() -> None:
    """Mistral's newer ones know `none` and `high`, and refuse others."""
    text = (
        "{% set effort = reasoning_effort | default('high') %}{% if effort not in ['none', 'high'] %}"
        "{{ raise_exception('reasoning_effort must be none or high') }}{% endif %}" + chatty.CHATML + "{{ effort }}"
    )
    assert ChatTemplate(chatty.tokenizer(text), False).prompt([("user", "Why?")]).endswith("none")
    assert ChatTemplate(chatty.tokenizer(text), True).prompt([("user", "Why?")]).endswith("high")


@pytest.mark.parametrize("name", chatty.TEMPLATES)
def test_an_empty_instruction_is_no_turn_to_refuse(name: str) -> None:
    template = ChatTemplate(chatty.tokenizer(chatty.TEMPLATES[name]))
    template.check("")
    assert "Why?" in template.prompt([("system", ""), ("user", "Why?")])


@pytest.mark.parametrize("name", SWITCHES)
def test_the_switch_is_known_under_the_names_that_templates_use(name: str) -> None:
    text = SWITCHES[name] + chatty.CHATML + "{% if add_generation_prompt and enable_thinking %}<think>{% endif %}"
    endings = {
        thinking: ChatTemplate(chatty.tokenizer(text), thinking).prompt([("user", "Why?")]).endswith("<think>")
        for thinking in (None, True, False)
    }
    assert endings == {None: True, True: True, False: False}
    assert ChatTemplate(chatty.tokenizer(text)).facts().thinks


REFUSED: dict[str, tuple[Any, str]] = {
    "base model": (None, "has no chat template: it is a base model"),
    "raises": ("{{ raise_exception('no chats here') }}", r"cannot render a conversation .* \(no chats here\)"),
    "no texts": ("{% for m in messages %}{{ m.role }}{% endfor %}", "it leaves texts out"),
    "changed texts": ("{% for m in messages %}{{ m.content | upper }}{% endfor %}", "it leaves texts out"),
    "escaped": (
        "{% for m in messages %}{{ m.content | e }}{% endfor %}", "leaves out the instruction, or changes it",
    ),
    "by chance": (chatty.CHATML + "{{ range(99999) | random }}{{ range(99999) | random }}", "another text each time"),
    "cut off": ("{% for m in messages %}{{ m.content }}", "cannot render a conversation"),
    "none named": (
        {"rag": chatty.CHATML, "tool_use": chatty.CHATML}, "has chat templates 'rag', 'tool_use' and none named",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_doctor_and_run_refuse_a_model_that_cannot_be_asked_with_the_same_sentence(
    name: str, encoder: Path, leave: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    template, said = REFUSED[name]
    model = chatty.generator(tmp_path / "model", template)
    with pytest.raises(ConfigError, match=said) as caught:
        template_facts(model, INSTRUCTION, False)
    (problem,) = caught.value.problems
    assert problem.hint
    suite = write_suite(tmp_path, model, encoder)
    sentence = f"pipeline.generator.model: {str(model)!r}: {problem}"
    code, output = leave("doctor", suite, "--store", tmp_path)
    assert code == 2
    assert output.count(" error ") == 1
    assert sentence in output
    assert HELD not in output
    code, output = leave("run", suite, "--store", tmp_path / "store")
    assert code == 2
    assert re.fullmatch(rf"error: {re.escape(str(suite))}:\d+: {re.escape(sentence)}\n", output)
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize("kind", ["jinja", "named", "json"])
def test_a_template_is_found_wherever_it_lies(kind: str, tmp_path: Path) -> None:
    chatty.tokenizer({"default": chatty.CHATML, "rag": chatty.GEMMA1} if kind == "named" else None).save_pretrained(
        tmp_path
    )
    if kind == "jinja":
        (tmp_path / "chat_template.jinja").write_text(chatty.CHATML, encoding="utf-8")
    if kind == "json":
        (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": chatty.CHATML}), encoding="utf-8")
    assert template_facts(tmp_path, INSTRUCTION, False).system == "native"


def test_what_a_template_does_with_thoughts_is_told_with_what_to_set(tmp_path: Path) -> None:
    chatty.tokenizer(chatty.QWEN3).save_pretrained(tmp_path)
    rule = ThinkingSettings(None, 48, "pipeline.generator")
    (said,) = template_remarks(template_facts(tmp_path, INSTRUCTION, None), rule)
    assert "pipeline.generator.max_new_tokens (48) may end it" in said
    assert list(template_remarks(template_facts(tmp_path, INSTRUCTION, None), rule._replace(max_new_tokens=2048))) == []
    chatty.tokenizer(chatty.CHATML).save_pretrained(tmp_path)
    (said,) = template_remarks(
        template_facts(tmp_path, INSTRUCTION, True), rule._replace(thinking=True, max_new_tokens=2048)
    )
    assert "no switch for thinking" in said


texts = st.text(st.sampled_from("ab \n.<>&\"'é漢#:-[]"), min_size=1, max_size=30).filter(lambda text: text.strip())


@pytest.mark.parametrize("name", chatty.TEMPLATES)
@settings(max_examples=15)
@given(
    instruction=texts, asked=st.lists(texts, min_size=1, max_size=4), answers=st.lists(texts, min_size=3, max_size=3)
)
def test_no_text_is_lost_and_a_shared_prefix_is_exact(
    name: str, instruction: str, asked: Sequence[str], answers: Sequence[str]
) -> None:
    coder = chatty.tokenizer(chatty.TEMPLATES[name])
    template = ChatTemplate(coder)
    begun: list[Turn] = [("system", instruction), ("user", "Why?"), ("assistant", answers[0])]
    conversations = [[*begun, ("user", text)] for text in asked]
    prompts = [template.prompt(turns) for turns in conversations]
    for text, prompt in zip(asked, prompts, strict=True):
        assert squeezed(instruction) in squeezed(prompt)
        assert squeezed(text) in squeezed(prompt)
    coded = generation.tokenize(coder, prompts)
    size = generation.shared_prefix_length(coded)
    assert all(coder.decode(one[:size] + one[size:]) == prompt for one, prompt in zip(coded, prompts, strict=True))
    assert all(one[:size] == coded[0][:size] for one in coded)
    for turns in conversations:
        assert template.completion(turns, answers[1]).removesuffix(template.end_of_turn).strip() == answers[1].strip()


def test_failures_name_the_setting_and_are_no_answers(tmp_path: Path) -> None:
    chain = ("<think>", "let me see")
    model = chatty.generator(tmp_path / "model", chatty.CHATML, chain)
    inputs, rule = inputs_of(tmp_path, model), Generator(model="tiny", instruction=INSTRUCTION, max_new_tokens=3)
    spec = answering.AnswerSpec(generator=rule, context=2, source="given")
    with pytest.raises(ValueError, match=r"none of 2 questions was answered \(the first: the model was still thinking"):
        answering.answer(spec, inputs, part(tmp_path, "out"), 0, silent)
    assert not (tmp_path / "out" / "answers.jsonl").exists()


THOUGHT = (
    "<think>",
    "let me see\n",
    "</think>",
    "\n\nThe answer is as follows:\n\n",
    "- nine hours",
    "\n\nBye.",
    "</s>",
)
SPECIALLY = ("[THINK]", "let me see\n", "[/THINK]", *THOUGHT[3:])


@pytest.mark.parametrize("chain", [THOUGHT, SPECIALLY])
@pytest.mark.parametrize(
    ("stop", "limit", "text", "cut"),
    [
        ((), 16, "The answer is as follows:\n\n- nine hours\n\nBye.", False),
        (("\n",), 16, "The answer is as follows:", False),
        (("\n\nBye", "hours\n"), 16, "The answer is as follows:\n\n- nine", False),
        ((), 5, "The answer is as follows:\n\n- nine hours", True),
    ],
)
def test_answers_are_whole_up_to_a_stop_string_and_thoughts_are_no_part_of_them(
    chain: Sequence[str], stop: tuple[str, ...], limit: int, text: str, cut: bool, tmp_path: Path
) -> None:
    model = chatty.generator(tmp_path / "model", chatty.CHATML, chain)
    inputs, rule = inputs_of(tmp_path, model), Generator(model="tiny", instruction=INSTRUCTION, max_new_tokens=limit)
    spec = answering.AnswerSpec(generator=rule, context=2, source="given", stop=stop)
    usage = answering.answer(spec, inputs, part(tmp_path, "out"), 0, silent)
    found = common.read_answers(tmp_path / "out")
    assert {(one.text, one.cut, one.thought) for one in found.values()} == {(text, cut, True)}
    assert usage.notes.get("answers cut at max_new_tokens", 0) == (2 if cut else 0)
    assert usage.notes["answers without their thoughts"] == 2
    assert load_jsonl(tmp_path / "out" / answering.FAILED_FILE) == []


def test_a_run_tells_what_was_done_to_prompts_and_answers(tmp_path: Path) -> None:
    """A whole run: the generator is untuned, few-shot and tuned; the report's front and its notes say the rest."""
    import smallsuite

    from harness.experiments import benchmark

    chain = ("<think>", "let me see", "</think>", "kelp", "\n- and peat", "<end_of_turn>")
    model = chatty.generator(tmp_path / "model", chatty.GEMMA1, chain)
    changes = smallsuite.changes(
        smallsuite.bi_encoder(tmp_path / "encoder"),
        {
            "pipeline.generator": {"model": str(model), "max_new_tokens": 5},
            "candidates": {"answers": {"tune": ["generator"]}},
            "recipes": {"generator": {"batch_size": 8, "learning_rate": 1e-5, "rank": 2, "alpha": 4}},
            "baseline_rows": ["untuned", "few-shot"],
            "measures": ["ndcg@10", "token_f1"],
            "gates": [],
            "answer": {"stop": ["\n\n"]},
        },
    )
    (tmp_path / "suite.yaml").write_text(pocket.suite_text(changes), encoding="utf-8")
    done = benchmark.run(tmp_path / "suite.yaml", tmp_path / "store", executor=smallsuite.Here())
    assert done.failed_share == 0
    output = "\n".join(done.outcome.notes)
    assert "The chat template of model has no system turn: the instruction goes into the user turn" in output
    counts = "untuned 6 of 6 answers, few-shot 6 of 6, answers (seed 0) 6 of 6"
    assert (
        f"Answers were truncated at 5 tokens (pipeline.generator.max_new_tokens) and are scored as they are: {counts}"
        in output
    )
    assert f"Thoughts were removed from answers before they were scored: {counts}" in output
    assert (
        f"Nearly all answers of a system are the same ('kelp - and peat': {counts.replace(' answers,', ',')})" in output
    )
