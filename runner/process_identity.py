"""Which process something was written by, so that its end can be seen on the same machine."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil

# Start times of one process differ by a little where the clock was set meanwhile.
_START_TOLERANCE_S = 5.0


@dataclass(frozen=True, kw_only=True)
class ProcessIdentity:
    """A process, told from all others.

    Attributes:
        host: Name of the machine.
        space: What the pid counts in: a start of a machine, and a container of it. Two containers
            may have the name of one machine and processes of their own.
        pid: The process.
        started: When it started, in seconds.
    """

    host: str
    space: str
    pid: int
    started: float

    @classmethod
    def own(cls) -> ProcessIdentity:
        """Return this process."""
        pid = os.getpid()
        return cls(
            host=socket.gethostname(),
            space=_space(),
            pid=pid,
            started=psutil.Process(pid).create_time(),
        )

    @classmethod
    def of(cls, facts: Mapping[str, Any]) -> ProcessIdentity | _Unknown:
        """Undo `facts`; of facts that are others, a process that nobody can say anything of."""
        try:
            return cls(
                host=str(facts["host"]),
                space=str(facts["space"]),
                pid=int(facts["pid"]),
                started=float(facts["started"]),
            )
        except (KeyError, TypeError, ValueError):
            return _Unknown()

    def facts(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)

    def has_ended(self) -> bool:
        """Tell whether it is a process of this machine that is gone."""
        if (self.host, self.space) != (socket.gethostname(), _space()):
            return False
        try:
            process = psutil.Process(self.pid)
            if abs(process.create_time() - self.started) > _START_TOLERANCE_S:
                return True
            return bool(process.status() == psutil.STATUS_ZOMBIE)
        except psutil.NoSuchProcess:
            return True
        except (psutil.Error, OverflowError):
            return False


class _Unknown:
    def has_ended(self) -> bool:
        return False


def _space() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:  # no Linux
        return f"{psutil.boot_time():.0f}"
