"""Cells in MLflow and Weights & Biases, read back by these themselves.

Both are used in processes of their own, as they are when cells run: in this one, where warnings are
errors, what they import would end.
"""

from __future__ import annotations

import os
import shutil
import time
from datetime import timedelta
from pathlib import Path

import pytest

from runner.console import errors
from runner.ledger import Ledger
from runner.loggers.record import record_of
from runner.loggers.scribe import scribe
from tests.runner.attempts import DAY, attempt_of, cell_of, score_of
from tests.runner.loggers.reading import in_mlflow, in_wandb, shown
from xmft.task import CurvePoint

CELL = cell_of(seed=3, recipe={"epochs": 3, "learning_rate": 5e-4})
CURVES = [
    CurvePoint(epoch=epoch, split=split, name=name, value=value / epoch)
    for epoch in (1, 2, 3)
    for split, name, value in (("train", "fitting/loss", 0.6), ("val", "nrmse", 0.9))
]


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_settings(monkeypatch)


def forget_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("MLFLOW_", "WANDB_")):
            monkeypatch.delenv(name)
    # Nothing may go over the network: what tries it fails at once.
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")


def finish(
    ledger: Ledger, value: float = 0.25, *, day: int = 0, failure: str | None = None
) -> None:
    if failure is None:
        ledger.write_curves(CELL.id, CURVES)
    ledger.write_attempt(
        attempt_of(
            CELL,
            score_of(value),
            score_of(value + 1, split="val"),
            failure=failure,
            finished_at=DAY + timedelta(days=day, seconds=90),
        )
    )


def tell(ledger: Ledger, *names: str, cells: tuple[str, ...] = (CELL.id,), new: bool = True) -> str:
    """Tell loggers of cells; return what was said."""
    with errors.capture() as said, scribe(ledger, names) as log:
        for cell_id in cells:
            log.tell([cell_id], new=new)
    return said.get()


@pytest.fixture(scope="module")
def failed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results whose cell has failed, told to both: to make MLflow's store takes it seconds."""
    ledger = Ledger(tmp_path_factory.mktemp("failed"))
    ledger.prepare()
    finish(ledger, failure="oom")
    with pytest.MonkeyPatch.context() as patch:
        forget_settings(patch)
        # Of one nothing is known.
        assert tell(ledger, "mlflow", "wandb", cells=(CELL.id, "0" * 16)) == ""
    assert ledger.local_root is not None
    return ledger.local_root


FAILED = ("xmft", "pdebench/advection orca 3", "FAILED", "broken")


@pytest.mark.slow
def test_mlflow_has_the_attempt_that_counts_and_no_other(failed: Path, tmp_path: Path) -> None:
    ledger = Ledger(shutil.copytree(failed, tmp_path / "copy", symlinks=True))
    assert ledger.local_root is not None
    assert shown(ledger.local_root / "mlflow" / "mlflow.db") == [FAILED]
    # It goes on in a run that tells nobody. The next one makes up for it, and tells of it twice.
    finish(ledger, day=1)
    with errors.capture() as said, scribe(ledger, ["tensorboard", "mlflow"]) as log:
        log.tell([CELL.id], new=False)
        log.tell([CELL.id])
    assert said.get() == ""
    name, (run,) = in_mlflow(f"sqlite:///{ledger.local_root}/mlflow/mlflow.db")
    assert (name, run["name"]) == ("xmft", "pdebench/advection orca 3")
    assert run["status"] == "FINISHED"
    assert run["seconds"] == 24 * 3600 + 90
    assert run["points"] == {
        "train/fitting/loss": [[1, 0.6], [2, 0.3], [3, pytest.approx(0.2)]],
        "val/nrmse": [[1, 0.9], [2, 0.45], [3, pytest.approx(0.3)]],
        "test/best_val/nrmse": [[0, 0.25]],
        "val/best_val/nrmse": [[0, 1.25]],
        "cost/align_s": [[0, 1.0]],
        "cost/fit_s": [[0, 5.0]],
        "cost/wall_s": [[0, 10.0]],
    }
    given = {"cell": CELL.id, "task": CELL.task, "method": "orca", "seed": "3"}
    assert given.items() <= run["params"].items()
    assert run["params"]["recipe.learning_rate"] == "0.0005"
    tags = {"suite": "pdebench", "data_origin": "generated", "status": "ok", "xmft.cell": CELL.id}
    assert tags.items() <= run["tags"].items()


