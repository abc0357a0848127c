"""pgvector: a table in PostgreSQL. User and password come from the environment, as libpq reads them (PGUSER, ...)."""

from __future__ import annotations

import json
import time
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.hashing import digest_of
from harness.indexes.protocol import ABSENT, Built, Neighbours, Vectors, check
from harness.suite.vector_indexes import VectorIndex
from harness.values.records import Progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float32]

MOST_CANDIDATES = 1000
"""The largest `hnsw.ef_search` of pgvector: a search by a graph finds no more."""
SECONDS = 10
"""How long a connection may take."""
SECONDS_TAKEN = "seconds"
"""In the comment of a table: what it took when it was made."""
MOST_SECONDS = 30 * 24 * 3600.0
HEADER, END = b"PGCOPY\n\xff\r\n\x00" + bytes(8), b"\xff\xff"
"""Of the binary format of COPY."""


class PgVector:
    """Builds and opens tables with an index of pgvector.

    A table is named by a digest of its vectors and of the settings it was built with. It is made in one transaction, so
    it is never there in part; when it is opened, its count and some of its vectors are compared.
    """

    def unreachable(self, rule: VectorIndex) -> tuple[str, str] | None:
        try:
            with _connected(rule) as connection:
                known = connection.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'vector'").fetchone()
        except ValueError as error:
            what, _, hint = str(error).partition("; ")
            return what, hint
        return None if known else (f"{rule.address} has no extension 'vector'", "install pgvector on the server")

    def build(self, vectors: Vectors, rule: VectorIndex, folder: Path, progress: Progress) -> Built:
        check(vectors, rule)
        lists = rule.lists_of(vectors.count) if rule.method == "ivf-flat" else 0
        name = f"harness_{digest_of([vectors.digest, rule.key_settings(), lists])[:40]}"
        built = Built(vectors.count, vectors.dimensions, vectors.unit_length, lists, name)
        with _connected(rule) as connection:
            built = _provide(connection, vectors, rule, built, progress)
            (size,) = connection.execute("SELECT pg_total_relation_size(%s::regclass)", [name]).fetchone()
        return built._replace(size_bytes=int(size))

    def open(self, folder: Path, rule: VectorIndex, built: Built, vectors: Vectors) -> PgSearcher:
        with _connected(rule) as connection:
            _provide(connection, vectors, rule.as_built, built, lambda done, total: None)
        return PgSearcher(rule, built)

    def drop(self, rule: VectorIndex, name: str) -> bool:
        with _connected(rule) as connection:
            (there,) = connection.execute("SELECT to_regclass(%s)", [name]).fetchone()
            connection.execute(f"DROP TABLE IF EXISTS {name}")
        return there is not None


class PgSearcher:
    """A connection with the settings that its searches have."""

    def __init__(self, rule: VectorIndex, built: Built) -> None:
        self._rule, self._built = rule, built
        self._connection = _connect(rule)
        # Closed with the last search; psycopg warns of connections that nobody closed.
        weakref.finalize(self, self._connection.close)
        if built.lists:
            self._connection.execute(f"SET ivfflat.probes = {rule.probes_of(built.lists)}")
        if rule.method != "flat":
            # Of few rows the planner would read all, which no longer measures the index.
            self._connection.execute("SET enable_seqscan = off")

    def search(self, queries: Floats, count: int) -> Neighbours:
        import numpy as np

        count = min(count, self._built.passages)
        if self._rule.method == "hnsw":
            if count > MOST_CANDIDATES:
                what = f"pgvector finds at most {MOST_CANDIDATES:,} passages by hnsw, and {count:,} are asked for"
                raise ValueError(f"{what}; lower pipeline.depth, or use method: ivf-flat")
            # A search by a graph returns no more rows than this, 40 unless it is set.
            self._connection.execute(f"SET hnsw.ef_search = {max(self._rule.ef_search, count)}")
        places = np.full((len(queries), count), ABSENT, dtype=np.int64)
        scores = np.zeros((len(queries), count), dtype=np.float32)
        for number, query in enumerate(queries):
            asked = {"query": _text(query), "count": count}
            rows = self._rows(asked)
            if rows:
                found, distances = zip(*rows, strict=True)
                places[number, : len(rows)] = found
                scores[number, : len(rows)] = _score(self._built, np.array(distances, dtype=np.float32))
        return Neighbours(places, scores)

    def _rows(self, asked: Mapping[str, Any]) -> list[Any]:
        """The answer to a query. Raises ValueError if the table or the server is gone."""
        import psycopg

        try:
            found: list[Any] = self._connection.execute(self.statement, asked).fetchall()
        except psycopg.Error as error:
            raise _refused(self._rule, error) from error
        return found

    @property
    def statement(self) -> str:
        """The query for the nearest vectors; its parameters are a vector as text, and how many."""
        operator = "<=>" if self._built.cosine else "<#>"
        return (
            f"SELECT place, vector {operator} %(query)s::vector AS distance FROM {self._built.name} "
            "ORDER BY distance LIMIT %(count)s"
        )

    def plan(self, query: NDArray[np.float32], count: int) -> str:
        """How the server searches, in its words."""
        rows = self._connection.execute(f"EXPLAIN {self.statement}", {"query": _text(query), "count": count}).fetchall()
        return "\n".join(row[0] for row in rows)


def _score(built: Built, distances: Floats) -> Floats:
    # The operator <#> is the inner product with its sign turned.
    return 1 - distances if built.cosine else -distances


