"""Energy and time of attempts, against counters made by hand."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest
import torch

from runner import meters
from runner.meters import SoleUse, Stopwatch, joule_between, read_meter
from runner.usage import Usage, together

CPU, GPU = torch.device("cpu"), torch.device("cuda:0")


def zone(powercap: Path, name: str, what: str, microjoule: int, top: int = 999_999) -> None:
    folder = powercap / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "name").write_text(f"{what}\n")
    (folder / "energy_uj").write_text(f"{microjoule}\n")
    (folder / "max_energy_range_uj").write_text(f"{top}\n")


def machine(powercap: Path, first: int, second: int, memory: int) -> None:
    """Two packages, one with memory; cores are part of a package, `psys` holds everything."""
    zone(powercap, "intel-rapl:0", "package-0", first)
    zone(powercap, "intel-rapl:0:0", "core", first // 2)
    zone(powercap, "intel-rapl:0:1", "dram", memory)
    zone(powercap, "intel-rapl:1", "package-1", second)
    zone(powercap, "intel-rapl:2", "psys", first + second + memory)


def spent(
    powercap: Path, before: tuple[int, int, int], after: tuple[int, int, int]
) -> float | None:
    machine(powercap, *before)
    first = read_meter(CPU, powercap=powercap)
    machine(powercap, *after)
    return joule_between(first, read_meter(CPU, powercap=powercap))


def test_packages_and_memory_add_up_and_nothing_counts_twice(tmp_path: Path) -> None:
    found = spent(tmp_path, (100_000, 200_000, 30_000), (350_000, 260_000, 37_000))
    assert found == pytest.approx(0.25 + 0.06 + 0.007)


@pytest.mark.parametrize("used", [1, 400_000, 999_999])
def test_a_counter_that_wraps_around(tmp_path: Path, used: int) -> None:
    """Counters go from 0 to max_energy_range_uj: after n steps they stand at n modulo that + 1."""
    before = 700_000
    after = (before + used) % 1_000_000
    assert spent(tmp_path, (before, 5, 5), (after, 5, 5)) == pytest.approx(used * 1e-6)


def test_no_counters_or_none_that_may_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    empty = read_meter(CPU, powercap=tmp_path / "none")
    assert joule_between(empty, empty) is None
    machine(tmp_path, 1, 2, 3)
    assert joule_between(*[read_meter(CPU, powercap=tmp_path)] * 2) == 0
    (tmp_path / "intel-rapl:1" / "energy_uj").unlink()
    (tmp_path / "intel-rapl:1" / "energy_uj").mkdir()  # fails for root as well
    partly = read_meter(CPU, powercap=tmp_path)
    assert joule_between(partly, partly) is None


class Nvml(types.ModuleType):
    """A driver with one GPU."""

    class NVMLError(Exception):
        pass

    def __init__(self, *, old: bool = False) -> None:
        super().__init__("pynvml")
        self.millijoule, self.old = 5_000_000, old

    def nvmlInit(self) -> None:
        pass

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        if uuid != "GPU-1234":
            raise self.NVMLError("no such GPU")
        return "handle"

    def nvmlDeviceGetUUID(self, handle: str) -> str:
        assert handle == "handle"
        return "GPU-1234"

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: str) -> int:
        if self.old:
            raise self.NVMLError("not supported")
        return self.millijoule

    def nvmlSystemGetDriverVersion(self) -> str:
        return "555.42"


@pytest.fixture
def one_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = types.SimpleNamespace(uuid="1234")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: facts)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Big GPU")


def test_a_gpu_is_found_by_its_uuid_and_counts_millijoule(
    monkeypatch: pytest.MonkeyPatch, one_gpu: None
) -> None:
    nvml = Nvml()
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    watch = Stopwatch(GPU)
    nvml.millijoule += 12_500
    usage = watch.stop(peak_memory_bytes=7, sharding=None)
    assert (usage.energy_j, usage.energy_source) == (pytest.approx(12.5), "nvml")
    assert (usage.gpu_name, usage.gpu_driver, usage.device_count) == ("Big GPU", "555.42", 1)
    assert usage.gpu_s is not None and 0 < usage.gpu_s < 60


@pytest.mark.parametrize("nvml", [None, Nvml(old=True)])
def test_without_the_library_or_the_counter_there_is_no_energy(
    monkeypatch: pytest.MonkeyPatch, one_gpu: None, nvml: Nvml | None
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    usage = Stopwatch(GPU).stop(peak_memory_bytes=None, sharding=None)
    assert (usage.energy_j, usage.energy_source) == (None, None)
    assert usage.gpu_name == "Big GPU"


def test_who_shared_the_device_has_no_energy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(tmp_path, 1, 2, 3)
    monkeypatch.setattr(meters, "POWERCAP", tmp_path)
    first = Stopwatch(CPU)
    second = Stopwatch(CPU)
    ended = [watch.stop(peak_memory_bytes=1, sharding=None) for watch in (second, first)]
    assert [usage.energy_j for usage in ended] == [None, None]
    alone = Stopwatch(CPU).stop(peak_memory_bytes=1, sharding=None)
    assert (alone.energy_j, alone.energy_source) == (0.0, "rapl")


def test_sole_use_is_told_for_all_that_overlap() -> None:
    one = SoleUse("cpu")
    other = SoleUse("cpu")
    assert not other.end()
    third = SoleUse("another")
    assert not one.end()
    assert third.end()
    assert SoleUse("cpu").end()


def test_cpu_seconds_are_those_of_the_work() -> None:
    watch = Stopwatch(CPU)
    total = sum(i * i for i in range(2_000_000))
    usage = watch.stop(peak_memory_bytes=None, sharding=None)
    assert total > 0
    assert usage.cpu_s is not None and 0.02 < usage.cpu_s < 10
    assert (usage.gpu_s, usage.gpu_name, usage.device_count) == (None, None, 0)


def test_workers_together() -> None:
    gpus = [
        Usage(device_count=1, gpu_s=2.0, cpu_s=c, energy_j=e, energy_source="nvml")
        for c, e in ((1.0, 10.0), (3.0, 20.0))
    ]
    both = together(gpus)
    assert (both.device_count, both.gpu_s, both.cpu_s, both.energy_j) == (2, 4.0, 4.0, 30.0)
    cpus = [
        Usage(device_count=0, cpu_s=1.0, energy_j=8.0, energy_source="rapl"),
        Usage(device_count=0, cpu_s=1.0),
    ]
    assert together(cpus).energy_j == 8.0
    far = together(cpus, hosts=2)
    assert (far.energy_j, far.energy_source) == (None, None)
