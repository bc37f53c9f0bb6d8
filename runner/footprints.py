"""What fits on a GPU together, from what finished cells took of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runner.ledger import Ledger

# Allocators hold more than they count, and each process has libraries of its own on the device.
_MARGIN, _OWN_BYTES = 1.25, 600 * 2**20
# More processes than this take turns rather than run side by side.
_MOST = 4

Key = tuple[str, str]


def gpu_peaks(ledger: Ledger) -> dict[Key, int]:
    """Return the most bytes that a cell of a task with a backbone took of a GPU, by these two."""
    columns = ["task", "backbone", "status", "gpu_name", "peak_memory_bytes", "cell_id", "attempt"]
    peaks: dict[Key, int] = {}
    for row in ledger.rows(columns).to_pylist():
        if row["status"] == "ok" and row["gpu_name"] and row["peak_memory_bytes"]:
            key = row["task"], row["backbone"]
            peaks[key] = max(peaks.get(key, 0), row["peak_memory_bytes"])
    return peaks


def gpu_share(peak_bytes: int, gpu_bytes: int) -> float:
    """Return which part of a GPU a process gets: one, a half, a third or a quarter.

    Args:
        peak_bytes: What it takes.
        gpu_bytes: What the GPU has.
    """
    count = int(gpu_bytes // (peak_bytes * _MARGIN + _OWN_BYTES))
    return 1 / min(max(count, 1), _MOST)


def own_gpu_bytes() -> int | None:
    """Return the memory of the smallest GPU of this machine; None where torch sees none."""
    import torch

    if not torch.cuda.is_available():
        return None
    count = torch.cuda.device_count()
    return min(torch.cuda.get_device_properties(n).total_memory for n in range(count))


def shared(said: dict[str, Any], key: Key, peaks: Mapping[Key, int], gpu_bytes: int | None) -> None:
    """Fill in the part of a GPU of this machine that one worker gets, where nobody says it.

    Args:
        said: Fields of `Resources`; changed.
        key: Task and backbone.
        peaks: From `gpu_peaks`.
        gpu_bytes: From `own_gpu_bytes`.
    """
    if gpu_bytes and key in peaks and "gpus" not in said and said.get("workers", 1) == 1:
        said["gpus"] = gpu_share(peaks[key], gpu_bytes)