def _text(query: NDArray[np.float32]) -> str:
    return "[" + ",".join(map(repr, query.tolist())) + "]"


def _connect(rule: VectorIndex) -> Any:
    """Connect, every statement on its own. Raises ValueError with what is wrong in one sentence."""
    import psycopg

    try:
        return psycopg.connect(str(rule.address), connect_timeout=SECONDS, autocommit=True)
    except psycopg.Error as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        why = next((line.rpartition("failed: ")[2] for line in lines if "failed: " in line), lines[0])
        what = f"PostgreSQL at {rule.address} cannot be used ({why.strip()})"
        refused = any(word in str(error) for word in ("password", "authentication", "role", "no pg_hba"))
        hint = "set PGUSER and PGPASSWORD in the environment" if refused else "start it, or correct 'address'"
        raise ValueError(f"{what.replace(';', ',')}; {hint}") from error


@contextmanager
def _connected(rule: VectorIndex) -> Iterator[Any]:
    """Hold a connection; what the server refuses is a ValueError of one sentence."""
    import psycopg

    with _connect(rule) as connection:
        try:
            yield connection
        except psycopg.Error as error:
            raise _refused(rule, error) from error


def _refused(rule: VectorIndex, error: Exception) -> ValueError:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return ValueError(f"PostgreSQL at {rule.address}: {lines[0]}; run again: what is missing there is made again")


def _provide(connection: Any, vectors: Vectors, rule: VectorIndex, built: Built, progress: Progress) -> Built:
    """Make the table unless the server has it, whole and unchanged; two processes do not make it at once."""
    with connection.transaction():
        connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [built.name])
        if _is_whole(connection, vectors, built):
            return built._replace(found=True, before=_seconds_of(connection, built.name))
        name, begun = built.name, time.perf_counter()
        connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
        connection.execute(f"DROP TABLE IF EXISTS {name}")
        connection.execute(f"CREATE TABLE {name} (place integer NOT NULL, vector vector({built.dimensions}) NOT NULL)")
        with connection.cursor().copy(f"COPY {name} (place, vector) FROM STDIN (FORMAT BINARY)") as copy:
            copy.write(HEADER)
            for start, part in vectors.parts():
                copy.write(_rows(start, part))
                progress(start + len(part), vectors.count)
            copy.write(END)
        # After the rows are there: lists of an empty table would be meaningless.
        if rule.method != "flat":
            operators = "vector_cosine_ops" if built.cosine else "vector_ip_ops"
            using = {
                "hnsw": f"hnsw (vector {operators}) WITH (m = {rule.m}, ef_construction = {rule.ef_construction})",
                "ivf-flat": f"ivfflat (vector {operators}) WITH (lists = {built.lists})",
            }[rule.method]
            connection.execute(f"CREATE INDEX ON {name} USING {using}")
        connection.execute(f"COMMENT ON TABLE {name} IS '{_comment(rule, built, time.perf_counter() - begun)}'")
    return built


def _comment(rule: VectorIndex, built: Built, seconds: float) -> str:
    told = {"made by": "rag-tuning-harness", "vectors": built.passages, "index": rule.key_settings()}
    return json.dumps({**told, SECONDS_TAKEN: round(seconds, 3)}).replace("'", "''")


def _seconds_of(connection: Any, name: str) -> float:
    """What a table took when it was made; 0 if its comment does not say so."""
    (comment,) = connection.execute("SELECT obj_description(%s::regclass, 'pg_class')", [name]).fetchone()
    try:
        seconds = float(json.loads(comment)[SECONDS_TAKEN])
        # Anybody may write a comment.
        return seconds if 0 < seconds < MOST_SECONDS else 0.0
    except (ValueError, TypeError, KeyError, RecursionError):
        return 0.0


def _is_whole(connection: Any, vectors: Vectors, built: Built) -> bool:
    """Whether the table has all vectors, and those that are looked at are the same."""
    import numpy as np

    row = connection.execute("SELECT to_regclass(%s)", [built.name]).fetchone()
    if row[0] is None:
        return False
    (count,) = connection.execute(f"SELECT count(*) FROM {built.name}").fetchone()
    wanted = vectors.checked()
    found = connection.execute(
        f"SELECT place, vector::real[] FROM {built.name} WHERE place = ANY(%s)", [list(wanted)]
    ).fetchall()
    # The numbers come as the shortest decimals that stand for them in single precision.
    same = {place: np.array_equal(np.array(values, dtype=np.float32), wanted[place]) for place, values in found}
    return bool(count == built.passages and len(same) == len(wanted) and all(same.values()))


def _rows(start: int, part: Floats) -> bytes:
    """Vectors with their places in the binary format of COPY."""
    import numpy as np

    dimensions = part.shape[1]
    row = np.dtype(
        [("fields", ">i2"), ("place_size", ">i4"), ("place", ">i4"), ("vector_size", ">i4"), ("dimensions", ">i2"),
         ("unused", ">i2"), ("vector", ">f4", (dimensions,))]
    )  # fmt: skip
    rows = np.zeros(len(part), dtype=row)
    rows["fields"], rows["place_size"], rows["vector_size"] = 2, 4, 4 + 4 * dimensions
    rows["place"], rows["dimensions"], rows["vector"] = np.arange(start, start + len(part)), dimensions, part
    return rows.tobytes()
