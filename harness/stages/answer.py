"""answer: queries, a run and a generator in, answers out.

One stage for all systems, with the same instruction: `source` says what stands in the prompt. ``run`` gives the first
`context` passages of a run, ``none`` gives none (the row `closed-book`), ``relevant`` gives the relevant passages (the
row `oracle-context`; for an unanswerable question the passage it was written against, if that is known), ``given``
gives what the input `contexts` says. The input `adapter`, if there is one, is what tuning made of the generator. A
generator at an endpoint is shown the same, as a chat. The input `history`, if there is one, holds the turns before
queries; they stand before the question, as a chat too.

Answers are kept whole, without thoughts, up to the first of the strings in `stop`. Where a model wrote nothing but a
thought, the question failed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from harness.data.formats import read_run, write_jsonl
from harness.llm import Ask, Message, Reply, services
from harness.llm.prompt_templates import rough_tokens, shorten
from harness.models import generation
from harness.models.chat_templates import ChatTemplate
from harness.models.language_models import load_generator
from harness.models.stop_rules import before_stop
from harness.stages import Inputs, SpeedRule, Stage, Step, Takes, setting
from harness.stages.retrieve import RUN_FILE
from harness.stages.shared import common, remote
from harness.stages.shared.generator_prompts import last_turn, ordered, solved_examples, turns_of
from harness.stages.shared.turns import Count, Cut, alternating, recent
from harness.suite.pipeline import ContextOrder, Generator
from harness.suite.recipes import ABSTENTION
from harness.values import records
from harness.values.records import Document, Progress, Turn, Usage

FAILED_FILE = "failed.jsonl"
IN_USER_TURN = "instruction put into the user turn"
DATE_PINNED = "date of the chat template pinned"
THINKING_OFF = "thinking switched off"


class AnswerSpec(remote.MayAskEndpoint):
    """`few_shot` solved examples from the train split stand in the prompt.

    One of them is declined by `sentence`, the one that the suite's instruction names. The best of the passages stands
    first or last, as `context_order` says.

    With `endpoint`, which has no prompts, the generator is the one of the role `generator`. There, what follows a
    string of `stop` is cut off after the fact: a server would stop in a thought.
    """

    generator: Generator
    context: int
    source: Literal["run", "none", "relevant", "given"]
    few_shot: int = 0
    sentence: str = ABSTENTION
    stop: tuple[str, ...] = ()
    context_order: ContextOrder = "best-first"


LIMIT = "pipeline.generator.max_new_tokens"


def answer(spec: AnswerSpec, inputs: Inputs, out: Path, seed: int, progress: Progress) -> Usage:
    """Answer every query of the input `queries`."""
    queries = common.read_queries(inputs["queries"])
    documents = common.read_corpus(inputs["corpus"])
    contexts = choose_contexts(spec, queries, inputs)
    if spec.endpoint is not None:
        prompts = EndpointPrompts(spec, documents, inputs, seed)
        asked = [
            (query_id, prompts.ask(text, contexts[query_id], query_id=query_id)) for query_id, text in queries.items()
        ]
        return _at_endpoint(asked, contexts, spec.stop, out, progress)
    chat, template = conversations(spec, queries, documents, contexts, inputs, seed)
    rule = spec.generator
    sampling = generation.Sampling(rule.max_new_tokens, rule.batch_size, max_tokens_per_batch=rule.max_tokens_per_batch)
    written = dict(zip(queries, chat.write(sampling, progress), strict=True))
    faults = {query_id: fault for query_id, one in written.items() if (fault := one.fault(LIMIT))}
    answers = [
        records.Answer(
            query_id, remote.sound(one.text), one.prompt_tokens, one.new_tokens, tuple(contexts[query_id]), one.cut,
            bool(one.thought),
        )
        for query_id, one in written.items()
        if query_id not in faults
    ]  # fmt: skip
    notes = _write(out, answers, faults) | _template_notes(template, spec.generator.thinking)
    tokens = sum(one.prompt_tokens for one in written.values()), sum(one.new_tokens for one in written.values())
    # The same model would fail at the same questions again, so they do not count as open.
    return Usage(len(queries), len(queries), *tokens, notes)


def _write(out: Path, answers: Sequence[records.Answer], faults: Mapping[str, str]) -> dict[str, Any]:
    """Write answers and failures; return what the ledger is told. Raises ValueError if there is no answer."""
    if faults and not answers:
        raise ValueError(f"none of {len(faults)} questions was answered (the first: {next(iter(faults.values()))})")
    common.write_answers(out, answers)
    write_jsonl(out / FAILED_FILE, [{"query_id": query_id, "reason": reason} for query_id, reason in faults.items()])
    counts = {
        "answers that failed": len(faults),
        "answers cut at max_new_tokens": sum(one.cut for one in answers),
        "answers without their thoughts": sum(one.thought for one in answers),
    }
    notes: dict[str, Any] = {"answers": len(answers), **{name: count for name, count in counts.items() if count}}
    return notes | remote.reasons("answers that failed", Counter(faults.values()))


def _template_notes(template: ChatTemplate, thinking: bool | None) -> dict[str, Any]:
    """Notes for the ledger: how prompts were changed to suit the chat template."""
    facts = template.facts()
    told = {
        IN_USER_TURN: facts.system == "user",
        DATE_PINNED: facts.dated,
        THINKING_OFF: thinking is False and facts.thinks,
    }
    return {name: True for name, applied in told.items() if applied}


def _at_endpoint(
    asked: Sequence[tuple[str, Ask]],
    contexts: Mapping[str, Sequence[str]],
    stop: Sequence[str],
    out: Path,
    progress: Progress,
) -> Usage:
    """Answer through an endpoint. A question that failed has no answer; `failed.jsonl` has its id and the reason.

    Raises ValueError if all failed. The tokens of an answer are counted in words, so that they do not depend on what
    the cache knew; those that were paid for are in the usage.
    """
    chat = services.chat("generator")
    replies = chat.ask_all([ask for _, ask in asked], progress)
    replied = [(query_id, ask, reply) for (query_id, ask), reply in zip(asked, replies, strict=True)]
    faults = {query_id: reply.failure for query_id, _, reply in replied if reply.failure}
    answers = [
        _answered(query_id, ask, reply, contexts[query_id], stop)
        for query_id, ask, reply in replied
        if not reply.failure
    ]
    notes = {"answers that failed": 0, **_write(out, answers, faults)}
    return remote.usage(len(asked), chat, notes)._replace(failed=len(faults))


def _answered(
    query_id: str, ask: Ask, reply: Reply, context: Sequence[str], stop: Sequence[str]
) -> records.Answer:  # fmt: skip
    """A reply up to the first stop string, as of a local generator; thoughts are counted as they were written."""
    text = before_stop(remote.sound(reply.text), stop)
    prompt_tokens = sum(rough_tokens(message.content) for message in ask.messages)
    new_tokens = rough_tokens(text) + (rough_tokens(reply.thought) if reply.thought else 0)
    cut = reply.cut and len(text) == len(reply.text.strip())
    return records.Answer(query_id, text, prompt_tokens, new_tokens, tuple(context), cut, bool(reply.thought))


class EndpointPrompts:
    """What an endpoint is asked: the instruction, the examples, and the question below its passages.

    Passages are cut in words, as no tokenizer is at hand. Raises ValueError if there is an adapter, which only a local
    generator can take.
    """

    def __init__(self, spec: AnswerSpec, documents: Mapping[str, Document], inputs: Inputs, seed: int) -> None:
        if "adapter" in inputs:
            raise ValueError("a generator at an endpoint takes no adapter; tune one that runs here")
        self.rule, self.documents, self.order = spec.generator, documents, spec.context_order
        turns = [Message("system", self.rule.instruction)]
        for example in solved_examples(spec.few_shot, spec.sentence, documents, inputs, self._cut, seed):
            turns += [Message("user", example.question), Message("assistant", example.reply)]
        self.turns = tuple(turns)
        self.earlier = earlier_turns(spec, inputs, rough_tokens, shorten)

    def _cut(self, texts: Sequence[str]) -> list[str]:
        return [shorten(text, self.rule.passage_tokens) for text in texts]

    def ask(self, text: str, context: Sequence[str], repeat: int = 0, query_id: str = "") -> Ask:
        """The question `text` with the documents `context`, which come best first, after the turns before it."""
        return self.after(self.earlier.get(query_id, ()), text, context, repeat)

    def after(self, turns: Sequence[Turn], text: str, context: Sequence[str], repeat: int = 0) -> Ask:
        """The question after turns that are as short as they have to be."""
        shown = self._cut([self.documents[doc_id].content for doc_id in ordered(context, self.order)])
        said = alternating(turns)
        before = [Message(turn.role, turn.content) for turn in said.turns]
        messages = (*self.turns, *before, Message("user", last_turn(said, text, shown)))
        return Ask(messages, max_tokens=self.rule.max_new_tokens, repeat=repeat)


def conversations(
    spec: AnswerSpec, queries: Mapping[str, str], documents: Mapping[str, Document],
    contexts: Mapping[str, Sequence[str]], inputs: Inputs, seed: int,
) -> tuple[generation.Conversations, ChatTemplate]:  # fmt: skip
    """The generator with all its prompts, in the order of the queries, and its chat template."""
    rule = spec.generator
    model, tokenizer = load_generator(common.model_folder(rule.model, inputs), inputs.get("adapter"), rule.local)
    template = ChatTemplate(tokenizer, rule.thinking)
    template.check(rule.instruction)

    def cut(texts: Sequence[str]) -> list[str]:
        return generation.truncate(tokenizer, texts, rule.passage_tokens)

    examples = solved_examples(spec.few_shot, spec.sentence, documents, inputs, cut, seed)
    asked = [(text, contexts[query_id]) for query_id, text in queries.items()]
    shown = tokenizer, rule.instruction, examples, asked, documents, rule.passage_tokens, spec.context_order
    kept = earlier_turns(spec, inputs, generation.token_count(tokenizer), generation.token_cut(tokenizer))
    window = generation.window_of(model)
    while True:
        turns = turns_of(*shown, [alternating(kept.get(query_id, ())) for query_id in queries])
        if window is None or not kept:
            break
        sizes = map(len, generation.tokenize(tokenizer, [template.prompt(one) for one in turns]))
        long = [key for key, size in zip(queries, sizes, strict=True) if size + rule.max_new_tokens > window]
        if not any(kept.get(key) for key in long):
            break
        kept |= {key: kept[key][1:] for key in long if kept.get(key)}
    return generation.Conversations(model, template, turns, spec.stop), template


def earlier_turns(spec: AnswerSpec, inputs: Inputs, count: Count, cut_one: Cut) -> dict[str, list[Turn]]:
    """The turns before each query that has some, as many as its prompt may show."""
    histories = common.read_histories(inputs["history"]) if "history" in inputs else {}
    return {key: recent(turns, spec.generator.history_tokens, count, cut_one) for key, turns in histories.items()}


def choose_contexts(spec: AnswerSpec, queries: Mapping[str, str], inputs: Inputs) -> dict[str, list[str]]:
    """The ids of the passages that each query's prompt shows, best first, whatever their order in the prompt."""
    if spec.source == "none":
        return {query_id: [] for query_id in queries}
    if spec.source == "run":
        run = read_run(inputs["run"] / RUN_FILE, escaped=True)
        return {query_id: [doc_id for doc_id, _ in run.get(query_id, [])[: spec.context]] for query_id in queries}
    if spec.source == "given":
        given = common.read_contexts(inputs["contexts"])
        return {query_id: given[query_id] for query_id in queries}
    qrels, references = common.read_judgements(inputs["qrels"]), common.read_references(inputs["references"])
    return {query_id: common.relevant_passages(query_id, qrels, references)[: spec.context] for query_id in queries}


