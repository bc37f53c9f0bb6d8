"""How many CPU cores this process was granted, which may be fewer than the machine has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_SELF = Path("/proc/self")


@dataclass(frozen=True, kw_only=True)
class Cores:
    """Cores that may be used, and why they are not more.

    Attributes:
        count: Whole cores, at least one.
        machine: Cores of the machine.
        limit: What grants no more; empty where all cores of the machine are granted.
    """

    count: int
    machine: int
    limit: str = ""

    def __str__(self) -> str:
        if not self.limit:
            return f"{self.count} CPU cores"
        return f"{self.count} of {self.machine} CPU cores ({self.limit})"


def usable_cores(process: Path = _SELF) -> Cores:
    """Return the cores that the system lets this process use.

    Batch systems bind a job to some cores (its affinity), containers get a share of the time of
    all (the CPU quota of a control group, version 1 or 2); the smaller one holds.

    Args:
        process: What the system tells of the process, as files.
    """
    machine = os.cpu_count() or 1
    affinity = getattr(os, "sched_getaffinity", None)  # not every system can tell
    granted = Cores(count=machine, machine=machine)
    if affinity is not None and (bound := len(affinity(0))) < machine:
        granted = Cores(count=bound, machine=machine, limit="CPU affinity")
    quota = _quota(process)
    if quota is not None and quota < granted.count:
        limit = f"CPU quota of {quota:g} cores"
        granted = Cores(count=max(int(quota), 1), machine=machine, limit=limit)
    return granted


def _quota(process: Path) -> float | None:
    """Return the cores that the control groups of a process grant; None without a limit."""
    quotas = [quota for folder in _groups(process) if (quota := _quota_of(folder)) is not None]
    return min(quotas, default=None)


def _groups(process: Path) -> Iterator[Path]:
    """Yield the folders of the control groups that may limit the process, parents included."""
    groups = {}
    for line in _lines(process / "cgroup"):  # number:controllers:path
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            groups[controller] = PurePosixPath(path)
    for line in _lines(process / "mountinfo"):  # see proc_pid_mountinfo(5)
        mount, _, kind = line.partition(" - ")
        system, _, options = kind.split(" ", 2)
        if system == "cgroup2":
            group = groups.get("")
        elif system == "cgroup" and "cpu" in options.split(","):
            group = groups.get("cpu")
        else:
            continue
        root, point = (_unescaped(field) for field in mount.split(" ")[3:5])
        if group is None:
            continue
        top = Path(point)
        # In a container the mount often begins at the group itself.
        inside = group.relative_to(root) if group.is_relative_to(root) else PurePosixPath()
        folder = top / inside
        yield folder
        while folder != top:
            folder = folder.parent
            yield folder


def _quota_of(group: Path) -> float | None:
    """Return the cores that one control group grants; None without a limit."""
    words = " ".join(_lines(group / "cpu.max")).split()  # version 2: quota and period, or max
    if not words:
        words = [
            word
            for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            for word in _lines(group / name)
        ]
    try:
        quota, period = (float(word) for word in words)
    except ValueError:
        return None
    return quota / period if quota > 0 and period > 0 else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _unescaped(field: str) -> str:
    """Undo the escapes of mountinfo, which has spaces between its fields."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        field = field.replace(code, character)
    return field
