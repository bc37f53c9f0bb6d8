from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from benchmarks import catalog
from benchmarks import data as task_data
from benchmarks.pdebench import download, generate
from benchmarks.pdebench import entry as pdebench_entry
from benchmarks.pdebench.solvers import compressible_ns_2d
from tests.files import write_miniature
from xmft.errors import DataError, RequestError
from xmft.metrics import check_scores
from xmft.task import Protocol, Recipe

PROTOCOLS: tuple[Protocol, ...] = ("clean", "released")

RESOLUTIONS = {
    "pdebench/advection": 256,
    "pdebench/burgers": 1024,
    "pdebench/compressible_ns_1d": 1024,
    "pdebench/compressible_ns_2d": 64,
    "pdebench/darcy": 64,
    "pdebench/diffusion_reaction_1d": 1024,
    "pdebench/diffusion_reaction_2d": 128,
    "pdebench/diffusion_sorption": 1024,
    "pdebench/shallow_water": 128,
}
PDE_TASKS = list(RESOLUTIONS)
METRICS = (
    *("nrmse", "nrmse_pdebench", "rmse", "max_error", "crmse", "brmse"),
    *("frmse_low", "frmse_mid", "frmse_high"),
)


def test_names_and_variants() -> None:
    assert catalog.names() == sorted(catalog.names())
    assert set(catalog.names()) >= {"nasbench360/satellite", *PDE_TASKS}
    assert catalog.variants("pdebench/darcy") == [
        f"pdebench/darcy:beta{beta}" for beta in ("0.01", "0.1", "1.0", "10.0", "100.0")
    ]
    betas = [name.rpartition("beta")[2] for name in catalog.variants("pdebench/advection")]
    assert betas == ["0.1", "0.2", "0.4", "0.7", "1.0", "2.0", "4.0", "7.0"]
    reaction = catalog.variants("pdebench/diffusion_reaction_1d")
    expected = {f"Nu{nu}_Rho{rho}" for nu in (0.5, 1.0, 2.0, 5.0) for rho in (1.0, 2.0, 5.0, 10.0)}
    assert {name.partition(":")[2] for name in reaction} == expected
    for name in ("nasbench360/satellite", "pdebench/diffusion_sorption", "pdebench/shallow_water"):
        assert catalog.variants(name) == []
    fluid = catalog.variants("pdebench/compressible_ns_1d")
    assert fluid == [
        f"pdebench/compressible_ns_1d:Eta{v}_Zeta{v}" for v in ("1.e-8", "0.01", "0.1")
    ]
    fluid = catalog.variants("pdebench/compressible_ns_2d")
    assert {name.partition(":")[2] for name in fluid} == {
        f"M{mach}_Eta{v}_Zeta{v}" for mach in (0.1, 1.0) for v in ("1e-08", "0.01", "0.1")
    }
    assert len(catalog.variants("pdebench/burgers")) == 12


@pytest.mark.parametrize(
    "name", catalog.names() + [variant for task in PDE_TASKS for variant in catalog.variants(task)]
)
def test_every_entry(name: str) -> None:
    entry = catalog.get(name)
    published = {
        "pdebench/advection:beta0.4": "pdebench/advection",
        "pdebench/burgers:Nu1.0": "pdebench/burgers",
        "pdebench/compressible_ns_1d:Eta0.1_Zeta0.1": "pdebench/compressible_ns_1d",
        "pdebench/compressible_ns_2d:M1.0_Eta0.1_Zeta0.1": "pdebench/compressible_ns_2d",
        "pdebench/darcy:beta0.1": "pdebench/darcy",
        "pdebench/diffusion_reaction_1d:Nu0.5_Rho1.0": "pdebench/diffusion_reaction_1d",
    }
    assert entry.task.name == published.get(name, name)
    assert "{" not in entry.task.title and "{" not in "".join(entry.files)
    if entry.task.suite == "pdebench":
        base, _, label = name.partition(":")
        # The solver of 2-D compressible flow refuses flows that are hardly viscous.
        assert entry.generatable == (label[-5:] != "1e-08")
        assert entry.protocols == ("clean", "released")
        assert entry.resolution == RESOLUTIONS[base]
        released = entry.task_under("released")
        assert released.metrics == METRICS
        absolute = ("pdebench/burgers", "pdebench/compressible_ns_1d")
        assert released.loss == ("rmse" if base in absolute else "nrmse")
        if "compressible" in base:
            # Over all channels at once they would be ranked by the pressure.
            each = tuple(f"nrmse_channel_{c}" for c in range(len(entry.task.channels)))
            assert entry.task.metrics == (METRICS[1], METRICS[0], *each, *METRICS[2:])
            assert entry.task.loss == "nrmse_pdebench"
            assert (entry.task.version, released.version) == (2, 1)
        else:
            assert entry.task == released
        assert entry.task.kind == "dense"
        assert entry.files[0] in download.releases()
        for part in label.split("_"):
            assert part in entry.files[0]
    for protocol in entry.protocols:
        check_scores(entry.task_under(protocol), weighted=False)
    if name == "nasbench360/satellite":
        assert entry.task.metrics == ("error_pct",)
        assert not entry.generatable and entry.resolution is None
        assert entry.protocols == ("clean", "released")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("pdebench/advecton", "Did you mean 'pdebench/advection'"),
        ("pdebench/darcy:beta1", "Did you mean 'beta1.0'"),
        ("pdebench/darcy:", "Unknown variant ''"),
        ("nasbench360/satellite:big", "has no variants; leave out ':big'"),
        ("pdebench/shallow_water:small", "has no variants; leave out ':small'"),
        ("pdebench/compressible_ns_1d:Eta1e-8_Zeta1e-8", "Did you mean 'Eta1.e-8_Zeta1.e-8'"),
    ],
)
def test_wrong_names(name: str, hint: str) -> None:
    with pytest.raises(RequestError, match=hint.replace("'", ".")):
        catalog.get(name)


