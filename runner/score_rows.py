"""The rows of the ledger that are scores, found by cell, attempt and metric."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

SCORE = ("cell_id", "attempt", "metric", "metric_version", "direction", "value")
# Value, direction and version of the metric, by cell, attempt and metric.
Scores = dict[tuple[str, int, str], tuple[float | None, str | None, int | None]]
NOTHING = (None, None, None)


def scores_in(table: pa.Table, wanted: pc.Expression) -> Scores:
    """Return the scores of the rows that are wanted, by `split` and `selection`."""
    # The narrow columns alone: a filter copies what it keeps.
    rows = table.select([*SCORE, "split", "selection"]).filter(wanted)
    columns = {name: rows[name].to_pylist() for name in SCORE}
    places = zip(columns["cell_id"], columns["attempt"], columns["metric"], strict=True)
    found = zip(columns["value"], columns["direction"], columns["metric_version"], strict=True)
    return dict(zip(places, found, strict=True))
