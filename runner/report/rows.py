"""All rows of the ledger in one file, for other tools."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
from pyarrow import csv, parquet

from xmft.errors import RequestError
from xmft.registry import nearest

_WRITERS = {".parquet": parquet.write_table, ".csv": csv.write_csv}


def export_rows(table: pa.Table, path: Path) -> None:
    """Write the ledger's rows as Parquet or CSV, by the ending of the name.

    Raises:
        RequestError: another ending, no rows, or the file cannot be written.
    """
    writer = _WRITERS.get(path.suffix)
    if writer is None:
        raise RequestError(f"--to ends in '{path.suffix}'. {nearest(path.suffix, _WRITERS)}")
    if not table.num_rows:
        raise RequestError("The ledger holds no results. `xmft run quick` fills it.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        writer(table, str(path))
    except OSError as error:
        raise RequestError(f"The rows cannot be written to {path} ({error}).") from error
