"""A whole job, before and after tuning: the plain script of a tutorial against `harness run`.

Both write queries about the same passages, train the same retriever and generator on as many examples for as many
steps, encode the corpus, search, and answer the same questions with the untuned and with the tuned models. Both run in
a new process and begin with the same files. The script asks the LLM for one text after the other, trains with
`model.fit` and with `Trainer` padded to 1,024 tokens, and answers with `generate`.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from measuring import Bar, Lab, Row, alternate, fresh

CHILD = "import tutorial, sys; tutorial.script(sys.argv[1])"
DEPTH, CONTEXT = 50, 2
INSTRUCTION = (
    "Each passage begins with the name of a SciPy function or class and its arguments. Find the passage that answers "
    "the question and copy its first line. Write nothing else. If no passage answers it, write exactly: Information "
    "not available in the provided context."
)


def write_data(lab: Lab, folder: Path) -> Path:
    """A dataset in the BEIR layout with answers: SciPy's functions, asked for by what they do."""
    from harness.data.builders import scipy_api

    (folder / "qrels").mkdir(parents=True)
    built = scipy_api.build(lab.sized(160, 40), 0.0, 0)
    splits: dict[str, list[str]] = {"train": [], "dev": [], "test": []}
    for query in built.queries:
        for doc_id, grade in built.qrels[query.query_id].items():
            splits[built.splits[query.query_id]].append(f"{query.query_id}\t{doc_id}\t{grade}")
    documents = [{"_id": row.doc_id, "title": row.title, "text": row.text} for row in built.documents]
    queries = [{"_id": row.query_id, "text": row.text} for row in built.queries]
    answers = [
        {"_id": key, "answers": list(row.answers), "answerable": True, "source_passages": list(row.source_passages)}
        for key, row in built.references.items()
    ]
    for name, rows in (("corpus", documents), ("queries", queries), ("answers", answers)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    for name, lines in splits.items():
        text = "\n".join(["query-id\tcorpus-id\tscore", *lines]) + "\n"
        (folder / "qrels" / f"{name}.tsv").write_text(text, encoding="utf-8")
    return folder


def settings(lab: Lab, folder: Path) -> dict[str, Any]:
    """What both sides are told; the sizes are those of about five minutes of the script on two cores."""
    return {
        "data": str(folder / "data"), "out": str(folder / "script"), "encoder": str(lab.encoder),
        "generator": str(lab.generator), "max_length": 128, "written": lab.sized(32, 4), "batch": lab.sized(16, 4),
        "rate": 5e-5, "examples": lab.sized(24, 4), "generator_batch": 4, "generator_rate": 5e-4,
        "padded": 1024, "answered": lab.sized(24, 3), "new_tokens": lab.sized(20, 4),
        "passage_words": lab.sized(40, 15), "query_tokens": lab.sized(24, 8),
    }  # fmt: skip


def suite(told: dict[str, Any]) -> dict[str, Any]:
    """The same job as a suite of the harness."""
    return {
        "schema": "harness/suite-2",
        "name": "tutorial",
        "dataset": {"path": told["data"]},
        "evaluate": {"generation_queries": told["answered"], "probe_queries": 5, "probe_generations": 1},
        "pipeline": {
            "retriever": {"model": told["encoder"], "max_length": told["max_length"]},
            "generator": {
                "model": told["generator"], "max_new_tokens": told["new_tokens"],
                "passage_tokens": round(1.6 * told["passage_words"]), "instruction": INSTRUCTION,
            },
            "depth": DEPTH,
            "context": CONTEXT,
        },
        "answer": {"stop": ["\n"]},
        "data": {
            "pairs": "synthetic",
            "synthesize": {
                "max_documents": told["written"], "queries_per_document": 1, "kinds": ["question"],
                "max_new_tokens": told["query_tokens"], "round_trip": None, "leakage": 1.0,
            },
            "mine": {"hard": 0, "random": 0},
            "instruct": {
                "retrieved_by": "untuned", "examples": told["examples"], "distractors": 1, "without_oracle": 0.0,
            },
        },
        "llm": {"synthesizer": {"model": told["generator"]}},
        "candidates": {"tuned": {"tune": ["retriever", "generator"]}},
        "recipes": {
            "retriever": {"epochs": 1, "batch_size": told["batch"], "learning_rate": told["rate"], "checkpoints": 1},
            "generator": {"batch_size": told["generator_batch"], "learning_rate": told["generator_rate"]},
        },
        "baseline_rows": ["untuned"],
        "measures": ["ndcg@10", "token_f1"],
        "gates": [{"measure": "ndcg@10", "margin": 0.02}],
    }  # fmt: skip


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def judged(data: Path, split: str) -> dict[str, dict[str, int]]:
    """Judgements of a split: query -> document -> grade."""
    qrels: dict[str, dict[str, int]] = {}
    for line in (data / "qrels" / f"{split}.tsv").read_text(encoding="utf-8").splitlines()[1:]:
        query_id, doc_id, grade = line.split("\t")
        qrels.setdefault(query_id, {})[doc_id] = int(grade)
    return qrels


def searched(encoder: Any, texts: dict[str, str], queries: dict[str, str]) -> dict[str, list[tuple[str, float]]]:
    """Encode the corpus and the queries, and search: query -> documents with scores, best first."""
    from sentence_transformers.util import semantic_search

    vectors = encoder.encode(list(texts.values()), convert_to_tensor=True, show_progress_bar=False)
    asked = encoder.encode(list(queries.values()), convert_to_tensor=True, show_progress_bar=False)
    names = list(texts)
    hits = semantic_search(asked, vectors, top_k=DEPTH)
    return {
        query_id: [(names[hit["corpus_id"]], float(hit["score"])) for hit in row]
        for query_id, row in zip(queries, hits, strict=True)
    }


def script(file: str) -> None:
    """What a tutorial's reader writes, from the models to the answers; leaves its lists and answers in `out`."""
    import torch
    from contrastive import fit_losses
    from lora import Coded, padded_training
    from sentence_transformers import SentenceTransformer
    from synthesis import generated
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from harness.models.decoding import end_tokens
    from harness.stages.shared.prompts import question_turn, synthesis_head, synthesis_tail

    told = json.loads(Path(file).read_text(encoding="utf-8"))
    data, out = Path(told["data"]), Path(told["out"])
    torch.manual_seed(0)
    texts = {row["_id"]: f"{row['title']} {row['text']}".strip() for row in rows_of(data / "corpus.jsonl")}
    asked = {row["_id"]: row["text"] for row in rows_of(data / "queries.jsonl")}
    answers = {row["_id"]: row["answers"][0] for row in rows_of(data / "answers.jsonl")}
    train, test = judged(data, "train"), judged(data, "test")
    queries = {query_id: asked[query_id] for query_id in test}
    tokenizer = AutoTokenizer.from_pretrained(told["generator"])
    tokenizer.padding_side = "left"
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    model = AutoModelForCausalLM.from_pretrained(told["generator"], dtype=torch.float32).eval()
    encoder = SentenceTransformer(told["encoder"])
    encoder.max_seq_length = min(told["max_length"], encoder.max_seq_length)
    # All that is asked for has one line, so a text ends at a line break.
    ends = sorted(end_tokens(model, tokenizer, one_line=True))

    def short(doc_id: str) -> str:
        return " ".join(texts[doc_id].split()[: told["passage_words"]])

    def prompt(question: str, passages: Sequence[str]) -> str:
        user = {"role": "user", "content": question_turn(question, passages)}
        turns = [{"role": "system", "content": INSTRUCTION}, user]
        return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True))

    def answered(generator: Any, run: dict[str, list[tuple[str, float]]]) -> dict[str, str]:
        replies = {}
        for query_id in list(queries)[: told["answered"]]:
            shown = [short(doc_id) for doc_id, _ in run[query_id][:CONTEXT]]
            asking = prompt(queries[query_id], shown)
            replies[query_id] = generated(generator, tokenizer, [asking], ends, told["new_tokens"])[0]
        return replies

    before = searched(encoder, texts, queries)
    replies = {"untuned": answered(model, before)}
    dice = random.Random(0)
    head, pairs = synthesis_head("question"), []
    for doc_id in dice.sample(sorted(texts), told["written"]):
        asking = head + synthesis_tail("question", short(doc_id))
        pairs.append((generated(model, tokenizer, [asking], ends, told["query_tokens"])[0], texts[doc_id]))
    examples = []
    for query_id in sorted(train)[: told["examples"]]:
        shown = [short(next(iter(train[query_id]))), short(dice.choice(sorted(texts)))]
        tokens = tokenizer(prompt(asked[query_id], shown), add_special_tokens=False)["input_ids"]
        reply = tokenizer(answers[query_id], add_special_tokens=False)["input_ids"]
        examples.append(Coded(list(tokens), [*reply, tokenizer.eos_token_id]))
    fit_losses(encoder, pairs, told["batch"], told["rate"])
    size, rate = told["generator_batch"], told["generator_rate"]
    tuned = padded_training(model, tokenizer, examples, size, told["padded"], rate).eval()
    after = searched(encoder, texts, queries)
    replies["tuned"] = answered(tuned, after)
    out.mkdir(exist_ok=True)
    (out / "runs.json").write_text(json.dumps({"untuned": before, "tuned": after}), encoding="utf-8")
    (out / "answers.json").write_text(json.dumps(replies), encoding="utf-8")
    print(json.dumps(sum(map(len, replies.values()))))


