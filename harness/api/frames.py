"""Tables as frames of pandas or Polars, through Arrow. Each library is imported when a frame is made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from harness import extras
from harness.api.tables import Columns, Kind, Labels, Row, label_in
from harness.errors import ConfigError, ModelMissing, Problem, nearest

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

ARROW: Mapping[Kind, str] = {"text": "string", "integer": "int64", "number": "double", "flag": "bool"}
"""Kind of a column -> its type in Arrow."""


class Framed:
    """A result with tables. `tables` has their columns, by name; `default` is the one that is meant without a name."""

    tables: ClassVar[Mapping[str, Columns]] = {}
    default: ClassVar[str] = ""

    def to_pandas(self, table: str = "") -> pandas.DataFrame:
        """Return a table as a data frame of pandas.

        Texts have the type that this version of pandas gives texts, integers are int64, numbers float64 (NaN where
        there is none), flags bool. Raises HarnessError for a table that there is not.
        """
        arrow = self._arrow(table or self.default)
        _require("pandas", "pip install pandas")
        return arrow.to_pandas()

    def to_polars(self, table: str = "") -> polars.DataFrame:
        """Return a table as a data frame of Polars, which comes with the extra `polars`.

        Columns are String, Int64, Float64 (null where there is none) and Boolean. Raises HarnessError for a table that
        there is not, and if Polars is not installed.
        """
        arrow = self._arrow(table or self.default)
        _require("polars", extras.install("polars"))
        import polars

        frame = polars.from_arrow(arrow)
        assert isinstance(frame, polars.DataFrame)
        return frame

    def _arrow(self, table: str) -> pyarrow.Table:
        if table not in self.tables:
            raise ConfigError(Problem("table", f"no table {table!r}", nearest(table, self.tables)))
        return self._made(table, self.tables[table])

    def _made(self, table: str, columns: Columns) -> pyarrow.Table:
        """Make one of `tables`."""
        raise NotImplementedError


def of_rows(rows: Iterable[Row], columns: Columns) -> pyarrow.Table:
    """Return rows as an Arrow table with exactly these columns."""
    import pyarrow as pa

    wanted = [{name: row[name] for name in columns.kinds} for row in rows]
    return pa.Table.from_pylist(wanted, schema=_schema(columns))


def of_file(path: Path, columns: Columns, labels: Labels) -> pyarrow.Table:
    """Return the rows of a Parquet file of a result, with labels; a column that an older file lacks has no values.

    Raises ConfigError if the file cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        stored = pq.read_table(path)
        systems = zip(stored["system"].to_pylist(), stored["seed"].to_pylist(), strict=True)
        named = stored.append_column("label", pa.array([label_in(labels, *key) for key in systems], pa.string()))
        fields = list(_schema(columns))
        arrays = [
            named[field.name].cast(field.type) if field.name in named.column_names else pa.nulls(len(named), field.type)
            for field in fields
        ]
    except (OSError, KeyError, ValueError, pa.ArrowException) as error:
        raise ConfigError(Problem(str(path), "its rows cannot be read", "run the suite again")) from error
    return pa.Table.from_arrays(arrays, schema=pa.schema(fields))


def _schema(columns: Columns) -> pyarrow.Schema:
    import pyarrow as pa

    return pa.schema([(name, pa.type_for_alias(ARROW[kind])) for name, kind in columns.kinds.items()])


def _require(package: str, command: str) -> None:
    """Raise ModelMissing if a package for frames is not installed."""
    if find_spec(package) is None:
        what = f"such a frame needs the package {package}, which is not installed"
        raise ModelMissing(Problem("", what, f"run: {command}"))
