"""What an attempt used: devices, time, memory, energy; and what it was started with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import pyarrow as pa

from runner.columns import Column

_ENERGY = (
    "joule that the meters of the cell's processes counted while it ran: its GPUs, or packages and "
    "memory of the processors; null where there is no meter, where it may not be read, or where "
    "another cell of a run shared it. What does not belong to a run is counted along with it"
)


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What an attempt used, or one worker of it; None where it was not or cannot be measured."""

    gpu_name: Annotated[
        str | None, Column(pa.string(), "name of the GPUs; null on CPUs", since=2)
    ] = None
    gpu_driver: Annotated[
        str | None, Column(pa.string(), "version of their driver; null if unknown", since=2)
    ] = None
    device_count: Annotated[
        int | None, Column(pa.int32(), "GPUs that all workers used; 0 on CPUs", since=2)
    ] = None
    gpu_s: Annotated[
        float | None,
        Column(pa.float64(), "GPUs times the seconds they were held; null on CPUs", since=2),
    ] = None
    cpu_s: Annotated[
        float | None,
        Column(pa.float64(), "CPU seconds of all workers and what they started", since=2),
    ] = None
    peak_memory_sum_bytes: Annotated[
        int | None,
        Column(
            pa.int64(),
            "sum of the workers' peaks, where peak_memory_bytes is the largest of them",
            since=2,
        ),
    ] = None
    energy_j: Annotated[float | None, Column(pa.float64(), _ENERGY, since=2)] = None
    energy_source: Annotated[
        str | None, Column(pa.string(), "nvml (GPUs) or rapl (processors); null if none", since=2)
    ] = None
    threads: Annotated[
        int | None, Column(pa.int32(), "threads of each worker for tensors", since=2)
    ] = None
    sharding: Annotated[
        str | None,
        Column(pa.string(), "how several workers hold the model; null with one", since=2),
    ] = None


def together(parts: Sequence[Usage]) -> Usage:
    """Return what several workers used between them.

    Workers on one machine have one processor, whose energy counts once; GPUs are each one's own.
    A sum with an unknown part is unknown.
    """
    first = parts[0]
    energy = _sum([part.energy_j for part in parts])
    if first.energy_source == "rapl":
        known = [part.energy_j for part in parts if part.energy_j is not None]
        energy = max(known) if len(known) == len(parts) else None
    return replace(
        first,
        device_count=_sum([part.device_count for part in parts]),
        gpu_s=_sum([part.gpu_s for part in parts]),
        cpu_s=_sum([part.cpu_s for part in parts]),
        peak_memory_sum_bytes=_sum([part.peak_memory_sum_bytes for part in parts]),
        energy_j=energy,
        energy_source=None if energy is None else first.energy_source,
    )


def _sum[N: (int, float)](values: Sequence[N | None]) -> N | None:
    known = [value for value in values if value is not None]
    return sum(known[1:], known[0]) if known and len(known) == len(values) else None
