"""The whole way through Ray: fan-out, several workers, resume after a kill, failures."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest

from runner.ledger import Ledger

pytestmark = pytest.mark.ray

Xmft = Callable[..., subprocess.CompletedProcess[str]]


def scores(results: Path) -> pd.Series:
    """Return every score by cell, split, selection and metric."""
    rows = Ledger(results).read().to_pandas()
    rows = rows[rows["status"] == "ok"]
    return rows.set_index(["cell_id", "split", "selection", "metric"])["value"].sort_index()


def curves(results: Path) -> pd.DataFrame:
    """Return all training curves."""
    ledger = Ledger(results)
    parts = [ledger.curves(cell_id).to_pandas().assign(cell=cell_id) for cell_id in ledger.states()]
    return pd.concat(parts).sort_values(["cell", "epoch", "split", "name"], ignore_index=True)


def test_every_cell_is_ok_and_has_its_rows(uninterrupted: Path) -> None:
    states = Ledger(uninterrupted).states()
    assert len(states) == 3
    assert {state.status for state in states.values()} == {"ok"}
    # val and test, last and best_val, nine metrics
    per_cell = scores(uninterrupted).loc[:, ["val", "test"], ["last", "best_val"]]
    assert len(per_cell) == 3 * 2 * 2 * 9


def test_nothing_is_left_behind(uninterrupted: Path) -> None:
    assert not list(uninterrupted.glob("checkpoints/*/*"))
    assert list(uninterrupted.glob("tensorboard/pdebench/advection/nft/0/*/events*"))
    assert not [path for path in uninterrupted.rglob("*") if path.name.startswith(".")]


def test_second_run_has_nothing_to_do(xmft: Xmft, grid: Path, uninterrupted: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in uninterrupted.rglob("*.arrow")}
    said = xmft("run", grid, "--results", uninterrupted).stdout
    assert "3 done before, 0 to run" in said
    after = {path: path.stat().st_mtime_ns for path in uninterrupted.rglob("*.arrow")}
    assert after == before


@pytest.mark.parametrize("workers", [1, 2])
def test_a_method_of_a_plug_in(xmft: Xmft, grid: Path, tmp_path: Path, workers: int) -> None:
    """Under Tune and under Train: neither kind of process imports the file by itself."""
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "from xmft.methods import register\nfrom xmft.methods.nft import NaiveFineTuning\n\n\n"
        "@register\nclass Mine(NaiveFineTuning):\n    name, version, title = 'mine', 1, 'own'\n"
    )
    results = tmp_path / "results"
    request = ["--plugin", plugin, "--set", "methods=[mine]", "--set", "epochs=1"]
    xmft("run", grid, "--results", results, *request, "--workers", str(workers))
    (state,) = Ledger(results).states().values()
    assert state.status == "ok"
    plugin.write_text("raise ValueError('no sea')\n")
    refused = xmft("plan", grid, "--results", results, *request, code=2)
    assert "ValueError: no sea (mine.py, line 1)" in " ".join(refused.stderr.split())


@pytest.mark.slow
def test_two_workers_train_the_same_curve(
    xmft: Xmft, grid: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    """61 samples in batches of 8: the last batch of an epoch has one sample for two workers."""
    results = tmp_path / "two"
    xmft("run", grid, "--results", results, "--workers", "2", "--methods", "nft,recraft")
    pairs = curves(uninterrupted).merge(
        curves(results), on=["cell", "epoch", "split", "name"], validate="one_to_one"
    )
    assert len(pairs) == len(curves(results))
    np.testing.assert_allclose(pairs["value_x"], pairs["value_y"], rtol=1e-5)
    two = scores(results)
    np.testing.assert_allclose(two, scores(uninterrupted).loc[two.index], rtol=1e-5)
    rows = Ledger(results).read().to_pandas()
    assert set(rows["worker_count"]) == {2}


@pytest.mark.slow
def test_resume_after_kill_equals_an_uninterrupted_run(
    xmft: Xmft, grid: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    xmft_path = Path(str(xmft("--help").args[0]))
    long = ["--methods", "nft", "--seeds", "0,1", "--set", "epochs=300"]
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    xmft("run", grid, "--results", whole, *long)
    driver = subprocess.Popen(
        [xmft_path, "run", grid, "--results", broken, *long],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _wait_for_checkpoint(broken, driver)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    # Ray's reaper ends the workers of a dead driver; until then they may still write.
    time.sleep(3)
    finished = {path: path.stat().st_mtime_ns for path in broken.glob("cells/*/attempt-*.arrow")}
    said = xmft("run", grid, "--results", broken, *long).stdout
    assert f"{len(finished)} done before" in said
    assert "went on from" in said
    assert {path: path.stat().st_mtime_ns for path in finished} == finished
    pd.testing.assert_series_equal(scores(broken), scores(whole), check_exact=True)


def _wait_for_checkpoint(results: Path, driver: subprocess.Popen[bytes]) -> None:
    """Wait until a cell that is not finished has a checkpoint."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert driver.poll() is None, "the run ended before it could be killed"
        done = {path.parent.name for path in results.glob("cells/*/attempt-*.arrow")}
        begun = {path.parent.name for path in results.glob("checkpoints/*/state.pt")}
        if begun - done:
            return
        time.sleep(0.02)
    raise AssertionError("no checkpoint appeared")