def harness_run(file: Path, store: Path) -> None:
    command = [sys.executable, "-m", "harness", "run", str(file), "--store", str(store), "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"harness run failed: {done.stderr[-2000:]}")


def ndcg(run: dict[str, list[tuple[str, float]]], qrels: dict[str, dict[str, int]]) -> list[float]:
    """nDCG@10 of each query, in the order of the judgements."""
    from harness.scoring import rank
    from harness.values.measures import parse

    measure = parse("ndcg@10")
    scores = rank.score_run({key: [(doc, score) for doc, score in hits] for key, hits in run.items()}, qrels, [measure])
    return [scores[measure][query_id] for query_id in qrels]


def interval(values: Sequence[float], draws: int = 2000) -> tuple[float, float]:
    """The 95 % bootstrap interval of a mean."""
    import numpy as np

    dice = np.random.default_rng(0)
    means = np.array(values)[dice.integers(len(values), size=(draws, len(values)))].mean(axis=1)
    low, high = np.quantile(means, (0.025, 0.975))
    return float(low), float(high)


def same_quality(folder: Path, store: Path) -> Row:
    """Whether the tuned pipelines of both sides retrieve equally well."""
    from harness.data.formats import read_run

    (run,) = sorted((store / "outcomes" / "tutorial").glob("2*/runs/tuned-0.trec"))[-1:]
    qrels = judged(folder / "data", "test")
    theirs = ndcg(json.loads((folder / "script" / "runs.json").read_text(encoding="utf-8"))["tuned"], qrels)
    ours = ndcg(read_run(run, escaped=True), qrels)
    gaps = [mine - other for mine, other in zip(ours, theirs, strict=True)]
    low, high = interval(gaps)
    gap, size = sum(gaps) / len(gaps), len(gaps)
    note = (
        f"harness {sum(ours) / size:.3f}, script {sum(theirs) / size:.3f}, difference {gap:+.3f} "
        f"[{low:+.3f}, {high:+.3f}], {size} queries; the bar is half of the interval"
    )
    return Row(
        "distance of the two sides' ndcg@10 after tuning", (abs(gap),), unit="", bar=Bar("at most", (high - low) / 2),
        note=note,
    )  # fmt: skip


def measure(lab: Lab) -> Iterator[Row]:
    import yaml

    folder = lab.folder / "tutorial"
    write_data(lab, folder / "data")
    told = settings(lab, folder)
    (folder / "told.json").write_text(json.dumps(told), encoding="utf-8")
    (folder / "suite.yaml").write_text(yaml.safe_dump(suite(told)), encoding="utf-8")
    stores = iter([folder / f"store{number}" for number in range(lab.repeats)])
    last: list[Path] = []

    def ours() -> None:
        last[:] = [next(stores)]
        harness_run(folder / "suite.yaml", last[0])

    def theirs() -> None:
        fresh(CHILD, str(folder / "told.json"))

    # A repeat takes minutes, so there is one.
    times = alternate({"ours": ours, "theirs": theirs}, 1, warm_up=False)
    what = (
        f"{told['written']} written queries, {told['examples']} examples, {told['answered']} answers before and after"
    )
    yield Row(what, times["ours"], times["theirs"], "the plain script", bar=Bar("at least", 3.0), note="one repeat")
    yield same_quality(folder, last[0])