def _first_guess(spec: Mapping[str, Any]) -> float:
    """Answers a second: prompts are read some 25 times as fast as answers of half their limit are written."""
    passages = 0 if spec.get("source") == "none" else spec.get("context", 5)
    prompt = 100 + passages * setting(spec, "generator.passage_tokens", 160)
    return float(1 / (prompt / 1500 + setting(spec, "generator.max_new_tokens", 48) / 120))


def serve(spec: AnswerSpec, inputs: Inputs) -> Step:
    """Answer one question from the passages of its list `run`; see `served_answers`."""
    from harness.stages.shared.served_answers import answering

    return answering(spec, inputs)


STAGE = Stage(
    run=answer,
    spec=AnswerSpec,
    version=3,
    takes=Takes(
        ("queries", "corpus"),
        (
            "model",
            "adapter",
            "run",
            "contexts",
            "history",
            "qrels",
            "references",
            "train_queries",
            "train_qrels",
            "train_references",
        ),
    ),
    heavy=True,
    packages=("transformers", "torch"),
    rate=_first_guess,
    unit="answers",
    speed=SpeedRule(
        kind=("source",),
        size=(
            "context",
            "few_shot",
            "generator.passage_tokens",
            "generator.max_new_tokens",
            "generator.thinking",
            "stop",
        ),
        like_dev_evaluation=True,
    ),
    role="generator",
    all_at_endpoint=True,
    more_packages=lambda spec, inputs: ("peft",) if "adapter" in inputs else (),
    serve=serve,
)
