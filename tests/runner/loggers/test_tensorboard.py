"""Event files as TensorBoard itself reads them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from runner.cell import Cell
from runner.ledger import Ledger
from runner.loggers.tensorboard import EventLog
from tests.runner.attempts import cell_of
from xmft.session import Progress


def losses(stage: str, step: int, value: float) -> Progress:
    return Progress(stage=stage, step=step, steps=99, losses={"loss": value}, account="fit")


def attempt(ledger: Ledger, cell: Cell, *epochs: tuple[str, int, float]) -> None:
    log = EventLog(ledger, cell)
    for epoch in epochs:
        log.write(losses(*epoch))


def runs(ledger: Ledger) -> dict[str, EventAccumulator]:
    """Return what TensorBoard shows: a run for each folder with event files."""
    assert ledger.local_root is not None
    root = ledger.local_root / "tensorboard"
    found = {}
    for folder in sorted({path.parent for path in root.rglob("events*")}):
        run = EventAccumulator(str(folder))
        run.Reload()
        found[str(folder.relative_to(root))] = run
    return found


def curve(run: EventAccumulator, tag: str) -> list[tuple[int, float]]:
    return [(event.step, round(event.value, 4)) for event in run.Scalars(tag)]


def test_a_sweep_is_a_run_for_each_cell(ledger: Ledger) -> None:
    cells = [cell_of(recipe={"epochs": 2, "learning_rate": rate}) for rate in (1e-3, 5e-2)]
    for value, cell in enumerate(cells):
        attempt(ledger, cell, ("fitting", 1, value), ("fitting", 2, value))
    shown = runs(ledger)
    assert list(shown) == sorted(f"pdebench/advection/orca/0/{cell.id}" for cell in cells)
    for value, cell in enumerate(cells):
        run = shown[f"pdebench/advection/orca/0/{cell.id}"]
        assert curve(run, "fitting/loss") == [(1, value), (2, value)]


def hyperparameters(run: EventAccumulator) -> dict[str, Any]:
    content = run.PluginTagToContent("hparams")["_hparams_/session_start_info"]
    given = HParamsPluginData.FromString(content).session_start_info.hparams
    return {name: getattr(value, value.WhichOneof("kind")) for name, value in given.items()}


def test_a_run_says_which_cell_it_is(ledger: Ledger) -> None:
    cell = cell_of(
        method="recraft",
        seed=3,
        recipe={"learning_rate": 5e-4, "layers": None, "compile": False},
        method_config={"source": {"samples": 200}},
    )
    attempt(ledger, cell, ("fitting", 1, 0.5))
    (run,) = runs(ledger).values()
    (event,) = run.Tensors("cell/text_summary")
    text = event.tensor_proto.string_val[0].decode()
    for fact in (
        f"| cell | {cell.id} |",
        "| task | pdebench/advection |",
        "| method | recraft |",
        "| seed | 3 |",
        "| recipe.learning_rate | 0.0005 |",
        "| recipe.layers | null |",
        "| method_config.source.samples | 200 |",
    ):
        assert fact in text.splitlines()
    given = hyperparameters(run)
    assert given["recipe.learning_rate"] == 5e-4
    assert given["recipe.compile"] == "false"
    assert (given["task"], given["method"], given["seed"]) == (cell.task, "recraft", 3)


def test_a_cell_that_goes_on_is_one_line(ledger: Ledger) -> None:
    """It was killed after epoch 3 of fitting, and its checkpoint is that of epoch 1."""
    cell = cell_of()
    before = [("alignment", 5, 1.0), ("alignment", 10, 0.9)]
    lost = [("fitting", 9, 0.7), ("fitting", 18, 0.6), ("fitting", 27, 0.5)]
    attempt(ledger, cell, *before, *lost)
    attempt(ledger, cell, ("fitting", 18, 0.61), ("fitting", 27, 0.51))
    (run,) = runs(ledger).values()
    assert curve(run, "alignment/loss") == [(5, 1.0), (10, 0.9)]
    assert curve(run, "fitting/loss") == [(9, 0.7), (18, 0.61), (27, 0.51)]
    assert len(list(Path(run.path).iterdir())) == 1


def test_a_cell_that_starts_over_is_one_line(ledger: Ledger) -> None:
    cell = cell_of()
    attempt(ledger, cell, ("alignment", 5, 1.0), ("fitting", 9, 0.7))
    attempt(ledger, cell, ("alignment", 5, 1.1))
    (run,) = runs(ledger).values()
    assert curve(run, "alignment/loss") == [(5, 1.1)]
    assert run.Tags()["scalars"] == ["alignment/loss"]


def test_a_file_that_was_cut_short(ledger: Ledger) -> None:
    cell = cell_of()
    attempt(ledger, cell, ("fitting", 1, 0.5), ("fitting", 2, 0.4))
    (run,) = runs(ledger).values()
    (path,) = Path(run.path).iterdir()
    path.write_bytes(path.read_bytes()[:-9])
    attempt(ledger, cell, ("fitting", 2, 0.3))
    (run,) = runs(ledger).values()
    assert curve(run, "fitting/loss") == [(1, 0.5), (2, 0.3)]


def warnings_of(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [r.getMessage() for r in caplog.records if r.name == "runner.loggers.tensorboard"]


def test_a_folder_that_is_deleted_is_made_again(
    ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    assert ledger.local_root is not None
    log = EventLog(ledger, cell_of())
    log.write(losses("fitting", 1, 0.5))
    shutil.rmtree(ledger.local_root / "tensorboard")
    log.write(losses("fitting", 2, 0.4))
    log.write(losses("fitting", 3, 0.3))
    (run,) = runs(ledger).values()
    assert curve(run, "fitting/loss") == [(2, 0.4), (3, 0.3)]
    assert warnings_of(caplog) == []


@pytest.mark.parametrize("before", [0, 1])
def test_a_place_that_cannot_be_written_is_said_once(
    ledger: Ledger, caplog: pytest.LogCaptureFixture, before: int
) -> None:
    """A file where the folder should be, from the start or from the second epoch on."""
    assert ledger.local_root is not None
    place = ledger.local_root / "tensorboard"
    log = EventLog(ledger, cell_of())
    for epoch in range(before):
        log.write(losses("fitting", epoch, 0.5))
    shutil.rmtree(place, ignore_errors=True)
    place.write_text("")
    for epoch in (1, 2, 3):
        log.write(losses("fitting", epoch, 0.5))
    (said,) = warnings_of(caplog)
    assert str(place) in said and "cannot be written" in said


def test_a_disk_that_fills_up_ends_the_log_alone(ledger: Ledger) -> None:
    """In a process of its own, whose files may not grow beyond some bytes."""
    script = (
        "import resource, sys\n"
        "from runner.ledger import Ledger\n"
        "from tests.runner.loggers.test_tensorboard import EventLog, cell_of, losses\n"
        "log = EventLog(Ledger(sys.argv[1]), cell_of())\n"
        "log.write(losses('fitting', 1, 0.5))\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000))\n"
        "for step in range(2, 300):\n"
        "    log.write(losses('fitting', step, 0.5))\n"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", script, ledger.uri],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    assert done.stderr.count("cannot be written") == 1
    assert "Traceback" not in done.stderr
    (run,) = runs(ledger).values()
    assert curve(run, "fitting/loss")[:2] == [(1, 0.5), (2, 0.5)]
