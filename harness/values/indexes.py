"""What an index of vectors loses against exact search, and what it costs. Frozen values that compute nothing."""

from __future__ import annotations

from harness.values.frozen import Frozen


class LostByIndex(Frozen):
    """The index of a system on the scored split, against exact search by the same encoder.

    `recall_10` and `recall_depth` are shares of the 10 and of the `depth` nearest neighbours among the same stored
    vectors. `float32`, `stored` and `indexed` are means of `measure`: exact search in float32 vectors, exact search in
    the vectors as they are stored (in `precision`), and search by the index. `quantisation` is the difference of the
    second to the first, `loss` that of the third to the second; their intervals hold for all of an outcome together.
    `short` counts lists with fewer passages than were asked for. Latencies are those of the first stage in
    milliseconds, the encoding of the query included; sizes are bytes. None is not known; `reason` says why nothing was
    compared.
    """

    system: str
    seed: int
    index: str
    precision: str
    depth: int
    measure: str = ""
    recall_10: float | None = None
    recall_depth: float | None = None
    float32: float | None = None
    stored: float | None = None
    indexed: float | None = None
    quantisation: float | None = None
    quantisation_low: float | None = None
    quantisation_high: float | None = None
    loss: float | None = None
    loss_low: float | None = None
    loss_high: float | None = None
    short: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None
    size_bytes: int | None = None
    memory_bytes: int | None = None
    build_seconds: float | None = None
    reason: str = ""