def test_a_protocol_that_the_task_does_not_have(data_root: Path) -> None:
    entry = replace(catalog.get("nasbench360/satellite"), protocols=("clean",))
    for act in (task_data.locate, task_data.make_ready, task_data.load):
        with pytest.raises(RequestError, match=r"'released' is not available .*; use 'clean'"):
            act(entry, data_root=data_root, recipe=Recipe(), protocol="released")


@pytest.mark.parametrize("name", sorted(generate.GENERATORS))
def test_without_files_the_samples_are_generated(name: str, data_root: Path) -> None:
    recipe = Recipe(samples=12, resolution=16)
    before = task_data.locate(name, data_root=data_root, recipe=recipe)
    assert not before.ready and before.origin == "generated"
    assert not list(data_root.iterdir())
    assert "made on first use" in before.note and "\n" not in before.note
    done: list[tuple[int, int]] = []
    source = task_data.make_ready(
        name, data_root=data_root, recipe=recipe, progress=lambda *pair: done.append(pair)
    )
    assert source.ready and source.fingerprint == before.fingerprint
    assert source.files == before.files and source.files[0].is_file()
    assert source.files[0].parent.parent == data_root / "generated"
    assert done[-1] == (12, 12)
    data = task_data.load(name, data_root=data_root, recipe=recipe)
    assert data.origin == "generated" and data.fingerprint == source.fingerprint
    assert set(data.test.inputs.shape[2:]) == {16}
    with h5py.File(source.files[0]) as file:
        if name == "pdebench/diffusion_reaction_2d":  # noise on 128 points, of which 16 are left
            assert data.floor is None
        elif name in ("pdebench/darcy", "pdebench/diffusion_sorption"):  # computed
            assert data.floor is None and data.perfect is not None
        else:
            assert data.floor == file.attrs["xmft_tolerance"]
            assert 0 < data.floor < 0.1 and "solver" in data.floor_note
        if name == "pdebench/advection":
            np.testing.assert_array_equal(data.test.inputs[0, 0], file["tensor"][0, 0])
        if name == "pdebench/darcy":
            np.testing.assert_array_equal(data.test.inputs[0, 0], file["nu"][0])
    assert "generated, 12 samples" in task_data.verify(name, data_root=data_root)[0]


def test_a_generated_file_with_all_frames_serves_both_protocols(data_root: Path) -> None:
    name, recipe = "pdebench/diffusion_reaction_1d", Recipe(samples=10, resolution=16)

    def locate(protocol: Protocol) -> task_data.Located:
        return task_data.locate(name, data_root=data_root, recipe=recipe, protocol=protocol)

    before = {protocol: locate(protocol) for protocol in PROTOCOLS}
    assert before["clean"].files != before["released"].files
    task_data.load(name, data_root=data_root, recipe=recipe, protocol="released")
    after = {protocol: locate(protocol) for protocol in PROTOCOLS}
    assert after["clean"].files == after["released"].files == before["released"].files
    assert after["clean"].fingerprint not in {s.fingerprint for s in before.values()}
    data = {
        p: task_data.load(name, data_root=data_root, recipe=recipe, protocol=p) for p in PROTOCOLS
    }
    with h5py.File(after["clean"].files[0]) as file:
        tensor = file["tensor"][()]
    np.testing.assert_array_equal(data["clean"].test.targets[0], tensor[:1, 100])
    np.testing.assert_array_equal(data["released"].test.targets[0], tensor[:1, 99])
    np.testing.assert_array_equal(data["released"].train.targets[0], tensor[1:2, 29])
    # The smaller file goes first where it is there.
    generate.write(
        name,
        {"Nu": 0.5, "rho": 1.0},
        before["clean"].files[0],
        **{"samples": 10, "resolution": 16, "seed": 0, "frames": "ends"},
    )
    assert locate("clean").fingerprint == before["clean"].fingerprint


