"""Terminals and logs that take ASCII alone."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import click
import pytest
from click.testing import Result
from typer.testing import CliRunner

from runner import console as consoles
from runner.cli import app
from runner.console import encodable, plain_streams, say
from runner.ledger import Ledger
from tests.runner.attempts import attempt_of, cell_of, score_of
from tests.runner.commands import ALL, WriteGrid
from tests.runner.ledgers import OK


def in_ascii(*arguments: str | Path) -> Result:
    """Run a command line in a terminal of ASCII; what cannot be printed is raised here."""
    runner = CliRunner(charset="ascii")
    return runner.invoke(app, [str(a) for a in arguments], catch_exceptions=False)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two seeds each of two methods, so that there are means with deviations; a failure."""
    folder = tmp_path / "Ergebnis±ü"
    ledger = Ledger(folder)
    ledger.prepare()
    for method in ("nft", "recraft"):
        for seed in (0, 1):
            scores = score_of(0.3 + seed / 100)
            ledger.write_attempt(attempt_of(cell_of("pdebench/darcy", method, seed), scores))
    ledger.write_attempt(OK)
    ledger.write_attempt(attempt_of(cell_of(seed=5), failure="data", error="Grüße · ± → λ"))
    return folder


@pytest.mark.parametrize(
    "arguments",
    [
        ["leaderboard", "--published"],
        ["leaderboard", "--format", "md"],
        ["leaderboard", "--format", "csv"],
        ["status"],
        ["show", OK.cell_id],
        ["export", "--to", "OUT/é.csv"],
    ],
    ids=" ".join,
)
def test_what_the_ledger_holds(results: Path, arguments: list[str], tmp_path: Path) -> None:
    command, *rest = [argument.replace("OUT", str(tmp_path)) for argument in arguments]
    result = in_ascii(command, "--results", results, *rest)
    assert result.exit_code == 0, result.output
    assert result.stdout.isascii()
    assert result.stderr.isascii()
    assert result.output


def test_the_frames_of_a_leaderboard_stay_straight(results: Path) -> None:
    lines = in_ascii("leaderboard", "--results", results).stdout.splitlines()
    table = [line for line in lines if line.startswith(("|", "+"))]
    assert any("+/-" in line for line in table)
    assert len({len(line) for line in table}) == 1


@pytest.mark.parametrize("command", [*ALL, ""])
def test_help(command: str) -> None:
    result = in_ascii(*command.split(), "--help")
    assert result.exit_code == 0, result.output
    assert result.stdout.isascii()
    assert "Usage" in result.stdout


def test_plans_lists_and_data(write_grid: WriteGrid, tmp_path: Path) -> None:
    folder = tmp_path / "Daten é"
    folder.mkdir()
    for arguments in (
        ["plan", write_grid(), "--data", folder],
        ["list", "methods"],
        ["list", "sources"],
        ["data", "status", "--data", folder],
    ):
        result = in_ascii(*arguments)
        assert result.exit_code == 0, result.output
        assert result.stdout.isascii()


@pytest.mark.parametrize(
    "arguments",
    [
        ["plan", "größe.yaml"],
        ["plan", "--nö"],
        ["status", "--results", "nothing-in-é"],
        ["data", "status", "--data", "höhe→"],
        ["leaderboard", "--format", "größe"],
    ],
    ids=" ".join,
)
def test_errors_name_paths_by_escapes(arguments: list[str]) -> None:
    result = in_ascii(*arguments)
    assert result.exit_code == 2
    assert click.unstyle(result.stderr).isascii()


def test_a_name_that_is_no_text_is_refused() -> None:
    result = in_ascii("status", "--results", b"\xe9".decode("utf-8", "surrogateescape"))
    assert result.exit_code == 2
    assert "no UTF-8" in click.unstyle(result.stderr)


@pytest.mark.parametrize(
    ("text", "encoding", "expected"),
    [
        ("0.1 ± 0.2", "ascii", "0.1 +/- 0.2"),
        ("0.1 ± 0.2 ↓", "latin-1", "0.1 ± 0.2 v"),
        ("0.1 ± 0.2 ↓", "utf-8", "0.1 ± 0.2 ↓"),
        ("┏━┓ ⠋ ▌", "ascii", "+-+ * #"),
        ("a b", "ascii", "a b"),
        ("größe", "ascii", r"gr\xf6\xdfe"),
        ("\udce9", "utf-8", r"\udce9"),
    ],
)
def test_only_what_cannot_be_encoded_changes(text: str, encoding: str, expected: str) -> None:
    assert encodable(text, encoding) == expected


@pytest.mark.parametrize("told", ["strict", "surrogateescape", "ignore"])
def test_streams(monkeypatch: pytest.MonkeyPatch, told: str) -> None:
    """What somebody chose with PYTHONIOENCODING=ascii:ignore stays."""
    taken = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(taken, encoding="ascii", errors=told))
    plain_streams()
    say("höhe ±")
    sys.stdout.flush()
    assert taken.getvalue() == (b"hhe \n" if told == "ignore" else b"h\\xf6he +/-\n")


def test_a_console_knows_the_encoding_of_its_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert consoles.console.options.ascii_only
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))
    assert not consoles.console.options.ascii_only
