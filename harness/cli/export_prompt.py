"""The prompt of an exported generator, as texts that another program can send."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness.errors import ConfigError, Problem
from harness.llm.prompt_templates import fill
from harness.planning.graph import Plan, SystemPlan
from harness.stages.shared.prompts import question_turn
from harness.stages.shared.rewriting import LABEL, head
from harness.store import Store

ORDERS = {"best-first": "the first `context` passages", "best-last": "the first `context` passages, the best one last,"}
"""What stands for {passages}, by the order of the context."""


def exported_prompt(plan: Plan, planned: SystemPlan, store: Store) -> dict[str, Any] | None:
    """Return the instruction, the solved examples, the form of the question and the strings that end an answer.

    None for a system without a generator.

    The dataset is put into the store if it is not there, as examples are drawn from it. Raises ConfigError if the
    model whose tokenizer cuts them is no longer in the store.
    """
    generator = planned.settings.generator
    if generator is None:
        return None
    return {
        "system": generator.instruction,
        "examples": _examples(plan, planned, store) if generator.shots else [],
        "user": question_turn("{question}", ["{passages}"]).replace("[1] {passages}", "{passages}"),
        "abstention": plan.suite.abstention_sentence,
        "stop": list(plan.suite.answer.stop),
    }


def told(plan: Plan, planned: SystemPlan) -> str:
    """Return what the words in braces of a prompt stand for, and where earlier turns stand if there were any."""
    shown = ORDERS[planned.settings.context_order]
    said = f"In `prompt`, {{passages}} are {shown} as `[1] text`, separated by empty lines."
    answers = plan.calls.get(planned.answers or "")
    if answers is not None and "history" in answers.call.inputs:
        said += " The earlier turns of a conversation stand as messages before `user`."
    return said


def exported_rewriter(plan: Plan, planned: SystemPlan) -> dict[str, str] | None:
    """Return the model that rewrites queries, and its prompt; None for a system that rewrites none.

    In the prompt stand {conversation}, the turns as lines ``User: ...`` and ``Assistant: ...`` or, for a model in
    process, as its examples show them, and {question}.
    """
    call = next((plan.calls[key].call for key in planned.serving.path if plan.calls[key].call.stage == "rewrite"), None)
    if call is None:
        return None
    endpoint = call.spec["endpoint"]
    if endpoint is not None:
        prompt = fill(endpoint["prompts"]["rewrite"], conversation="{conversation}", question="{question}")
        return {"model": endpoint["model"], "prompt": prompt}
    return {"model": call.spec["model"], "prompt": f"{head()}{{conversation}}\nFollow-up: {{question}}\n{LABEL}:"}


def _examples(plan: Plan, planned: SystemPlan, store: Store) -> list[dict[str, str]]:
    """The solved examples that the measured answers were given with."""
    if planned.answers is None:
        return []
    # What cuts passages imports transformers, which an export without examples does not need.
    from harness.llm.prompt_templates import shorten
    from harness.models.generation import truncate
    from harness.models.template_checks import tokenizer_of
    from harness.stages.answer import AnswerSpec
    from harness.stages.shared import common
    from harness.stages.shared.generator_prompts import solved_examples

    plan.artifacts.publish(store)
    call = plan.calls[planned.answers].call
    spec = AnswerSpec.model_validate(dict(call.spec))
    found = {name: store.get(key) for name, key in call.inputs.items() if name not in ("run", "adapter")}
    if lost := [name for name, place in found.items() if place is None]:
        what = f"the {lost[0]} that {planned.label} answers with is not in the store"
        raise ConfigError(Problem("", what, "run the suite again"))
    inputs = {name: place for name, place in found.items() if place is not None}
    limit = spec.generator.passage_tokens
    tokenizer = None if spec.endpoint else tokenizer_of(common.model_folder(spec.generator.model, inputs))

    def cut(texts: Sequence[str]) -> list[str]:
        return [shorten(text, limit) for text in texts] if tokenizer is None else truncate(tokenizer, texts, limit)

    documents = common.read_corpus(inputs["corpus"])
    solved = solved_examples(spec.few_shot, spec.sentence, documents, inputs, cut, call.seed)
    return [{"user": example.question, "assistant": example.reply} for example in solved]
