"""How a number was made: code, libraries, machine."""

from __future__ import annotations

import contextlib
import functools
import platform
import socket
import subprocess
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import torch

_CLEAR = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")
_LIBRARIES = (
    "xmft",
    "torch",
    "transformers",
    "neuraloperator",
    "ray",
    "POT",
    "numpy",
    "pyarrow",
    "h5py",
)


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Facts about the process, recorded in every row and in no cell id."""

    git_revision: str | None
    git_dirty: bool | None
    versions: dict[str, str]
    host: str


@functools.cache
def provenance() -> Provenance:
    """Return the facts of this process; git is asked once."""
    # Installed below somebody else's checkout, this file is not part of it.
    tracked = _git("ls-files", "--error-unmatch", Path(__file__).name)
    revision = None if tracked is None else _git("rev-parse", "HEAD")
    return Provenance(
        git_revision=revision,
        git_dirty=None if revision is None else bool(_git("status", "--porcelain")),
        versions={"python": platform.python_version(), **_versions()},
        host=socket.gethostname(),
    )


def device_name(device: torch.device) -> str:
    """Return the name of a device as people know it."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return platform.machine() + " cpu"


def reset_peak_memory(device: torch.device) -> None:
    """Forget earlier peaks: a warm process has run other cells before."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with contextlib.suppress(OSError):
            _CLEAR.write_text("5", encoding="ascii")  # see proc_pid_clear_refs(5)


def peak_memory_bytes(device: torch.device) -> int | None:
    """Return the peak since `reset_peak_memory`; None where the system does not tell.

    On a GPU it is what the allocator held, on a CPU the resident size of the process.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    with contextlib.suppress(OSError):
        for line in _STATUS.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return None


def _versions() -> dict[str, str]:
    found = {}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _git(*arguments: str) -> str | None:
    """Ask git about the checkout this file lies in; None outside of one."""
    try:
        answer = subprocess.run(
            ["git", *arguments],
            cwd=Path(__file__).parent,
            capture_output=True,
            encoding="utf-8",
            errors="replace",  # a branch or a file may be called anything
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
