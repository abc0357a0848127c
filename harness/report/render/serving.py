"""Commands that serve an exported candidate, for the servers that people use. They are texts; nothing is run."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from harness.report import format as fmt
from harness.report.model import Column, Table, cells, left, number
from harness.text import decimals

if TYPE_CHECKING:
    from harness.report.render.card import Card, TunedPart

VLLM_RANK = 16
"""The largest rank of an adapter that vLLM takes without being told."""


class ServeCommand(NamedTuple):
    """What a command is for, with the name of its server, and its lines."""

    title: str
    lines: tuple[str, ...]


def serve_commands(card: Card) -> tuple[ServeCommand, ...]:
    """Return the commands for the parts of an export, in the order of the pipeline."""
    parts = {one.part: one for one in card.parts}
    commands: list[ServeCommand] = []
    if "retriever" in parts and card.pipeline["retriever"]["kind"] == "dense":
        commands += _retriever(parts["retriever"])
    if "reranker" in parts and parts["reranker"].form == "cross-encoder":
        commands += _reranker(parts["reranker"])
    if "generator" in parts:
        commands += _generator(parts["generator"], card)
    return tuple(commands)


def _retriever(part: TunedPart) -> Iterator[ServeCommand]:
    folder = part.folder
    yield ServeCommand("Retriever with vLLM", (f"vllm serve ./{folder} --runner pooling --port 8001",))
    yield ServeCommand("Retriever with TEI", (f"text-embeddings-router --model-id ./{folder} --port 8001",))
    yield ServeCommand(
        "Retriever with llama.cpp",
        (
            f"python convert_hf_to_gguf.py ./{folder} --outfile {folder}.gguf",
            f"llama-server --model {folder}.gguf --embedding --port 8001",
        ),
    )


def _reranker(part: TunedPart) -> Iterator[ServeCommand]:
    yield ServeCommand("Reranker with vLLM", (f"vllm serve ./{part.folder} --runner pooling --port 8002",))
    yield ServeCommand("Reranker with TEI", (f"text-embeddings-router --model-id ./{part.folder} --port 8002",))


def _generator(part: TunedPart, card: Card) -> Iterator[ServeCommand]:
    if card.merged is None:
        name, _, revision = part.base.partition("@")
        base, rank = name if part.place == "hub" else "PATH_OF_THE_BASE", part.recipe.get("rank") or 0
        more = f" --max-lora-rank {rank}" if rank > VLLM_RANK else ""
        more += f" --revision {revision}" if revision else ""
        command = f"vllm serve {base} --enable-lora --lora-modules tuned=./{part.folder}{more} --port 8000"
        yield ServeCommand("Generator with vLLM", (command,))
        return
    folder = card.merged.folder
    yield ServeCommand("Generator with vLLM", (f"vllm serve ./{folder} --port 8000",))
    yield ServeCommand(
        "Generator with llama.cpp",
        (
            f"python convert_hf_to_gguf.py ./{folder} --outfile {folder}.gguf --outtype q8_0",
            f"llama-server --model {folder}.gguf --jinja --port 8000",
        ),
    )


def conversions(card: Card) -> Table | None:
    """Return what each converted encoder loses against the tuned one; None if nothing was converted."""
    if not card.encoders:
        return None
    rows = [
        cells(
            one.form,
            one.measure,
            *(number(value, "mean") for value in (one.before, one.after, one.cosine, one.lowest_cosine)),
            fmt.size(one.bytes),
        )
        for one in card.encoders
    ]
    columns = (
        *left("format", "measure"),
        *map(Column, ("tuned", "converted", "cosine", "lowest cosine")),
        *left("size"),
    )
    first = card.encoders[0]
    caption = (
        f"On {fmt.counted(first.queries, 'query', 'queries')} of {first.split} and "
        f"{fmt.counted(first.documents, 'document')}. Cosine: between the vectors of both, for each of these texts."
    )
    return Table("Conversion", columns, tuple(rows), caption)


class GraphLoader(NamedTuple):
    """How a converted encoder is loaded: what it needs, and the function of `deploy.runtimes` that computes it."""

    form: str
    file: str
    packages: str
    function: str


def graph_loaders(card: Card) -> list[GraphLoader]:
    """Return how each converted encoder is loaded."""
    openvino, onnx = ("openvino", "openvino_states"), ("onnxruntime", "onnx_states")
    return [
        GraphLoader(one.form, one.file, *(openvino if one.form == "openvino-int8" else onnx)) for one in card.encoders
    ]


def serving_notes(card: Card, prompts: Mapping[str, str]) -> list[str]:
    """Return what a server must be told so that it computes what was measured."""
    read = [f"{one.max_length} ({one.part})" for one in card.parts if one.max_length]
    notes = []
    if read:
        notes.append(
            "A server reads a text up to the limit of the model. The scores were measured with at most so many tokens: "
            f"{', '.join(read)}."
        )
    notes += [f"Put the prompt before each {role} that is sent: {json.dumps(text)}." for role, text in prompts.items()]
    if any(one.form == "onnx" for one in card.encoders):
        notes.append("TEI for CPUs takes the graph in onnx/model.onnx where there is one.")
    return notes


def merged_said(card: Card) -> str:
    """Return how near a merged generator is to the tuned one; empty if there is none."""
    if card.merged is None:
        return ""
    share, positions = decimals.percent(card.merged.agreement), fmt.counted(card.merged.positions, "position")
    return (
        f"The merged generator is saved in {card.merged.dtype}. It predicts the same token as base and adapter at "
        f"{share} of {positions}."
    )
