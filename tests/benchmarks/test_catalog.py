from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from benchmarks import catalog
from benchmarks.pdebench import entry as pdebench_entry
from benchmarks.pdebench import miniature
from xmft.errors import DataError, RequestError
from xmft.task import Recipe

PDE_TASKS = [name for name in catalog.names() if name.startswith("pdebench/")]


def test_names_and_variants() -> None:
    assert catalog.names() == [
        "nasbench360/satellite",
        "pdebench/advection",
        "pdebench/darcy",
        "pdebench/diffusion_reaction_1d",
    ]
    assert catalog.variants("pdebench/darcy") == [
        f"pdebench/darcy:beta{beta}" for beta in ("0.01", "0.1", "1.0", "10.0", "100.0")
    ]
    betas = [name.rpartition("beta")[2] for name in catalog.variants("pdebench/advection")]
    assert betas == ["0.1", "0.2", "0.4", "0.7", "1.0", "2.0", "4.0", "7.0"]
    reaction = catalog.variants("pdebench/diffusion_reaction_1d")
    expected = {f"Nu{nu}_Rho{rho}" for nu in (0.5, 1.0, 2.0, 5.0) for rho in (1.0, 2.0, 5.0, 10.0)}
    assert {name.partition(":")[2] for name in reaction} == expected
    assert catalog.variants("nasbench360/satellite") == []


@pytest.mark.parametrize(
    "name", catalog.names() + [variant for task in PDE_TASKS for variant in catalog.variants(task)]
)
def test_every_entry(name: str) -> None:
    entry = catalog.get(name)
    published = {
        "pdebench/advection:beta0.4": "pdebench/advection",
        "pdebench/darcy:beta0.1": "pdebench/darcy",
        "pdebench/diffusion_reaction_1d:Nu0.5_Rho1.0": "pdebench/diffusion_reaction_1d",
    }
    assert entry.task.name == published.get(name, name)
    assert "{" not in entry.task.title and "{" not in "".join(entry.files)
    if entry.task.suite == "pdebench":
        assert entry.generatable
        assert entry.resolution == (64 if "darcy" in name else 256)
        assert entry.task.metrics == ("nrmse", "nrmse_pdebench", "rmse")
        assert entry.task.kind == "dense" and entry.task.loss == "nrmse"
        for label in name.partition(":")[2].split("_"):
            assert label in entry.files[0]
    else:
        assert entry.task.metrics == ("error_pct",)
        assert not entry.generatable and entry.resolution is None


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("pdebench/advecton", "Did you mean 'pdebench/advection'"),
        ("pdebench/darcy:beta1", "Did you mean 'beta1.0'"),
        ("pdebench/darcy:", "Unknown variant ''"),
        ("nasbench360/satellite:big", "has no variants; leave out ':big'"),
    ],
)
def test_wrong_names(name: str, hint: str) -> None:
    with pytest.raises(RequestError, match=hint.replace("'", ".")):
        catalog.get(name)


@pytest.mark.parametrize("name", PDE_TASKS)
def test_without_files_the_samples_are_generated(name: str, data_root: Path) -> None:
    recipe = Recipe(samples=12, resolution=8)
    before = catalog.locate(name, data_root=data_root, recipe=recipe)
    assert not before.ready and before.origin == "generated"
    assert not list(data_root.iterdir())
    assert "made on first use" in before.note and "\n" not in before.note
    done: list[tuple[int, int]] = []
    source = catalog.make_ready(
        name, data_root=data_root, recipe=recipe, progress=lambda *pair: done.append(pair)
    )
    assert source.ready and source.fingerprint == before.fingerprint
    assert source.files == before.files and source.files[0].is_file()
    assert source.files[0].parent.parent == data_root / "generated"
    assert done[-1] == (12, 12)
    data = catalog.load(name, data_root=data_root, recipe=recipe)
    assert data.origin == "generated" and data.fingerprint == source.fingerprint
    assert data.test.inputs.shape[2:] == (8,) * (2 if "darcy" in name else 1)
    with h5py.File(source.files[0]) as file:
        field = file["nu"][0] if "darcy" in name else file["tensor"][0, 0]
        np.testing.assert_array_equal(data.test.inputs[0, 0], field)
    assert "generated, 12 samples" in catalog.verify(name, data_root=data_root)[0]


