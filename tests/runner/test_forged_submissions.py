"""Submitted files whose digests were made anew: what their rows say tells them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from tests.runner.commands import refused
from tests.runner.submissions import (
    Edit,
    column,
    failed,
    first,
    forged,
    last,
    rewritten,
)

FORGERIES: dict[str, tuple[Edit, str, str]] = {
    "a value below nought": (lambda t: column(t, "value", last(-0.1)), "values", "outside of 0"),
    "a main value that is not finite": (
        lambda t: column(t, "value", last(float("inf"))),
        "values",
        "is inf",
    ),
    "no value": (lambda t: column(t, "value", last(None)), "values", "is None"),
    "a direction": (lambda t: column(t, "direction", last("max")), "values", "max, not min"),
    "a seed": (lambda t: column(t, "seed", first(7)), "configuration", "seed of cell"),
    "a method": (lambda t: column(t, "method", first("nft")), "configuration", "method of cell"),
    "a version": (
        lambda t: column(t, "metric_version", last(2)),
        "configuration",
        "metric_version of cell",
    ),
    "a configuration": (
        lambda t: column(
            t, "config_json", lambda v: [x.replace('"epochs":20', '"epochs":90') for x in v]
        ),
        "ids",
        "has the configuration of",
    ),
    "a configuration that is none": (
        lambda t: column(t, "config_json", lambda v: ["{}"] * len(v)),
        "ids",
        "cannot be read",
    ),
    "an end before the beginning": (
        lambda t: column(t, "finished_at", lambda v: [x - timedelta(days=1) for x in v]),
        "times",
        "ended before it began",
    ),
    "times to come": (
        lambda t: column(
            column(t, "finished_at", lambda v: [datetime(2090, 1, 1, tzinfo=UTC)] * len(v)),
            "started_at",
            lambda v: [datetime(2090, 1, 1, tzinfo=UTC)] * len(v),
        ),
        "times",
        "2090",
    ),
    "more time than there was": (
        lambda t: column(t, "wall_s", lambda v: [1e6] * len(v)),
        "times",
        "took 1000000 s",
    ),
    "a failure with a value": (
        lambda t: column(t, "value", first(0.1)),
        "attempts",
        "has scores",
    ),
    "a failure that went well": (
        lambda t: column(t, "status", lambda v: ["ok"] * len(v)),
        "attempts",
        "is ok",
    ),
    "a score twice": (
        lambda t: pa.concat_tables([t, column(t.slice(len(t) - 1), "curves", first(None))]),
        "attempts",
        "twice",
    ),
}


@pytest.mark.parametrize("kind", FORGERIES)
def test_what_digests_do_not_tell_the_rows_do(handed: Path, kind: str) -> None:
    edit, name, told = FORGERIES[kind]
    rewritten(handed, lambda table: forged(edit(table)))
    found = {check.name: check.detail for check in failed(handed)}
    assert "digests" not in found  # they were made anew
    assert told in found[name]


def test_a_forged_file_without_configurations_is_not_merged(handed: Path, tmp_path: Path) -> None:
    edit, _, _ = FORGERIES["a configuration that is none"]
    rewritten(handed, lambda table: forged(edit(table)))
    for command in ("leaderboard", "status"):
        assert "not that of a cell" in refused(tmp_path, command, "--results", handed)
