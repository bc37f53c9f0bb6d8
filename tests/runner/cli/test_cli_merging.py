"""The command line on several ledgers and on submitted files, with cells that were really run."""

from __future__ import annotations

import csv
import io
import os
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet

from runner.ledger import Ledger
from runner.outcome import Report
from runner.rounds import Rounds
from tests.runner.attempts import attempt_of, cell_of, score_of
from tests.runner.commands import Attempt, JobOf, PlanOne, output_of, refused, xmft
from tests.runner.submissions import column, forged, rewritten


@pytest.fixture
def here(
    monkeypatch: pytest.MonkeyPatch, job_of: JobOf, attempt: Attempt
) -> Callable[[], list[str]]:
    """Run cells in this process instead of on Ray; return what was run, and where."""
    ran: list[str] = []

    def fan_out(rounds: Rounds, ledger: Ledger, _: Any) -> Report:
        outcomes = {}
        for item in rounds.ready.chosen:
            outcomes[item.cell.id] = attempt(job_of(item, results=ledger.uri))
            ran.append(item.cell.id)
        return Report(outcomes=outcomes, slots=1)

    monkeypatch.setattr("runner.run._fan_out", fan_out)
    return lambda: ran


def means(text: str) -> list[tuple[str, ...]]:
    return [
        (row["entry"], row["task"], row["mean"], row["std"], row["rank"])
        for row in csv.DictReader(io.StringIO(text))
    ]


def test_merged_ledgers_give_the_board_of_one(two_cells: Ledger, tmp_path: Path) -> None:
    """Each lab has one method; one is a folder, the other a submitted file."""
    assert two_cells.local_root is not None
    whole = output_of("leaderboard", "--results", two_cells.uri)
    halves = [tmp_path / "one", tmp_path / "other"]
    rows = two_cells.read().to_pylist()
    for folder, method in zip(halves, ("nft", "scratch"), strict=True):
        for cell_id in {row["cell_id"] for row in rows if row["method"] == method}:
            shutil.copytree(two_cells.local_root / "cells" / cell_id, folder / "cells" / cell_id)
    lab = tmp_path / "lab.parquet"
    output_of("submit-results", "--results", halves[1], "--to", lab)
    for words in (
        ["--results", halves[0], halves[1]],
        ["--results", halves[0], "--results", lab],
        ["--results", lab, halves[0], lab, halves[0]],
    ):
        result = xmft("leaderboard", *words)
        assert (result.exit_code, result.stdout) == (0, whole)
        assert "2 ledgers: " in result.stderr
    arguments = ("--format", "csv", "--results", lab, halves[0], "--out", tmp_path / "b.csv")
    assert means(output_of("leaderboard", *arguments)) == means(
        output_of("leaderboard", "--format", "csv", "--results", two_cells.uri)
    )
    pictures = output_of("figures", "--results", *halves, "--out", tmp_path / "pics")
    assert pictures.split() == [str(tmp_path / "pics/pdebench/advection-generated-clean.png")]
    page = tmp_path / "site"
    output_of("report", "--out", page, "--no-plots", "--results", halves[0], lab)
    details = "".join(path.read_text() for path in (page / "cells").iterdir())
    assert f"--results {halves[0]} --force" in details
    assert f"xmft verify-results {lab} --cell" in details
    assert f"--results {halves[0]} {lab}" in (page / "index.html").read_text()
    output_of("export", "--to", tmp_path / "rows.parquet", "--results", *halves)
    exported = parquet.read_table(tmp_path / "rows.parquet")
    assert exported.to_pylist() == two_cells.read().to_pylist()
    assert "2" in output_of("status", "--results", *halves)


def test_other_values_are_told_with_the_ledgers_names(ledger: Ledger, tmp_path: Path) -> None:
    other = Ledger(tmp_path / "other")
    other.prepare()
    for one, value in ((ledger, 0.5), (other, 0.25)):
        one.write_attempt(attempt_of(cell_of(), score_of(value)))
    for command in ("status", "leaderboard"):
        result = xmft(command, "--results", ledger.uri, other.uri)
        text = " ".join(result.stdout.split())
        # They ended at once: that of the ledger that is named first counts.
        assert f"attempt 2 ({ledger.shown}), which counts" in text
        assert f"attempt 1 ({other.shown}) is ok with other values" in text
        assert "of a cell that several have, the attempt that is ok" in result.stderr