def test_a_read_only_data_root_is_left_alone(data_root: Path, cache: Path) -> None:
    data_root.chmod(0o555)
    try:
        recipe = Recipe(samples=10, resolution=8)
        data = catalog.load("pdebench/advection", data_root=data_root, recipe=recipe)
        assert str(cache / "generated") in data.source
        assert not list(data_root.iterdir())
        assert len(catalog.verify("pdebench/advection", data_root=data_root)) == 2
    finally:
        data_root.chmod(0o755)


def test_other_amounts_are_other_files(data_root: Path) -> None:
    def locate(**recipe: Any) -> catalog.Source:
        return catalog.locate("pdebench/darcy", data_root=data_root, recipe=Recipe(**recipe))

    recipes: list[dict[str, Any]] = [{}, {"samples": 10}, {"resolution": 32}]
    sources = [locate(**recipe) for recipe in recipes]
    assert len({source.files for source in sources}) == 3
    assert len({source.fingerprint for source in sources}) == 3
    assert locate(epochs=2) == sources[0]


def test_a_damaged_generated_file(data_root: Path) -> None:
    recipe = Recipe(samples=10, resolution=8)
    source = catalog.make_ready("pdebench/darcy", data_root=data_root, recipe=recipe)
    source.files[0].write_bytes(b"")
    with pytest.raises(DataError, match=r"found 0 bytes.*Delete it; it is made again"):
        catalog.load("pdebench/darcy", data_root=data_root, recipe=recipe)
    source.files[0].unlink()
    assert catalog.load("pdebench/darcy", data_root=data_root, recipe=recipe).origin == "generated"


def test_a_file_in_the_data_root_goes_before_the_generator(data_root: Path) -> None:
    recipe = Recipe(samples=10, resolution=8)
    catalog.make_ready("pdebench/darcy", data_root=data_root, recipe=recipe)
    entry = catalog.get("pdebench/darcy")
    assert isinstance(entry, pdebench_entry.PdeEntry)
    miniature.write(entry, data_root / "mine", points=8)
    source = catalog.locate("pdebench/darcy", data_root=data_root, recipe=recipe)
    assert source.origin == "miniature"
    assert source.note.startswith("miniature: ")


def test_verify_without_files_names_the_commands(data_root: Path) -> None:
    with pytest.raises(DataError) as caught:
        catalog.verify("pdebench/darcy:beta1.0", data_root=data_root)
    for verb in ("fetch", "generate"):
        command = f"`xmft data {verb} pdebench/darcy:beta1.0 --data {data_root}`"
        assert command in str(caught.value)


def test_verify_compares_the_checksum_of_a_whole_file(
    data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = catalog.get("pdebench/darcy")
    assert isinstance(entry, pdebench_entry.PdeEntry)
    path = miniature.write(entry, data_root, points=8)
    with h5py.File(path, "a") as file:
        del file.attrs["xmft_origin"]
    assert "which holds 10000 samples" in catalog.verify("pdebench/darcy", data_root=data_root)[2]
    monkeypatch.setattr(pdebench_entry, "RELEASED_SAMPLES", 20)
    with pytest.raises(DataError, match="expected 294f9a03a4aa16b0e386469ca8b471be as published"):
        catalog.verify("pdebench/darcy", data_root=data_root)
    monkeypatch.setattr(
        pdebench_entry.files, "digest", lambda *_: "294f9a03a4aa16b0e386469ca8b471be"
    )
    assert catalog.verify("pdebench/darcy", data_root=data_root)[2].endswith("as published")
