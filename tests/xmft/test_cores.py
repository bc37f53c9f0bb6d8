"""Cores granted: affinity, and quotas of control groups as the kernel's files tell them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from xmft.cores import Cores, usable_cores

REAL = os.cpu_count()
ALLOWED = os.sched_getaffinity(0)


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: set(range(8)), raising=False)


def process(tmp_path: Path, groups: str, mounts: str, **files: str) -> Path:
    """Write what the system would tell of a process, and files of its control groups."""
    folder = tmp_path / "self"
    folder.mkdir()
    (folder / "cgroup").write_text(groups)
    (folder / "mountinfo").write_text(mounts.replace("MOUNT", str(tmp_path / "cg")))
    for name, text in files.items():
        path = tmp_path / "cg" / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


V2 = "31 23 0:28 / MOUNT rw,relatime - cgroup2 cgroup rw\n"
V1 = "32 31 0:29 / MOUNT rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n"


def test_all_cores_without_limits(tmp_path: Path) -> None:
    assert usable_cores(tmp_path / "none") == Cores(count=8, machine=8)


def test_affinity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: {1, 5, 6})
    assert usable_cores(tmp_path) == Cores(count=3, machine=8, limit="CPU affinity")


@pytest.mark.parametrize(
    ("text", "count"),
    [("max 100000", 8), ("400000 100000", 4), ("250000 100000", 2), ("50000 100000", 1)],
)
def test_quota_of_version_2(tmp_path: Path, text: str, count: int) -> None:
    """Half a core still runs one cell at a time."""
    folder = process(tmp_path, "0::/job\n", V2, **{"job__cpu.max": text + "\n"})
    assert usable_cores(folder).count == count


def test_quota_of_version_1(tmp_path: Path) -> None:
    folder = process(
        tmp_path,
        "4:cpu,cpuacct:/batch/job\n3:memory:/other\n0::/\n",
        V1,
        **{"batch__job__cpu.cfs_quota_us": "300000\n", "batch__job__cpu.cfs_period_us": "100000\n"},
    )
    assert usable_cores(folder) == Cores(count=3, machine=8, limit="CPU quota of 3 cores")


def test_no_quota_of_version_1(tmp_path: Path) -> None:
    files = {"cpu.cfs_quota_us": "-1\n", "cpu.cfs_period_us": "100000\n"}
    assert usable_cores(process(tmp_path, "4:cpu,cpuacct:/\n", V1, **files)).count == 8


def test_a_parent_grants_less_than_the_group_itself(tmp_path: Path) -> None:
    """Slurm limits the job and leaves its steps, in which processes run, without a limit."""
    files = {"job__cpu.max": "200000 100000", "job__step__cpu.max": "max 100000"}
    assert usable_cores(process(tmp_path, "0::/job/step\n", V2, **files)).count == 2


def test_a_container_whose_mount_begins_at_its_own_group(tmp_path: Path) -> None:
    mounts = V2.replace(" / MOUNT", " /docker/4711 MOUNT")
    folder = process(tmp_path, "0::/docker/4711\n", mounts, **{"cpu.max": "500000 100000"})
    assert usable_cores(folder).count == 5


def test_the_smaller_of_affinity_and_quota(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _process: {0, 1})
    folder = process(tmp_path, "0::/\n", V2, **{"cpu.max": "600000 100000"})
    assert usable_cores(folder) == Cores(count=2, machine=8, limit="CPU affinity")


def test_a_process_that_is_bound_to_one_core() -> None:
    program = "import os; from xmft.cores import usable_cores; os.sched_setaffinity(0, {%d}); "
    program += "print(usable_cores().count, os.cpu_count())"
    answer = subprocess.run(
        [sys.executable, "-c", program % min(ALLOWED)], capture_output=True, text=True, check=True
    )
    count, machine = map(int, answer.stdout.split())
    assert (count, machine) == (1, REAL)
