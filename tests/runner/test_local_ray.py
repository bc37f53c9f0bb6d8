"""What Ray is given on this machine, and the sentences where it does not start."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runner import cluster, local_ray
from runner.cluster import connected
from runner.needs import Needs
from xmft.cores import Cores
from xmft.errors import RequestError

Options = dict[str, Any]


@pytest.fixture
def ray_at(monkeypatch: pytest.MonkeyPatch) -> Iterator[Options]:
    """Stand in for Ray, and note what it is started with."""
    given: Options = {}

    def init(**options: Any) -> None:
        given.update(options, token=os.environ.get("RAY_AUTH_TOKEN"))
        if error := given.get("error"):
            raise error

    for name in local_ray._TOKENS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setattr("ray.init", init)
    monkeypatch.setattr("ray.shutdown", lambda: None)
    yield given


def start(folder: Path, **options: Any) -> None:
    with local_ray.started(2, folder=folder, **options):
        pass


def test_what_ray_is_started_with(ray_at: Options, tmp_path: Path) -> None:
    start(tmp_path)
    assert (ray_at["num_cpus"], ray_at["_temp_dir"]) == (2, str(tmp_path))


def test_a_token_for_a_home_that_cannot_be_written(
    ray_at: Options, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    start(tmp_path)
    assert ray_at["token"] is None
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    start(tmp_path)
    assert len(ray_at["token"]) == 64
    assert "RAY_AUTH_TOKEN" not in os.environ
    monkeypatch.setenv("RAY_AUTH_TOKEN", "mine")
    start(tmp_path)
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
        connected(None, cpus=None, verbose=False, folder=Path("/tmp/none")),
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
    monkeypatch.setattr("shutil.disk_usage", lambda _path: shutil._ntuple_diskusage(9, 9, 0))
    with pytest.raises(RequestError, match=f"Free some space in {tmp_path}/no/where, or set"):
        start(tmp_path / "no/where")


def test_errors_of_joining(monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**_options: Any) -> None:
        raise ConnectionError("Could not find any running Ray instance.")

    monkeypatch.setattr("ray.init", init)
    with (
        pytest.raises(RequestError, match=r"No Ray cluster answers at auto.*RAY_AUTH_TOKEN"),
        connected("auto", cpus=None, verbose=False, folder=Path("/tmp/none")),
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
    with connected(None, cpus=cpus, verbose=False, folder=Path("/tmp/none")) as cores:
        assert str(cores) == said
    assert ray_at["num_cpus"] == count
    with connected(None, cpus=7, verbose=False, folder=Path("/tmp/none")) as cores:
        assert cores == granted


@pytest.mark.parametrize(
    ("alive", "cores", "shared"),
    [
        ([4.0, 4.0], Cores(count=6, machine=8, limit="--cpus"), [4.0, 2.0]),
        # One joined later.
        ([4.0, 4.0], Cores(count=4, machine=4), [4.0, 4.0]),
    ],
)
def test_nodes_share_out_no_more_than_was_granted(
    monkeypatch: pytest.MonkeyPatch, alive: list[float], cores: Cores, shared: list[float]
) -> None:
    nodes: list[Any] = [{"Alive": True, "Resources": {"CPU": cpus, "GPU": 1.0}} for cpus in alive]
    nodes.append({"Alive": False, "Resources": {"CPU": 64.0}})
    monkeypatch.setattr("ray.nodes", lambda: nodes)
    found = cluster.alive_nodes(cores)
    assert [node["CPU"] for node in found] == shared
    assert [node["GPU"] for node in found] == [1.0, 1.0]


def test_a_cell_that_does_not_fit() -> None:
    cores = Cores(count=1, machine=8, limit="CPU affinity")
    with pytest.raises(RequestError, match=r"there are 1 of 8 CPU cores \(CPU affinity\)"):
        cluster.check_fits(Needs(workers=2), [{"CPU": 1.0}], cores)
    cluster.check_fits(Needs(workers=1), [{"CPU": 1.0}], cores)
