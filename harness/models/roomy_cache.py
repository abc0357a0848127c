"""Keys and values of a batch that is being written, kept with room for the tokens to come.

transformers' own cache copies all keys and values for each new token: with 8,000 tokens of a batch of a model of 135 M
parameters, this is 370 MB a token, more than its weights. Here a new token is written behind the others.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any


def with_room(cache: Any, tokens: int) -> Any:
    """Let the plain layers of a cache take `tokens` more without a copy, in place, and return it.

    Layers of other kinds (sliding windows, states) stay as they are, and so does a cache that has no layers.
    """
    from transformers.cache_utils import DynamicLayer

    layers: Any = getattr(cache, "layers", None)
    for place, layer in enumerate(layers or ()):
        # Not its subclasses: what they keep besides is not known.
        if type(layer) is DynamicLayer and layer.is_initialized:
            layers[place] = _layer_class()(layer, tokens)
    return cache


@lru_cache(maxsize=1)
def _layer_class() -> Any:
    """Return the class of layers; transformers is imported only where it is needed."""
    import torch
    from transformers.cache_utils import DynamicLayer

    class RoomyLayer(DynamicLayer):  # type: ignore[misc]
        """A layer whose `keys` and `values` are the filled part of larger tensors."""

        def __init__(self, layer: Any, room: int) -> None:
            super().__init__()
            self.lazy_initialization(layer.keys, layer.values)
            self.room = room
            self.filled = layer.keys.shape[-2]
            self.all_keys, self.all_values = self._enlarged(layer.keys), self._enlarged(layer.values)
            self._show()

        def _enlarged(self, filled: Any) -> Any:
            rows, heads, length, width = filled.shape
            tensor = filled.new_empty(rows, heads, length + self.room, width)
            tensor[:, :, :length] = filled
            return tensor

        def _show(self) -> None:
            self.keys, self.values = self.all_keys[:, :, : self.filled], self.all_values[:, :, : self.filled]

        def update(self, key_states: Any, value_states: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
            end = self.filled + key_states.shape[-2]
            if end > self.all_keys.shape[-2]:
                self.room = max(self.room, key_states.shape[-2])
                self.all_keys, self.all_values = self._enlarged(self.keys), self._enlarged(self.values)
            self.all_keys[:, :, self.filled : end] = key_states
            self.all_values[:, :, self.filled : end] = value_states
            self.filled = end
            self._show()
            return self.keys, self.values

        def batch_select_indices(self, indices: Any) -> None:
            self.all_keys = torch.index_select(self.all_keys, 0, indices)
            self.all_values = torch.index_select(self.all_values, 0, indices)
            self._show()

    return RoomyLayer
