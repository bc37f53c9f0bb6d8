"""What an attempt used: devices, time, memory, energy, operations; and what it was started with.

Device seconds are GPUs times the seconds that they were held or, on CPUs, the CPU seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, TypeVar

import pyarrow as pa

from runner.columns import Column

_Number = TypeVar("_Number", int, float)

_ENERGY = (
    "joule that the meters of the cell's processes counted while it ran: its GPUs, or packages and "
    "memory of the processors; null where there is no meter, where it may not be read, where "
    "another cell used the device at the same time, and with workers on several machines' "
    "processors. What is no cell and used the device is counted along"
)

_FLOPS = (
    "floating-point operations that the scores took, of all workers and interrupted runs: matrix "
    "products, convolutions, attention, Fourier transforms, decompositions; not what works entry "
    "by entry, transport, or what many cells share; null where some are unknown"
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
        Column(pa.string(), "how several workers held the model; null with one", since=2),
    ] = None
    flops: Annotated[float | None, Column(pa.float64(), _FLOPS, since=3)] = None
    align_flops: Annotated[
        float | None, Column(pa.float64(), "those of alignment to the source", since=3)
    ] = None
    fit_flops: Annotated[
        float | None, Column(pa.float64(), "those of fitting the target", since=3)
    ] = None
    eval_flops: Annotated[
        float | None, Column(pa.float64(), "those of scoring and measuring", since=3)
    ] = None


def device_seconds(gpu_s: float | None, cpu_s: float | None) -> float | None:
    """Return the device seconds of an attempt; None where they are unknown."""
    return cpu_s if gpu_s is None else gpu_s


def together(parts: Sequence[Usage], *, hosts: int = 1) -> Usage:
    """Return what several workers used between them; a sum with an unknown part is unknown.

    Args:
        parts: What each used, the first worker's first. The processors of a machine are shared,
            and the first worker alone counts their energy.
        hosts: Machines that they were on.
    """
    first = parts[0]
    energy = first.energy_j if hosts == 1 else None
    if first.device_count:
        energy = total([part.energy_j for part in parts])
    return replace(
        first,
        device_count=total([part.device_count for part in parts]),
        gpu_s=total([part.gpu_s for part in parts]),
        cpu_s=total([part.cpu_s for part in parts]),
        peak_memory_sum_bytes=total([part.peak_memory_sum_bytes for part in parts]),
        energy_j=energy,
        energy_source=None if energy is None else first.energy_source,
    )


def total(values: Sequence[_Number | None]) -> _Number | None:
    """Return a sum; None where there is nothing, or something is unknown."""
    known = [value for value in values if value is not None]
    return sum(known[1:], known[0]) if known and len(known) == len(values) else None