@pytest.mark.slow
def test_one_bad_cell_leaves_the_others_alone(
    xmft: Xmft, environment: dict[str, str], tmp_path: Path
) -> None:
    """A NaN in one task's file and a missing file in another; the third task is not touched."""
    data = tmp_path / "data"
    data.mkdir()
    _write_advection(data / "1D_Advection_Sols_beta0.4.hdf5", bad=False)
    _write_advection(data / "1D_Advection_Sols_beta1.0.hdf5", bad=True, beta=1.0)
    grid = tmp_path / "mixed.yaml"
    grid.write_text(
        "tasks: ['pdebench/advection', 'pdebench/advection:beta1.0', nasbench360/satellite]\n"
        "methods: [nft]\nseeds: [0]\nbackbone: tiny-sequence\n"
        "recipe: {max_tokens: 8, epochs: 2}\n"
    )
    results = tmp_path / "results"
    done = xmft("run", grid, "--data", data, "--results", results, code=1)
    rows = Ledger(results).read().to_pandas()
    outcome = rows.groupby("task")[["status", "failure"]].first()
    assert outcome.loc["pdebench/advection", "status"] == "ok"
    assert outcome.loc["pdebench/advection:beta1.0", "failure"] == "data"
    assert outcome.loc["nasbench360/satellite", "failure"] == "data"
    assert "Traceback" not in done.stderr
    assert "satellite_train.npy" in done.stderr


def _write_advection(path: Path, *, bad: bool, beta: float = 0.4) -> None:
    rng = np.random.default_rng(0)
    tensor = rng.normal(size=(40, 2, 32)).astype(np.float32)
    if bad:
        tensor[17, 1, 3] = np.nan
    with h5py.File(path, "w") as file:
        file["tensor"] = tensor
        file["x-coordinate"] = ((np.arange(32) + 0.5) / 32).astype(np.float32)
        file["t-coordinate"] = np.array([0, 2, 4], dtype=np.float32)
        file.attrs["beta"] = beta


@pytest.mark.slow
def test_interrupt_ends_the_run_and_says_how_to_go_on(
    grid: Path, environment: dict[str, str], xmft: Xmft, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    driver = subprocess.Popen(
        [xmft("--help").args[0], "run", grid, "--results", results, "--set", "epochs=5000"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 120
    while not list(results.glob("checkpoints/*/state.pt")) and time.monotonic() < deadline:
        assert driver.poll() is None
        time.sleep(0.1)
    # A terminal sends Ctrl-C to the whole process group.
    os.killpg(driver.pid, signal.SIGINT)
    said, _ = driver.communicate(timeout=120)
    assert driver.returncode == 130
    assert "run the same command again" in said
    assert "Traceback" not in said
    assert not list(results.glob("cells/*/*"))


@pytest.mark.slow
def test_joins_a_cluster_and_leaves_it_running(
    xmft: Xmft, grid: Path, environment: dict[str, str], uninterrupted: Path, tmp_path: Path
) -> None:
    environment["RAY_AUTH_MODE"] = "disabled"
    port = _free_port()
    options = [
        f"--port={port}",
        f"--ray-client-server-port={_free_port()}",
        "--node-ip-address=127.0.0.1",
        "--num-cpus=1",
        "--include-dashboard=false",
        "--object-store-memory=100000000",
        # Not below tmp_path: the path of a Unix socket has at most 107 characters.
        f"--temp-dir={tempfile.mkdtemp(prefix='ray-')}",
    ]
    ray = Path(str(xmft("--help").args[0])).with_name("ray")
    head = subprocess.Popen(
        [ray, "start", "--head", "--block", *options],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        _wait_for_port(port, head)
        results = tmp_path / "results"
        where = ["--address", f"127.0.0.1:{port}", "--methods", "nft"]
        said = xmft("run", grid, "--results", results, *where).stdout
        assert "1 cell(s) at a time" in said  # of the cluster's one core, not of this machine's
        found = scores(results)
        pd.testing.assert_series_equal(found, scores(uninterrupted).loc[found.index])
        assert head.poll() is None
    finally:
        del environment["RAY_AUTH_MODE"]
        with contextlib.suppress(ProcessLookupError):
            os.killpg(head.pid, signal.SIGKILL)
        head.wait()


def test_nobody_answers(xmft: Xmft, grid: Path, tmp_path: Path) -> None:
    where = ["--results", tmp_path, "--address", f"127.0.0.1:{_free_port()}"]
    said = xmft("run", grid, *where, code=2).stderr
    assert "No Ray cluster answers at 127.0.0.1" in said
    assert "Traceback" not in said


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _wait_for_port(port: int, head: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert head.poll() is None, "the head node did not start"
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.2)
    raise AssertionError("the head node does not answer")
