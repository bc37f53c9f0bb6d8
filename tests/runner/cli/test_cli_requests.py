"""The command line: its verbs, and requests that are wrong."""

from __future__ import annotations

import csv
import io
import shlex
from pathlib import Path
from typing import Any

import click
import pyarrow as pa
import pytest

from runner.ledger import Ledger
from runner.schema import VERSION_KEY
from runner.storage import Storage
from tests.runner.attempts import attempt_of, cell_of, score_of
from tests.runner.commands import (
    ALL,
    WriteGrid,
    output_of,
    refused,
    tree,
    xmft,
)

VERBS = {
    "run",
    "plan",
    "status",
    "show",
    "export",
    "leaderboard",
    "figures",
    "plots",
    "report",
    "compact",
    "diff",
    "submit-results",
    "verify-results",
    "schema",
    "list tasks",
    "list methods",
    "list backbones",
    "list sources",
    "list grids",
    "data status",
    "data licences",
    "data fetch",
    "data generate",
    "data verify",
}


def test_the_verbs_are_those_of_the_design() -> None:
    assert set(ALL) == VERBS


@pytest.mark.parametrize("verb", ALL)
def test_every_verb_explains_itself_with_an_example(verb: str) -> None:
    text = output_of(*verb.split(), "--help")
    assert f"Usage: xmft {verb}" in text
    _, found, examples = text.partition("Example")
    assert found
    assert f"xmft {verb}" in examples


@pytest.mark.parametrize("group", ["", "list", "data"])
def test_every_group_lists_its_commands(group: str) -> None:
    text = output_of(*group.split(), "--help")
    for verb in VERBS:
        if verb.startswith(group):
            assert verb.removeprefix(group).split()[0] in text


# A wrong request, and words of the sentence that says so. "@" stands for a grid with the changes.
WRONG_GRIDS: dict[str, tuple[dict[str, Any], str, list[str]]] = {
    "unknown task": (
        {"tasks": ["pdebench/advektion"]},
        "@",
        ["Unknown task 'pdebench/advektion'", "Did you mean 'pdebench/advection'?"],
    ),
    "unknown method": (
        {"methods": ["recraf"]},
        "@",
        ["Unknown method 'recraf'", "Did you mean 'recraft'?"],
    ),
    "unknown backbone folder": (
        {"backbone": "."},
        "@",
        ["Backbone folder", "has no config.json"],
    ),
    "unknown variant": (
        {"tasks": ["pdebench/darcy:beta3"]},
        "@",
        ["Unknown variant 'beta3'", "beta1.0"],
    ),
    "unknown option": (
        {},
        "@ --set recraft.alignment_stepps=3 --set methods=[recraft]",
        ["Unknown key 'alignment_stepps' in options of recraft", "'alignment_steps'"],
    ),
    "unknown grid": ({}, "quik", ["Grid 'quik'", "Did you mean 'quick'?"]),
    "unknown key": ({"method": ["nft"]}, "@", ["Unknown key 'method'", "'methods'"]),
    "unknown recipe key": ({"recipe": {"epoch": 1}}, "@", ["Unknown key 'epoch'", "'epochs'"]),
    "unknown setting": (
        {},
        "@ --set epoch=3",
        ["Unknown setting 'epoch'", "Did you mean 'epochs'?"],
    ),
    "no setting": ({}, "@ --set epochs", ["--set takes key=value, found 'epochs'."]),
    "number as text": (
        {"recipe": {"learning_rate": "1e-3"}},
        "@",
        ["'learning_rate' in recipe", "YAML reads 1e-3 as text; write 1.0e-3."],
    ),
    "data root": ({}, "@ --data nowhere", ["nowhere given with --data is not a folder"]),
    "no task matches": ({}, "@ --tasks pdebench/darci", ["matches 'pdebench/darci'"]),
    "no method matches": ({}, "@ --methods orca", ["No method of the grid matches 'orca'"]),
    "seeds": ({}, "@ --seeds one", ["--seeds takes whole numbers, found 'one'."]),
    "results": ({}, "@ --results ftp://host/x", ["Cannot open ftp://host/x"]),
}


# These are found out by the plan, which `run` makes after it has created the folder of results.


@pytest.mark.parametrize(
    ("verb", "case"),
    [pytest.param(verb, case) for case in WRONG_GRIDS for verb in ("plan", "run")],
)
def test_a_wrong_grid_is_refused_in_a_sentence(
    verb: str, case: str, write_grid: WriteGrid, tmp_path: Path
) -> None:
    changes, line, parts = WRONG_GRIDS[case]
    grid = write_grid(**changes)
    text = refused(tmp_path, verb, *(grid if a == "@" else a for a in shlex.split(line)))
    assert all(part in text for part in parts), text


def test_a_batch_that_does_not_divide(write_grid: WriteGrid, tmp_path: Path) -> None:
    text = refused(tmp_path, "run", write_grid(), "--workers", "3")
    assert "8 samples (batch_size, pdebench/advection) does not divide among 3" in text


@pytest.mark.parametrize("verb", ["plan", "run"])
def test_wrong_yaml(verb: str, tmp_path: Path) -> None:
    (tmp_path / "grid.yaml").write_text("tasks: [a\n")
    assert "is not valid YAML" in refused(tmp_path, verb, tmp_path / "grid.yaml")
    (tmp_path / "grid.yaml").write_text("- a\n")
    assert "must be a mapping" in refused(tmp_path, verb, tmp_path / "grid.yaml")


