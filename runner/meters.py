"""Meters of energy, and what a process used between two looks at the clocks.

NVML counts what a GPU takes (nvmlDeviceGetTotalEnergyConsumption, Volta and later), RAPL what the
packages of the processors and their memory take (Linux, Documentation/power/powercap). Both count
the whole device, whoever uses it: an attempt has a number only where no other cell of the machine
used the device at the same time, as far as they share a cache, where cells sign in.
"""

from __future__ import annotations

import fcntl
import os
import platform
import resource
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from runner.usage import Usage, together
from xmft.cache import cache_root

POWERCAP = Path("/sys/class/powercap")
_MICRO, _MILLI = 1e-6, 1e-3


@dataclass(frozen=True, kw_only=True)
class _Zone:
    """What a counter of RAPL said; it starts again from zero behind `wrap`."""

    joule: float
    wrap: float | None


@dataclass(frozen=True, kw_only=True)
class Meter:
    """Where the counters of energy stand.

    Attributes:
        source: `nvml` or `rapl`.
        zones: The counters by name; none where there is no meter, or it may not be read.
    """

    source: str
    zones: Mapping[str, _Zone] = field(default_factory=dict)


def read_meter(device: torch.device, *, powercap: Path | None = None) -> Meter:
    """Look at the counters of the device's energy.

    Args:
        device: What the process trains on.
        powercap: Folder of the processors' counters; None: that of the system.
    """
    if device.type == "cuda":
        return Meter(source="nvml", zones=_nvml_zones(device))
    return Meter(source="rapl", zones=_rapl_zones(POWERCAP if powercap is None else powercap))


def joule_between(before: Meter, after: Meter) -> float | None:
    """Return the energy between two looks; None where a counter is missing in one of them.

    A counter that is lower than before has wrapped around, once: the smallest of them takes
    minutes to do so at full power. What falls behind twice is told as too little.
    """
    if not before.zones or before.zones.keys() != after.zones.keys():
        return None
    total = 0.0
    for name, then in before.zones.items():
        spent = after.zones[name].joule - then.joule
        if spent < 0:
            if then.wrap is None:
                return None
            spent += then.wrap
        total += spent
    return total


def _rapl_zones(powercap: Path) -> dict[str, _Zone]:
    """Read packages, and memory that is not part of one; empty if any may not be read.

    A package counts its cores and its part of the graphics, but not its memory. `psys`, the whole
    machine, holds all of them, and so it is left out.
    """
    zones = {}
    try:
        for folder in sorted(powercap.glob("intel-rapl:*")):
            name = (folder / "name").read_text(encoding="ascii").strip()
            if not name.startswith(("package-", "dram")):
                continue
            zones[f"{folder.name} {name}"] = _Zone(
                joule=int((folder / "energy_uj").read_text(encoding="ascii")) * _MICRO,
                # The counter takes all values up to and with this one.
                wrap=(int((folder / "max_energy_range_uj").read_text(encoding="ascii")) + 1)
                * _MICRO,
            )
    except (OSError, ValueError):  # readable by root alone on most systems
        return {}
    return zones


def _nvml_zones(device: torch.device) -> dict[str, _Zone]:
    found = _nvml_device(device)
    if found is None:
        return {}
    nvml, handle = found
    try:
        millijoule = nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        # Some GPUs of one board cannot be told apart by anything else.
        return {str(nvml.nvmlDeviceGetUUID(handle)): _Zone(joule=millijoule * _MILLI, wrap=None)}
    except nvml.NVMLError:  # too old, or a part of a GPU
        return {}


def driver_version(device: torch.device) -> str | None:
    """Return the version of the GPU's driver; None on CPUs and where nobody tells."""
    found = _nvml_device(device)
    if found is None:
        return None
    nvml, _ = found
    try:
        return str(nvml.nvmlSystemGetDriverVersion())
    except nvml.NVMLError:
        return None


def _nvml_device(device: torch.device) -> tuple[Any, Any] | None:
    """Return NVML and its handle of a device of torch, which may count the GPUs differently."""
    if device.type != "cuda":
        return None
    try:
        import pynvml
    except ImportError:
        return None
    try:
        pynvml.nvmlInit()
        return pynvml, pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{_gpu_id(device)}")
    except pynvml.NVMLError:
        return None


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and of those that it started and waited for."""
    return sum(
        used.ru_utime + used.ru_stime
        for used in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


class SoleUse:
    """Finds out whether another cell used a device while this one did.

    Cells that run hold a shared lock on a file, and each start adds a byte to it: who gets it alone
    at first and finds it no longer at the end was alone all the time.
    """

    def __init__(self, device: str) -> None:
        """Sign in.

        Args:
            device: Name of the device.
        """
        self._file: int | None = None
        self._starts = -1
        folder = cache_root() / "meters"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = os.open(folder / device, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.ftruncate(self._file, 0)
                alone = True
            except BlockingIOError:
                alone = False
            fcntl.flock(self._file, fcntl.LOCK_SH)
            os.write(self._file, b".")
            if alone:
                self._starts = 1
        except OSError:  # a full disk, or no locks: nobody knows
            self._starts = -1

    def end(self) -> bool:
        """Sign out and say whether nobody else was there."""
        if self._file is None:
            return False
        alone = os.fstat(self._file).st_size == self._starts
        os.close(self._file)
        self._file = None
        return alone


class Stopwatch:
    """Measures what one process uses for a cell, from its making on."""

    def __init__(self, device: torch.device, *, rank: int = 0) -> None:
        """Start.

        Args:
            device: What the process trains on.
            rank: Of several workers the first counts the energy of the processors they share.
        """
        self._device = device
        self._counts = device.type == "cuda" or rank == 0
        name = _gpu_id(device) if device.type == "cuda" else platform.node() or "cpu"
        self._sole = SoleUse(name.replace("/", "_")) if self._counts else None
        self._meter = read_meter(device)
        self._cpu_s, self._clock = cpu_seconds(), time.perf_counter()

    def stop(self, *, peak_memory_bytes: int | None, sharding: str | None) -> Usage:
        """Return what was used since; the second call finds nobody signed in."""
        gpu = self._device.type == "cuda"
        seconds = time.perf_counter() - self._clock
        joule = joule_between(self._meter, read_meter(self._device))
        if self._sole is None or not self._sole.end():
            joule = None
        return Usage(
            gpu_name=torch.cuda.get_device_name(self._device) if gpu else None,
            gpu_driver=driver_version(self._device),
            device_count=int(gpu),
            gpu_s=seconds if gpu else None,
            cpu_s=cpu_seconds() - self._cpu_s,
            peak_memory_sum_bytes=peak_memory_bytes,
            energy_j=joule,
            energy_source=None if joule is None else self._meter.source,
            threads=torch.get_num_threads(),
            sharding=sharding,
        )

    def close(self) -> None:
        """Sign out, where the cell ended before `stop`."""
        if self._sole is not None:
            self._sole.end()


def of_all_workers(usage: Usage) -> tuple[Usage, int | None]:
    """Return what all workers of a cell used, and the largest of their peaks of memory."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return usage, usage.peak_memory_sum_bytes
    parts: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(parts, (platform.node(), usage))
    peaks = [part.peak_memory_sum_bytes for _, part in parts]
    largest = None if None in peaks else max(peaks)
    return together([part for _, part in parts], hosts=len({host for host, _ in parts})), largest


def _gpu_id(device: torch.device) -> str:
    return str(torch.cuda.get_device_properties(device).uuid)