@pytest.mark.slow
def test_a_server_that_is_away_is_said_once_and_made_up_for(
    ledger: Ledger, failed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    ledger.prepare()
    finish(ledger)
    rows = ledger.read()
    said = " ".join(tell(ledger, "mlflow", cells=(CELL.id,) * 3).split())
    assert said.count("mlflow cannot be told of") == 1
    assert f"mlflow cannot be told of {CELL.id} (" in said
    assert "The run goes on without; the same command with --log mlflow makes up" in said
    assert ledger.read() == rows
    elsewhere = tmp_path / "elsewhere.db"
    shutil.copy(failed / "mlflow" / "mlflow.db", elsewhere)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{elsewhere}")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    assert tell(ledger, "mlflow") == ""
    mine = ("mine", "pdebench/advection orca 3", "FINISHED", None)
    assert sorted(shown(elsewhere)) == [mine, FAILED]  # another experiment is left alone
    assert ledger.local_root is not None
    assert not (ledger.local_root / "mlflow").exists()


def offline(ledger: Ledger) -> list[Path]:
    assert ledger.local_root is not None
    return sorted((ledger.local_root / "wandb").glob("*run-*-*"))


@pytest.mark.slow
def test_wandb_has_the_attempt_that_counts_and_no_other(failed: Path, tmp_path: Path) -> None:
    ledger = Ledger(shutil.copytree(failed, tmp_path / "copy", symlinks=True))
    assert len(offline(ledger)) == 1
    # It goes on in a run that tells nobody; the next one makes up for it.
    finish(ledger, day=1)
    assert tell(ledger, "wandb", cells=(CELL.id, CELL.id), new=False) == ""
    (folder,) = offline(ledger)
    assert folder.name.startswith("offline-run-")
    run = in_wandb(folder)
    assert run["exit"] == 0
    assert (run["project"], run["name"]) == ("xmft", "pdebench/advection orca 3")
    assert run["id"].startswith(CELL.id)
    assert (run["group"], "orca" in run["tags"]) == (CELL.task, True)
    assert [
        (row["epoch"], row["train/fitting/loss"], row["val/nrmse"]) for row in run["history"]
    ] == [
        (1, 0.6, 0.9),
        (2, 0.3, 0.45),
        (3, pytest.approx(0.2), pytest.approx(0.3)),
    ]
    assert run["config"]["recipe.learning_rate"] == 5e-4
    assert (run["config"]["cell"], run["config"]["seed"]) == (CELL.id, 3)
    assert run["summary"]["test/best_val/nrmse"] == 0.25
    assert run["summary"]["status"] == "ok"
    # One that was cut short is written again, one that was not stays.
    (folder / "xmft-whole").unlink()
    (path,) = folder.glob("run-*.wandb")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with scribe(ledger, ["wandb"]) as log:
        log.tell([CELL.id], new=False)
        deadline = time.monotonic() + 60
        while not any((folder / "xmft-whole").exists() for folder in offline(ledger)):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        (again,) = offline(ledger)
        found = (again / path.name).stat()
        log.tell([CELL.id])
    assert offline(ledger) == [again]
    assert (again / path.name).stat() == found
    assert found.st_size > 0.9 * len(whole)


def test_a_trial_of_a_search_and_values_without_end(ledger: Ledger) -> None:
    ledger.prepare()
    trial = cell_of(trial={"number": 1, "until": 1})
    ledger.write_attempt(attempt_of(trial, score_of(float("inf")), score_of(1.0, split="val")))
    record = record_of(ledger, trial.id)
    assert record is not None and record.facts["trial.number"] == 1
    assert {name: v for name, v in record.scores.items() if "nrmse" in name} == {
        "val/best_val/nrmse": 1.0
    }