def test_ends_are_enough_where_both_protocols_end_at_the_final_time(data_root: Path) -> None:
    recipe = Recipe(samples=10, resolution=8)
    sources = [
        task_data.locate(
            "pdebench/advection", data_root=data_root, recipe=recipe, protocol=protocol
        )
        for protocol in PROTOCOLS
    ]
    assert sources[0].files == sources[1].files
    assert sources[0].fingerprint != sources[1].fingerprint


def test_a_read_only_data_root_is_left_alone(data_root: Path, cache: Path) -> None:
    data_root.chmod(0o555)
    try:
        recipe = Recipe(samples=10, resolution=8)
        data = task_data.load("pdebench/advection", data_root=data_root, recipe=recipe)
        assert str(cache / "generated") in data.source
        assert not list(data_root.iterdir())
        assert len(task_data.verify("pdebench/advection", data_root=data_root)) == 2
    finally:
        data_root.chmod(0o755)


def test_other_amounts_are_other_files(data_root: Path) -> None:
    def locate(**recipe: Any) -> task_data.Located:
        return task_data.locate("pdebench/darcy", data_root=data_root, recipe=Recipe(**recipe))

    recipes: list[dict[str, Any]] = [{}, {"samples": 10}, {"resolution": 32}]
    sources = [locate(**recipe) for recipe in recipes]
    assert len({source.files for source in sources}) == 3
    assert len({source.fingerprint for source in sources}) == 3
    assert locate(epochs=2) == sources[0]


def test_a_damaged_generated_file(data_root: Path) -> None:
    recipe = Recipe(samples=10, resolution=8)
    source = task_data.make_ready("pdebench/darcy", data_root=data_root, recipe=recipe)
    source.files[0].write_bytes(b"")
    with pytest.raises(DataError, match=r"found 0 bytes.*Delete it; it is made again"):
        task_data.load("pdebench/darcy", data_root=data_root, recipe=recipe)
    source.files[0].unlink()
    assert (
        task_data.load("pdebench/darcy", data_root=data_root, recipe=recipe).origin == "generated"
    )
    source.files[0].write_bytes(b"")
    with pytest.raises(DataError, match=r"found 0 bytes.*Delete it; it is made again"):
        task_data.verify("pdebench/darcy", data_root=data_root)


def test_a_file_in_the_data_root_goes_before_the_generator(data_root: Path) -> None:
    recipe = Recipe(samples=10, resolution=8)
    task_data.make_ready("pdebench/darcy", data_root=data_root, recipe=recipe)
    entry = catalog.get("pdebench/darcy")
    assert isinstance(entry, pdebench_entry.PdeEntry)
    write_miniature(entry, data_root / "mine", points=8)
    source = task_data.locate("pdebench/darcy", data_root=data_root, recipe=recipe)
    assert source.origin == "miniature"
    assert source.note.startswith("miniature: ")


def test_verify_without_files_names_the_commands(data_root: Path) -> None:
    with pytest.raises(DataError) as caught:
        task_data.verify("pdebench/darcy:beta1.0", data_root=data_root)
    for verb in ("fetch", "generate"):
        command = f"`xmft data {verb} pdebench/darcy:beta1.0 --data {data_root}`"
        assert command in str(caught.value)


def test_verify_compares_the_checksum_of_a_whole_file(
    data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = catalog.get("pdebench/darcy")
    assert isinstance(entry, pdebench_entry.PdeEntry)
    path = write_miniature(entry, data_root, points=8)
    with h5py.File(path, "a") as file:
        del file.attrs["xmft_origin"]
    assert "which holds 10000 samples" in task_data.verify("pdebench/darcy", data_root=data_root)[2]
    release = replace(download.releases()["2D_DarcyFlow_beta0.1_Train.hdf5"], samples=20)
    monkeypatch.setattr(download, "releases", lambda: {release.path.name: release})
    with pytest.raises(DataError, match="expected 294f9a03a4aa16b0e386469ca8b471be as published"):
        task_data.verify("pdebench/darcy", data_root=data_root)
    monkeypatch.setattr(
        pdebench_entry.cache, "digest", lambda *_: "294f9a03a4aa16b0e386469ca8b471be"
    )
    assert task_data.verify("pdebench/darcy", data_root=data_root)[2].endswith("as published")


@pytest.mark.parametrize("base", sorted(generate.GENERATORS))
def test_only_what_the_solver_takes_is_promised(base: str, data_root: Path) -> None:
    for name in catalog.variants(base):
        entry = catalog.get(name)
        assert isinstance(entry, pdebench_entry.PdeEntry)
        if base == "pdebench/compressible_ns_2d":
            assert entry.generatable == (
                entry.parameters["eta"] >= compressible_ns_2d.LEAST_VISCOSITY
            )
        else:
            assert entry.generatable
        if not entry.generatable:
            with pytest.raises(DataError, match=f"xmft data fetch {name}"):
                task_data.locate(name, data_root=data_root, recipe=Recipe())
            with pytest.raises(RequestError, match="cannot be generated"):
                task_data.generate(name, task_data.Generation(), data_root=data_root)
