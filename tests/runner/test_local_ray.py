"""What Ray is given on this machine, and the sentences where it does not start."""

from __future__ import annotations

import errno
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runner import cluster, local_ray
from runner.cluster import connected, slots_of
from xmft.cores import Cores
from xmft.errors import RequestError

Options = dict[str, Any]


@pytest.fixture
def ray_at(monkeypatch: pytest.MonkeyPatch) -> Iterator[Options]:
    """Stand in for Ray, and note what it is started with."""
    given: Options = {}

    def init(**options: Any) -> None:
        given.update(options, token=os.environ.get("RAY_AUTH_TOKEN"))
        if "_temp_dir" in options:
            given["mode"] = stat.S_IMODE(Path(options["_temp_dir"]).stat().st_mode)
        if error := given.get("error"):
            raise error

    for name in local_ray._TOKENS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setattr("ray.init", init)
    monkeypatch.setattr("ray.shutdown", lambda: None)
    yield given
    assert "_temp_dir" not in given or not Path(given["_temp_dir"]).exists()


def start(**options: Any) -> None:
    with local_ray.started(2, **options):
        pass


def test_short_folders_stay_as_they_are(
    ray_at: Options, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(local_ray, "_LONGEST_FOLDER", len(str(tmp_path / "ray")))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    start()
    assert "_temp_dir" not in ray_at
    assert ray_at["num_cpus"] == 2


@pytest.mark.parametrize("variable", ["TMPDIR", "RAY_TMPDIR"])
def test_a_long_folder_gives_way_to_a_short_private_one(
    ray_at: Options, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, variable: str
) -> None:
    """The address of a Unix socket has 107 bytes, and Ray needs 64 of them for itself."""
    monkeypatch.setenv(variable, str(tmp_path / ("a" * 60)))
    start()
    assert ray_at["mode"] == 0o700
    session = "session_2026-11-26_11-51-31_983217_4194304/sockets/plasma_store"
    assert len(f"{ray_at['_temp_dir']}/{session}") <= 107


def test_bytes_count_and_not_characters(ray_at: Options, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMPDIR", "/tmp/" + "ü" * 20)  # 25 characters, 45 bytes
    start()
    assert "_temp_dir" in ray_at


def test_a_folder_that_cannot_be_made(
    ray_at: Options, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(local_ray, "_LONGEST_FOLDER", 1000)
    monkeypatch.setenv("TMPDIR", str(tmp_path / "file"))
    start()
    assert not ray_at["_temp_dir"].startswith(str(tmp_path))


def test_no_short_folder_at_all(
    ray_at: Options, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(**_options: str) -> str:
        raise PermissionError

    monkeypatch.setenv("TMPDIR", str(tmp_path / ("a" * 60)))
    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    with pytest.raises(RequestError, match=r"longer than 43 bytes.*Set RAY_TMPDIR to a short"):
        start()


def test_a_token_for_a_home_that_cannot_be_written(
    ray_at: Options, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    start()
    assert ray_at["token"] is None
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    start()
    assert len(ray_at["token"]) == 64
    assert "RAY_AUTH_TOKEN" not in os.environ
    monkeypatch.setenv("RAY_AUTH_TOKEN", "mine")
    start()
    assert ray_at["token"] == "mine"


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "Free some space in"),
        (PermissionError(errno.EACCES, "Permission denied"), "HOME to one that can be written"),
        (BlockingIOError(errno.EAGAIN, "unavailable"), "Raise the limits"),
        (Exception("The current node\ntimed out during startup."), "ulimit -u"),
        (ConnectionError("GCS"), "--verbose"),
        (ValueError("The requested object store memory"), "object store memory"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_errors_of_starting_are_not_told_as_errors_of_joining(
    ray_at: Options, error: Exception, advice: str
) -> None:
    ray_at["error"] = error
    with (
        pytest.raises(RequestError, match="Ray does not start on this machine") as caught,
        connected(None, cpus=None, verbose=False),
    ):
        pass
    text = str(caught.value)
    assert advice in text
    assert "\n" not in text
    assert "cluster" not in text


def test_processes_that_die_of_a_full_disk(
    ray_at: Options, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ray_at["error"] = Exception("The current node timed out during startup.")
    monkeypatch.setenv("RAY_TMPDIR", "/tmp/none/at/all")
    monkeypatch.setattr("shutil.disk_usage", lambda _path: shutil._ntuple_diskusage(9, 9, 0))
    with pytest.raises(RequestError, match=r"Free some space in /tmp/none/at/all/ray, or set"):
        start()


def test_errors_of_joining(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**_options: Any) -> None:
        raise ConnectionError("Could not find any running Ray instance.")

    monkeypatch.setattr("ray.init", init)
    with (
        pytest.raises(RequestError, match=r"No Ray cluster answers at auto.*RAY_AUTH_TOKEN"),
        connected("auto", cpus=None, verbose=False),
    ):
        pass


def test_the_ray_of_a_notebook_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.is_initialized", lambda: True)
    monkeypatch.setattr("ray.shutdown", lambda: pytest.fail("it was not ours"))
    with (
        pytest.raises(RequestError, match="already"),
        connected(None, cpus=None, verbose=False),
    ):
        pass


@pytest.mark.parametrize(
    ("cpus", "count", "said"),
    [(None, 6, "6 of 8 CPU cores (CPU affinity)"), (2, 2, "2 of 8 CPU cores (--cpus)")],
)
def test_ray_shares_out_what_was_granted(
    ray_at: Options, monkeypatch: pytest.MonkeyPatch, cpus: int | None, count: int, said: str
) -> None:
    granted = Cores(count=6, machine=8, limit="CPU affinity")
    monkeypatch.setattr(cluster, "usable_cores", lambda: granted)
    with connected(None, cpus=cpus, verbose=False) as cores:
        assert str(cores) == said
    assert ray_at["num_cpus"] == count
    with connected(None, cpus=7, verbose=False) as cores:
        assert cores == granted


@pytest.mark.parametrize(
    ("cells", "workers", "threads", "most", "count"),
    [
        (9, 1, 1, None, 6),
        (4, 1, 1, None, 4),
        (9, 2, 1, None, 3),
        (9, 1, 4, None, 1),
        (9, 1, 1, 2, 2),
    ],
)
def test_cells_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
    cells: int,
    workers: int,
    threads: int,
    most: int | None,
    count: int,
) -> None:
    monkeypatch.setattr("ray.cluster_resources", lambda: {"CPU": 8.0})
    shared = {"workers": workers, "threads": threads, "gpus_per_worker": None}
    cores = Cores(count=6, machine=8, limit="CPU affinity")
    assert slots_of(cells, cores, max_concurrent=most, **shared).count == count


def test_a_cell_that_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.cluster_resources", lambda: {"CPU": 8.0})
    cores = Cores(count=1, machine=8, limit="CPU affinity")
    with pytest.raises(RequestError, match=r"there are 1 of 8 CPU cores \(CPU affinity\)"):
        slots_of(1, cores, workers=2, threads=1, gpus_per_worker=None)
