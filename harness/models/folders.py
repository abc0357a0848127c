"""Parse the files of a model folder: configurations, modules, names of weights. Loads no weights and no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from harness.errors import ConfigError, Problem
from harness.files import stays_inside
from harness.models.tensors import Tensor, tensors_of

OURS = ("sentence_transformers.", "pylate.models.Dense.Dense")
"""Modules whose code does not come with a model; sentence-transformers has PyLate's projection under another name."""
NAMED_AFTER = ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
"""Architectures in the names of the file of sentence-transformers, the one that counts first."""
LENGTHS = ("max_position_embeddings", "n_positions", "max_seq_len")
WIDTHS = ("hidden_size", "d_model", "dim", "n_embd")
"""Names under which architectures configure the width of their states."""
POSITIONS = ("position_embeddings.weight", "wpe.weight")
COUNT_FROM_PADDING = {
    "camembert", "data2vec-text", "esm", "ibert", "layoutlmv3", "lilt", "longformer", "luke", "markuplm", "mluke",
    "mpnet", "roberta", "roberta-prelayernorm", "xlm-roberta", "xlm-roberta-xl", "xmod",
}  # fmt: skip
"""Types that number positions from the padding token on, so that the first rows of their table stand for no token."""
ENDLESS = 1_000_000
"""A tokenizer without a limit says so by a number beyond all texts."""


class Module(NamedTuple):
    """One module of a sentence-transformers model: the class by its last name, as it is written, and its folder."""

    name: str
    written: str
    folder: Path


class ModelFolder:
    """A model folder. A file that cannot be read raises ConfigError with its path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, path: Path) -> Any:
        """Parse a JSON file; an empty mapping if there is none."""
        if not path.is_file():
            return {}
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError):
            raise ConfigError(Problem(str(path), "is no JSON", "download it again")) from None

    def _mapping(self, path: Path) -> Mapping[str, Any]:
        value = self.read(path)
        if not isinstance(value, Mapping):
            raise ConfigError(Problem(str(path), "holds no mapping", "download it again"))
        return value

    @cached_property
    def saved(self) -> Mapping[str, Any]:
        """What sentence-transformers wrote about the whole model."""
        return self._mapping(self.folder / "config_sentence_transformers.json")

    @property
    def saved_as(self) -> str:
        """The kind of model that sentence-transformers saved."""
        return str(self.saved.get("model_type") or "SentenceTransformer")

    @property
    def is_multi_vector(self) -> bool:
        """Whether it was saved as a model for late interaction: by sentence-transformers, PyLate or ColBERT itself."""
        marked = "query_prefix" in self.saved or self.architecture == "HF_ColBERT"
        return marked or self.saved_as in ("MultiVectorEncoder", "ColBERT")

    @cached_property
    def modules(self) -> tuple[Module, ...]:
        """The modules as modules.json names them; empty if there is no such file."""
        path = self.folder / "modules.json"
        rows = self.read(path)
        if not rows:
            return ()
        try:
            named = [(str(row["type"]), str(row.get("path", ""))) for row in rows]
        except (TypeError, KeyError, AttributeError):
            raise ConfigError(
                Problem(str(path), "is no list of modules with their types", "download it again")
            ) from None
        if outside := next((place for _, place in named if not stays_inside(place)), None):
            what = f"names a module outside of the folder ({outside!r})"
            raise ConfigError(Problem(str(path), what, "use a model whose files are all in its folder"))
        return tuple(Module(kind.rsplit(".", 1)[-1], kind, self.folder / place) for kind, place in named)

    @property
    def root(self) -> Path:
        """The folder with the configuration and the weights of the first module."""
        return self.modules[0].folder if self.modules else self.folder

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """The configuration of the architecture."""
        return self._mapping(self.root / "config.json")

    @property
    def text_config(self) -> Mapping[str, Any]:
        """The part of the configuration for texts; the whole one if there is no such part."""
        part = self.config.get("text_config")
        return part if isinstance(part, Mapping) else self.config

    @property
    def kind(self) -> str:
        """The model type that the configuration names."""
        return str(self.config.get("model_type") or "")

    @property
    def architecture(self) -> str:
        """The class that wrote the weights, if the configuration names it."""
        names = self.config.get("architectures")
        return str(names[0]) if isinstance(names, list) and names else ""

    @cached_property
    def tokenizer_config(self) -> Mapping[str, Any]:
        return self._mapping(self.root / "tokenizer_config.json")

    @cached_property
    def transformer_config(self) -> Mapping[str, Any]:
        """What sentence-transformers wrote about the transformer: how it is loaded, and the length of its texts."""
        paths = (self.root / f"sentence_{name}_config.json" for name in NAMED_AFTER)
        return next((self._mapping(path) for path in paths if path.is_file()), {})

    @cached_property
    def tensors(self) -> Mapping[str, Tensor]:
        """The weights of the first module by name."""
        return tensors_of(self.root)

    @property
    def width(self) -> int | None:
        """The width of a token's state, by the configuration; None if it does not say."""
        return next((count for name in WIDTHS if (count := _count(self.text_config.get(name))) is not None), None)

    @property
    def card(self) -> str:
        path = self.folder / "README.md"
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""

    @property
    def usable_length(self) -> int | None:
        """The largest number of tokens of a text, special tokens included; None if there is no limit."""
        limits = [self._positions(), *self._settings()]
        limits_found = [limit for limit in limits if limit is not None]
        return min(limits_found) if limits_found else None

    def _settings(self) -> list[int | None]:
        """Return the limits that tokenizer and sentence-transformers configure."""
        lengths = self.tokenizer_config.get("model_max_length"), self.transformer_config.get("max_seq_length")
        return [_count(length) for length in lengths]

    def _positions(self) -> int | None:
        """Return how many tokens have a position, by the configuration and the embedding table of positions."""
        config = self.text_config
        # T5 keeps a number under this name that bounds nothing: its positions are relative.
        names = LENGTHS if self.kind not in ("t5", "mt5", "umt5") else LENGTHS[:1]
        rows = [_count(config.get(name)) for name in names]
        rows += [
            tensor.shape[0]
            for name, tensor in self.tensors.items()
            if name.endswith(POSITIONS) and len(tensor.shape) == 2
        ]
        limits_found = [count for count in rows if count is not None]
        if not limits_found:
            return None
        padding = config.get("pad_token_id", 1) if self.kind in COUNT_FROM_PADDING else None
        return min(limits_found) - (padding + 1 if isinstance(padding, int) else 0)


def _count(value: Any) -> int | None:
    usable = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < ENDLESS
    return int(value) if usable else None