@pytest.mark.parametrize(
    "line", ["", "run", "run quick --workers 0", "run quick --seed 1", "shwo", "data fetch"]
)
def test_wrong_usage(line: str, tmp_path: Path) -> None:
    result = xmft(*line.split())
    assert result.exit_code == 2
    assert "Usage: xmft" in click.unstyle(result.output)
    assert "Traceback" not in result.output
    assert tree(tmp_path) == {"here"}


@pytest.mark.parametrize("line", ["--tasks pdebench/advection", "--tasks *advection"])
def test_a_shipped_grid_can_be_narrowed_to_a_task(line: str) -> None:
    assert "16 cells" in output_of("plan", "quick", *shlex.split(line))


@pytest.mark.parametrize("seeds", [",", ""])
def test_no_seeds_are_a_wrong_request(write_grid: WriteGrid, tmp_path: Path, seeds: str) -> None:
    refused(tmp_path, "plan", write_grid(), "--seeds", seeds)


@pytest.mark.parametrize(
    "line", ["~nobody-here/grid.yaml", "quick --data ~nobody-here", "quick --results ~nobody-here"]
)
def test_a_home_that_does_not_exist(line: str, tmp_path: Path) -> None:
    refused(tmp_path, "plan", *line.split())


def test_results_that_cannot_be_written(
    write_grid: WriteGrid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = write_grid()
    (tmp_path / "file").write_text("")
    text = refused(tmp_path, "run", grid, "--results", tmp_path / "file" / "results")
    assert "Results cannot be written to" in text
    assert "--results" in text

    def denied(*_: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Storage, "probe", denied)
    text = refused(tmp_path, "run", grid, "--results", tmp_path / "results")
    assert "Permission denied" in text


LEDGER_VERBS = (
    "status",
    "figures",
    "show 0",
    "export --to rows.csv",
    "leaderboard",
    "leaderboard --format md",
    "plan @",
    "run @",
)


@pytest.fixture
def newer(two_cells: Ledger) -> Ledger:
    table = two_cells.read().replace_schema_metadata({VERSION_KEY: b"99"})
    assert two_cells.local_root is not None
    path = two_cells.local_root / "cells" / ("f" * 16) / "attempt-1.arrow"
    path.parent.mkdir()
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table)
    return two_cells


def test_results_of_a_newer_version(newer: Ledger, write_grid: WriteGrid, tmp_path: Path) -> None:
    grid = write_grid()
    for verb in LEDGER_VERBS:
        arguments = [grid if a == "@" else a for a in verb.split()]
        if verb.startswith("show"):
            arguments[-1] = "f" * 16
        text = refused(tmp_path, *arguments, "--results", newer.uri)
        assert "written by schema 99" in text, verb
        assert "upgrade xmft" in text


def test_an_empty_ledger(tmp_path: Path) -> None:
    verbs = ("export --to rows.csv", "leaderboard", "leaderboard --format csv", "status", "figures")
    for verb in verbs:
        text = refused(tmp_path, *verb.split(), "--results", tmp_path / "none")
        assert "The ledger holds no results. `xmft run quick` fills it" in text
    assert "No cell of" in refused(tmp_path, "show", "abc", "--results", tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_wrong_requests_to_a_ledger(two_cells: Ledger, tmp_path: Path) -> None:
    results = ("--results", two_cells.uri)
    text = refused(tmp_path, "show", "zzz", *results)
    assert "begins with 'zzz'" in text
    assert "Known:" in text
    text = refused(tmp_path, "leaderboard", "--format", "markdown", *results)
    assert "Unknown format 'markdown'" in text
    assert "md" in text
    assert "protocol" in refused(tmp_path, "leaderboard", "--protocol", "released", *results)
    assert "--to ends in '.xlsx'" in refused(tmp_path, "export", "--to", "rows.xlsx", *results)
    (tmp_path / "file").write_text("")
    to = tmp_path / "file" / "rows.csv"
    assert "cannot be written" in refused(tmp_path, "export", "--to", to, *results)


@pytest.mark.parametrize(
    "words",
    [
        ["--methods", "nft", "orca"],
        ["--methods=nft", "orca"],
        ["--methods=nft", "--methods=orca"],
        ["--methods=nft,orca"],
        ["--seeds=0", "--methods=nft", "orca"],
    ],
)
def test_values_of_lists_follow_an_option_however_it_is_written(
    words: list[str], ledger: Ledger
) -> None:
    for method in ("nft", "orca", "pare"):
        ledger.write_attempt(attempt_of(cell_of(method=method, seed=0), score_of(0.5)))
    text = output_of("leaderboard", f"--results={ledger.uri}", "--format=csv", *words)
    found = {row["entry"] for row in csv.DictReader(io.StringIO(text)) if row["entry"]}
    assert found == {"nft", "orca"}


def test_several_results_follow_an_equals_sign(ledger: Ledger, tmp_path: Path) -> None:
    other = Ledger(tmp_path / "other")
    other.prepare()
    for one, method in ((ledger, "nft"), (other, "orca")):
        one.write_attempt(attempt_of(cell_of(method=method), score_of(0.5)))
    split = output_of("status", "--results", ledger.uri, other.uri)
    assert output_of("status", f"--results={ledger.uri}", other.uri) == split