def test_names_that_cannot_be_read_together(two_cells: Ledger, tmp_path: Path) -> None:
    none = tmp_path / "none"
    for command in ("leaderboard", "status", "figures"):
        text = refused(tmp_path, command, "--results", two_cells.uri, none)
        assert f"There are no results at {none}" in text
    for name in ("e1", "e2"):
        (tmp_path / name).mkdir()
    empty = ("--results", tmp_path / "e1", tmp_path / "e2")
    for words in (["leaderboard"], ["status"], ["figures"], ["export", "--to", none / "x.csv"]):
        assert "holds no results" in refused(tmp_path, *words, *empty)
    assert "No cell of" in refused(tmp_path, "show", "abc", *empty)


@pytest.mark.parametrize("command", ["run", "plan"])
def test_what_writes_has_one_ledger(command: str, tmp_path: Path) -> None:
    result = xmft(command, "quick", "--results", tmp_path / "a", tmp_path / "b")
    assert result.exit_code == 2
    assert not (tmp_path / "a").exists()


def test_a_cell_is_made_again_and_compared(
    two_cells: Ledger, here: Callable[[], list[str]], tmp_path: Path, data_root: Path
) -> None:
    lab = tmp_path / "lab.parquet"
    output_of("submit-results", "--results", two_cells.uri, "--to", lab)
    before = two_cells.read()
    data = ("--data", data_root)
    text = output_of("verify-results", lab, "--rerun", "1", *data)
    (ran,) = here()
    assert f"made again {ran}" in text and "0.00% apart" in text
    output_of("verify-results", lab, "--rerun", "1", *data)
    assert here() == [ran, ran]  # the same chance
    others = {
        next(iter(here()[len(here()) - 1 :]))
        for seed in range(1, 5)
        if output_of("verify-results", lab, "--rerun", "1", "--seed", str(seed), *data)
    }
    assert len({ran, *others}) == 2
    assert two_cells.read().equals(before)
    text = output_of("show", ran, "--results", lab)
    words = shlex.split(next(line for line in text.splitlines() if line.startswith("xmft verify")))
    assert words == ["xmft", "verify-results", str(lab), "--cell", ran]
    output_of(*words[1:], *data)
    assert "asks for more cells" in refused_after(lab, "--rerun", "3")
    # Somebody who makes all digests anew is told by the number alone.
    rewritten(lab, lambda t: forged(column(t, "value", lambda v: [x and x / 2 for x in v])))
    output_of("verify-results", lab)
    result = xmft("verify-results", lab, "--cell", ran, *data)
    assert result.exit_code == 1
    assert "100.00% apart, more than the 5% that are allowed" in result.stdout
    assert xmft("verify-results", lab, "--cell", ran, "--tolerance", "1.1", *data).exit_code == 0


def refused_after(lab: Path, *words: str) -> str:
    result = xmft("verify-results", lab, *words)
    assert result.exit_code == 2
    return result.stderr


def test_what_cannot_be_made_again_here_is_told(
    plan_one: PlanOne, ledger: Ledger, tmp_path: Path, data_root: Path
) -> None:
    from dataclasses import replace

    cell = replace(plan_one().cell, data="elsewhere")
    ledger.write_attempt(attempt_of(cell, score_of(0.5)))
    output_of("submit-results", "--results", ledger.uri, "--to", tmp_path / "lab.parquet")
    result = xmft(
        "verify-results", tmp_path / "lab.parquet", "--cell", cell.id, "--data", data_root
    )
    assert result.exit_code == 1
    assert "the data (data) was 'elsewhere'" in result.stdout


def test_a_full_disk_is_told(two_cells: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("os.fsync", full)
    result = xmft("submit-results", "--results", two_cells.uri, "--to", "lab.parquet")
    assert result.exit_code == 2
    assert "No space left" in result.stderr
    assert not list(Path().glob("*.parquet"))
