"""Inspect a model folder: what the model is, how it is used here, and why it cannot be used.

`doctor`, `run` before any work, and every stage that loads a model call the same `inspect`. It reads configurations,
tokenizer files and the headers of weights. With `deep` it also samples the weights for NaN and compares them with their
architecture, which imports torch; no weights are loaded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.errors import ConfigError, Problem
from harness.models import architecture
from harness.models.architecture import Role
from harness.models.encoder_prompts import ConfiguredPrompts, EncoderPrompts, configured_prompts, wanted_prompts
from harness.models.folder_problems import refusals
from harness.models.folders import ModelFolder
from harness.models.signatures import while_unchanged
from harness.models.tensors import not_finite

HEAD_OUTPUT = re.compile(
    r"(^|\.)(classifier|classifier\.out_proj|score|logits_proj|classification_head\.out_proj)\.weight$"
)

NO_PROMPTS = EncoderPrompts()


@dataclass(frozen=True)
class Inspection:
    """The findings about a model folder, for one role.

    `modules` are class names, `pooling` its modes, `dtype` that of most weights. `length` is the limit of tokens of a
    text, None if there is none. `similarity` is ``cosine`` or ``dot``. `scores` is the number of outputs of a head,
    None if there is no head. `problems` say why the model cannot be used, `remarks` what readers should know.
    """

    folder: Path
    role: Role
    kind: str = ""
    modules: tuple[str, ...] = ()
    pooling: tuple[str, ...] = ()
    dtype: str = ""
    length: int | None = None
    prompts: EncoderPrompts = NO_PROMPTS
    similarity: str = "cosine"
    scores: int | None = None
    trained_head: bool = False
    wants_prompts: str = ""
    problems: tuple[Problem, ...] = ()
    remarks: tuple[str, ...] = field(default=())

    @property
    def static(self) -> bool:
        """Whether vectors are means of static token embeddings, without a transformer."""
        return self.modules[:1] == ("StaticEmbedding",)

    def check(self) -> Inspection:
        """Return it; raises ConfigError with every problem if it cannot be used."""
        if self.problems:
            raise ConfigError(self.problems)
        return self

    def takes(self, asked: int) -> int | None:
        """Return how many tokens of a text are read where `asked` are configured; None if there is no limit."""
        if self.static:
            return None
        return asked if self.length is None else min(asked, self.length)

    @property
    def raw_trains(self) -> bool:
        """Whether the recipe `raw` supports the modules."""
        simple = self.modules[:1] == ("Transformer",) and set(self.modules[1:]) <= {"Pooling", "Normalize"}
        return simple and self.pooling in (("mean",), ("cls",))


@while_unchanged
def inspect(folder: Path, role: Role, deep: bool = False, headless_ok: bool = False) -> Inspection:
    """Inspect a model folder, or the GGUF file of a package, for a role.

    With `headless_ok` the head of a cross-encoder may be missing, as it will be trained. Problems of the model are in
    the result, and are not raised.
    """
    if folder.is_file():
        return Inspection(folder, role, kind="gguf")
    files = ModelFolder(folder)
    try:
        inspection = _inspected(files, role)
    except ConfigError as error:
        return Inspection(folder, role, problems=error.problems)
    if inspection.problems or not deep:
        return inspection
    if (name := not_finite(files.tensors.values())) is not None:
        what = f"its weights hold NaN or infinite values ({name})"
        problem = Problem(str(folder), what, "give weights from before the training diverged")
        return replace(inspection, problems=(problem,))
    if inspection.static:
        return inspection
    # An untrained head has its own message; it is not reported as missing weights.
    headless = role == "cross-encoder" and (headless_ok or not inspection.trained_head)
    fit = architecture.fit(files.root, role, files.tensors, headless)
    return replace(inspection, problems=fit.problems, remarks=(*inspection.remarks, *fit.remarks))


def head_scores(folder: Path) -> int | None:
    """Return how many scores the head of a classifier gives for a text; None if there is no head."""
    tensors = ModelFolder(folder).tensors
    return next(
        (tensor.shape[0] for name, tensor in tensors.items() if HEAD_OUTPUT.search(name) and tensor.shape), None
    )


def trained_head(folder: Path) -> bool:
    """Whether a folder holds a cross-encoder that was trained: weights of a head of one score, or saved as one."""
    files, scores = ModelFolder(folder), head_scores(folder)
    return scores == 1 if scores is not None else files.saved_as == "CrossEncoder" and bool(files.saved)


def _inspected(files: ModelFolder, role: Role) -> Inspection:
    folder = files.folder
    problems = refusals(files, role)
    if problems:
        return Inspection(folder, role, files.kind, problems=tuple(problems))
    stored = [tensor.dtype for tensor in files.tensors.values() if len(tensor.shape) > 1]
    inspection = Inspection(
        folder,
        role,
        files.kind,
        dtype=max(sorted(set(stored)), key=stored.count, default=""),
        length=files.usable_length,
    )
    if role == "multi-vector" and files.is_multi_vector:
        return _multi_vector(files, inspection)
    if role in architecture.ENCODERS:
        return _bi_encoder(files, inspection)
    if role == "cross-encoder":
        return _cross_encoder(files, inspection)
    return inspection


def _bi_encoder(files: ModelFolder, inspection: Inspection) -> Inspection:
    where, remarks = str(files.folder), []
    problems = []
    try:
        configured = configured_prompts(files.saved)
    except ValueError as error:
        problems.append(Problem(where, f"config_sentence_transformers.json: {error}", "correct it"))
        configured = ConfiguredPrompts(EncoderPrompts())
    if configured.others and not configured.prompts.query:
        remarks.append(
            f"prompts for other tasks than queries and documents are not used ({', '.join(configured.others)})"
        )
    modules = tuple(module.name for module in files.modules)
    pooling = _pooling(files)
    if not modules:
        modules = ("Transformer", "Pooling")
        how = "the last token" if pooling == ("lasttoken",) else "the mean of its tokens"
        remarks.append(f"no pooling is configured (no modules.json): a text's vector is {how}")
    elif modules == ("Transformer",):
        problems.append(Problem(where, "modules.json has no pooling", "add a Pooling module, or remove modules.json"))
    similarity, refused = _similarity(files, modules)
    problems += refused
    if not files.saved.get("similarity_fn_name") and "Normalize" not in modules and _speaks_of_dot(files.card):
        remarks.append("its card ranks by dot product, and no similarity_fn_name is configured: cosine is used")
    wants = wanted_prompts(files.card, f"{files.folder.name} {files.config.get('_name_or_path', '')}")
    return replace(
        inspection,
        modules=modules,
        pooling=pooling,
        prompts=configured.prompts,
        similarity=similarity,
        problems=tuple(problems),
        wants_prompts=wants,
        remarks=tuple(remarks),
        kind=inspection.kind or modules[0],
    )


def _multi_vector(files: ModelFolder, inspection: Inspection) -> Inspection:
    try:
        prompts = configured_prompts(files.saved).prompts
    except ValueError as error:
        problem = Problem(str(files.folder), f"config_sentence_transformers.json: {error}", "correct it")
        return replace(inspection, problems=(problem,))
    modules = tuple(module.name for module in files.modules) or ("Transformer", "Dense")
    return replace(inspection, modules=modules, prompts=prompts)


def _pooling(files: ModelFolder) -> tuple[str, ...]:
    """Return the pooling modes; for a plain transformer, those that sentence-transformers uses by default."""
    if not files.modules:
        return ("lasttoken",) if files.architecture.endswith("ForCausalLM") else ("mean",)
    module = next((module for module in files.modules if module.name == "Pooling"), None)
    config: Any = files.read(module.folder / "config.json") if module is not None else {}
    if not isinstance(config, Mapping) or module is None:
        return ()
    mode = config.get("pooling_mode")
    if mode:
        return (mode,) if isinstance(mode, str) else tuple(mode)
    legacy = {"cls_token": "cls", "max_tokens": "max", "mean_tokens": "mean"}
    names = (
        name.removeprefix("pooling_mode_") for name, on in config.items() if name.startswith("pooling_mode_") and on
    )
    return tuple(legacy.get(name, name) for name in names) or ("mean",)


def _similarity(files: ModelFolder, modules: tuple[str, ...]) -> tuple[str, list[Problem]]:
    """Return ``cosine`` or ``dot``, and problems; on unit vectors, Euclidean distance ranks like the cosine."""
    name = files.saved.get("similarity_fn_name") or "cosine"
    unit = modules[-1:] == ("Normalize",)
    if name in ("cosine", "dot") or (name == "euclidean" and unit):
        return ("dot" if name == "dot" else "cosine"), []
    what = f"ranks by {name!r} (similarity_fn_name), and only 'cosine' and 'dot' are supported"
    return "cosine", [Problem(str(files.folder), what, "use a model that was trained for one of these")]


def _speaks_of_dot(card: str) -> bool:
    return "dot_score" in card and "cos_sim" not in card


def _cross_encoder(files: ModelFolder, inspection: Inspection) -> Inspection:
    scores = head_scores(files.root)
    problems = []
    if scores not in (None, 1):
        what = f"its head gives {scores} scores a text; it is a classifier, and a reranker gives one"
        hint = "use a cross-encoder with one score, or tune one from a plain encoder"
        problems.append(Problem(str(files.folder), what, hint))
    return replace(inspection, scores=scores, trained_head=trained_head(files.root), problems=tuple(problems))
