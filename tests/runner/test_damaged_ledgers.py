"""Damaged files are named and skipped, and the exit code says so; none ends the process."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from runner.compaction import compact
from runner.ledger import Ledger
from runner.ledgers import open_results
from runner.report.compare import build
from runner.results import RESULT_COLUMNS
from tests.runner.attempts import attempt_of, cell_of, score_of
from tests.runner.commands import xmft
from tests.runner.ledgers import cell_folder, write_arrow
from xmft.errors import RequestError
from xmft.examples import Examples
from xmft.task import CurvePoint

DAMAGE = Path(__file__).with_name("damage.py")
FIELD = np.zeros((1, 1, 4), np.float32)


@pytest.fixture
def two(ledger: Ledger) -> Ledger:
    """A ledger of two cells, with curves and examples."""
    for method in ("orca", "nft"):
        cell = cell_of(method=method)
        scores = (score_of(0.5), score_of(0.25, selection="last"))
        ledger.write_attempt(attempt_of(cell, *scores))
        ledger.write_curves(cell.id, [CurvePoint(epoch=1, split="val", name="nrmse", value=0.5)])
        ledger.write_examples(cell.id, Examples(inputs=FIELD, targets=FIELD + 1, predictions=FIELD))
    return ledger


@pytest.mark.parametrize("kind", ["attempt-1", "curves", "examples", "compact"])
def test_no_damage_ends_the_process(two: Ledger, kind: str) -> None:
    assert two.local_root is not None
    path = cell_folder(two, cell_of(method="nft").id) / f"{kind}.arrow"
    if kind == "compact":
        compact(two)
        (path,) = two.local_root.glob("compact-*.parquet")
    cells = [cell_of(method=method).id for method in ("orca", "nft")]
    done = subprocess.run(
        [sys.executable, DAMAGE, two.uri, path.relative_to(two.uri), *cells],
        env=os.environ | {"PYTHONPATH": str(DAMAGE.parents[2])},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    skipped, _, other = map(int, done.stdout.split())
    assert skipped > 8
    if kind == "compact":  # whose pages have checksums
        assert other == 0


def break_file(ledger: Ledger, kind: str) -> Path:
    folder = cell_folder(ledger, cell_of(method="nft").id)
    path = folder / f"{kind}.arrow"
    if kind == "compact":
        assert ledger.local_root is not None
        ledger.write_attempt(attempt_of(cell_of(seed=5), failure="oom"))
        compact(ledger)
        ledger.write_attempt(attempt_of(cell_of(), score_of(0.5)))
        (path,) = ledger.local_root.glob("compact-*.parquet")
    path.write_bytes(path.read_bytes()[:-30])
    return path


@pytest.mark.parametrize("kind", ["attempt-1", "compact"])
@pytest.mark.parametrize(
    "line", ["leaderboard", "leaderboard --format csv", "status", "export --to rows.csv"]
)
def test_the_table_is_shown_and_the_exit_code_is_1(
    two: Ledger,
    kind: str,
    line: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.chdir(tmp_path)
    whole = xmft(*line.split(), "--results", two.uri)
    assert whole.exit_code == 0
    path = break_file(two, kind)
    with caplog.at_level(logging.WARNING):
        result = xmft(*line.split(), "--results", two.uri)
    assert result.exit_code == 1
    assert path.name in caplog.text
    assert "1 file could not be read, see above" in result.stderr
    shown = (tmp_path / "rows.csv").read_text() if line.startswith("export") else result.stdout
    assert "orca" in shown or "pdebench/advection" in shown
    again = xmft(*line.split(), "--results", two.uri, two.uri + "/none")
    assert again.exit_code == 2


@pytest.mark.parametrize("kind", ["curves", "examples"])
def test_a_cell_whose_curves_or_examples_are_damaged(
    two: Ledger, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = break_file(two, kind)
    if kind == "curves":
        result = xmft("show", cell_of(method="nft").id, "--results", two.uri)
        assert "scores" in result.stdout
    else:
        result = xmft("figures", "--results", two.uri)
        assert result.stdout.strip().endswith(".png")
    assert result.exit_code == 1
    assert path.name in caplog.text


def test_those_who_write_stop_at_a_damaged_compact_file(two: Ledger) -> None:
    path = break_file(two, "compact")
    for ask in (Ledger.read, Ledger.states, compact):
        with pytest.raises(RequestError, match=rf"{path.name} .* cannot be read"):
            ask(Ledger(two.uri))
    lenient = open_results([two.uri])
    assert lenient.read()["method"].to_pylist() == ["orca"]
    assert [Path(name).name for name in lenient.skipped] == [path.name]
    assert lenient.read().num_rows == 1
    assert len(lenient.skipped) == 1  # told once


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text[:-1],
        lambda _: "[]",
        lambda _: None,
        lambda text: json.dumps({k: v for k, v in json.loads(text).items() if k != "recipe"}),
    ],
)
def test_rows_without_a_configuration_are_left_out(
    two: Ledger, change: Callable[[str], str | None], caplog: pytest.LogCaptureFixture
) -> None:
    cell_id = cell_of(method="nft").id
    table = two.read(cell_id=cell_id)
    texts = [change(text) for text in table["config_json"].to_pylist()]
    place = table.column_names.index("config_json")
    odd = table.set_column(place, table.field(place), pa.array(texts, pa.string()))
    write_arrow(cell_folder(two, cell_id) / "attempt-1.arrow", odd)
    fresh = Ledger(two.uri)
    (board,) = build(fresh.rows(RESULT_COLUMNS))
    assert [line.label for line in board.lines] == ["orca"]
    assert len(fresh.skipped) == 1
    assert "attempt-1.arrow" in caplog.text
