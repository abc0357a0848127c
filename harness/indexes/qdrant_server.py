"""A collection on a Qdrant server: made whole, named last, checked, searched, and removed with what was left of it.

The key is in `QDRANT_API_KEY`. What the engine in this process shares with it is here, too.
"""

from __future__ import annotations

import os
import re
import signal
import threading
import time
import uuid
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from harness.indexes.protocol import ABSENT, Built, Neighbours, Vectors
from harness.suite.vector_indexes import VectorIndex
from harness.values.records import Progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

KEY_VARIABLE = "QDRANT_API_KEY"
BATCH = 1024
SMALLEST_KB = 10
"""Segments from this size on have a graph, and are searched by it. By its own bounds, 10 MB and more, Qdrant would
search small collections exactly."""
SECONDS = 60
INDEXING_SECONDS = 24 * 3600.0
CLOSE = 1e-4


class ServerSearcher:
    """A collection on a server."""

    def __init__(self, rule: VectorIndex, built: Built) -> None:
        self._rule, self._built = rule, built
        self._client = client_of(rule)
        weakref.finalize(self, self._client.close)

    def search(self, queries: Floats, count: int) -> Neighbours:
        from qdrant_client import models

        count = min(count, self._built.passages)
        exact = self._rule.method == "flat"
        params = models.SearchParams(hnsw_ef=None if exact else max(self._rule.ef_search, count), exact=exact)
        found = (
            self._client.query_points(
                self._built.name, query=query.tolist(), limit=count, search_params=params, with_payload=False
            ).points
            for query in queries
        )
        return neighbours(found, len(queries), count)


def neighbours(found: Iterator[Any], queries: int, count: int) -> Neighbours:
    """Return the points that were found, one list a query, as arrays of shape (queries, count)."""
    import numpy as np

    places = np.full((queries, count), ABSENT, dtype=np.int64)
    scores = np.zeros((queries, count), dtype=np.float32)
    for number, points in enumerate(found):
        places[number, : len(points)] = [point.id for point in points]
        scores[number, : len(points)] = [point.score for point in points]
    return Neighbours(places, scores)


def client_of(rule: VectorIndex) -> Any:
    """Return a client of the server of an index; nothing is asked yet."""
    from qdrant_client import QdrantClient

    return QdrantClient(
        url=rule.address, api_key=os.environ.get(KEY_VARIABLE) or None, timeout=SECONDS, check_compatibility=False
    )


def asked(rule: VectorIndex, ask: Any) -> Any:
    """Return what a server answers; what it refuses is a ValueError of one sentence."""
    from qdrant_client.http.exceptions import ApiException, UnexpectedResponse

    client = client_of(rule)
    try:
        return ask(client)
    except UnexpectedResponse as error:
        refused = error.status_code in (401, 403)
        hint = f"set {KEY_VARIABLE} in the environment" if refused else "see the log of the server"
        what = f"Qdrant at {rule.address} refuses ({error.status_code} {error.reason_phrase})"
        raise ValueError(f"{what}; {hint}") from error
    except (ApiException, OSError) as error:
        why = " ".join(str(error).split()) or type(error).__name__
        what = f"Qdrant at {rule.address} cannot be used ({why})"
        raise ValueError(f"{what.replace(';', ',')}; start it, or correct 'address'") from error
    finally:
        client.close()


def provide(client: Any, vectors: Vectors, rule: VectorIndex, built: Built, progress: Progress) -> Built:
    """Make the collection unless the server has it, whole and unchanged; its name is an alias that is set last."""
    from qdrant_client import models

    if _is_whole(client, vectors, built):
        return built._replace(found=True)
    aside = f"{built.name}_{uuid.uuid4().hex[:8]}"
    before, others = _collections(client, built.name), _unnamed(client, built.name)
    graph = models.HnswConfigDiff(m=rule.m, ef_construct=rule.ef_construction, full_scan_threshold=SMALLEST_KB)
    client.create_collection(
        aside,
        vectors_config=models.VectorParams(
            size=built.dimensions, distance=models.Distance.COSINE if built.cosine else models.Distance.DOT
        ),
        hnsw_config=graph,
        optimizers_config=models.OptimizersConfigDiff(
            default_segment_number=1, indexing_threshold=SMALLEST_KB if rule.method == "hnsw" else 0
        ),
    )
    try:
        with _interruptible():
            for start, part in vectors.parts():
                for first in range(0, len(part), BATCH):
                    rows = enumerate(part[first : first + BATCH].tolist(), start + first)
                    points = [models.PointStruct(id=number, vector=row) for number, row in rows]
                    client.upsert(aside, points=points, wait=True)
                progress(start + len(part), vectors.count)
            _wait_until_indexed(client, aside)
        named = models.CreateAlias(collection_name=aside, alias_name=built.name)
        gone = models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=built.name))
        client.update_collection_aliases([*([gone] if before else []), models.CreateAliasOperation(create_alias=named)])
    except BaseException:
        client.delete_collection(aside)
        raise
    # One of the same vectors that has not grown meanwhile is what a killed process has left.
    left = [name for name, count in _unnamed(client, built.name).items() if others.get(name) == count]
    for name in [*before, *left]:
        client.delete_collection(name)
    return built


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let SIGTERM, which ends the process of a call, raise: what is made on a server has to be removed there."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: Any) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def drop(client: Any, name: str) -> bool:
    """Delete what a name stands for, and what was left of making it; return whether there was anything."""
    from qdrant_client import models

    named, collections = _collections(client, name), [*_collections(client, name), *_unnamed(client, name)]
    if named:
        removed = models.DeleteAliasOperation(delete_alias=models.DeleteAlias(alias_name=name))
        client.update_collection_aliases([removed])
    for collection in collections:
        client.delete_collection(collection)
    return bool(collections)


def _collections(client: Any, name: str) -> list[str]:
    """Return the collections that a name stands for."""
    return [one.collection_name for one in client.get_aliases().aliases if one.alias_name == name]


def _unnamed(client: Any, name: str) -> dict[str, int]:
    """Return the collections that were made for a name and do not have it, with the vectors that each holds."""
    own, named = re.compile(rf"{name}_[0-9a-f]{{8}}"), {one.collection_name for one in client.get_aliases().aliases}
    found = [one.name for one in client.get_collections().collections if own.fullmatch(one.name)]
    return {other: client.count(other).count for other in found if other not in named}


def _wait_until_indexed(client: Any, name: str) -> None:
    """Wait until the server has built its graphs: it does so after the vectors were taken."""
    deadline = time.monotonic() + INDEXING_SECONDS
    while client.get_collection(name).status != "green":
        if time.monotonic() > deadline:
            raise ValueError(f"Qdrant has not indexed {name} in a day; see the log of the server")
        time.sleep(0.2)


def _is_whole(client: Any, vectors: Vectors, built: Built) -> bool:
    """Whether the collection has all vectors, and those that are looked at are the same."""
    import numpy as np

    if built.name not in {one.alias_name for one in client.get_aliases().aliases}:
        return False
    if client.count(built.name, exact=True).count != built.passages:
        return False
    wanted = vectors.checked()
    found = client.retrieve(built.name, ids=list(wanted), with_vectors=True, with_payload=False)
    # For cosines Qdrant scales what it is given.
    same = [np.allclose(np.array(one.vector, dtype=np.float32), wanted[one.id], atol=CLOSE) for one in found]
    return len(same) == len(wanted) and all(same)
