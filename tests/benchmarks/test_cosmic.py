"""Cosmic: what is read of which files, the splits, the sky, and what is refused."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import catalog
from benchmarks import data as task_data
from benchmarks.nasbench360.cosmic import AUGMENTED, held_visits
from benchmarks.nasbench360.cosmic_files import GALAXIES
from benchmarks.nasbench360.miniatures import cosmic as miniature
from benchmarks.splits import held_out
from xmft.errors import DataError
from xmft.recipe import Recipe
from xmft.samples import Draw, Samples, samples_of
from xmft.split import Split
from xmft.task import TaskData

NAME = "nasbench360/cosmic"
VISIT = "npy_train/f435w/9490/a3"
IMAGE = f"{VISIT}/1_0.npy"
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("miniature")
    miniature.write(folder)
    return folder


@pytest.fixture
def good(written: Path, data_root: Path) -> Path:
    return shutil.copytree(written, data_root, dirs_exist_ok=True)


def load(root: Path, **options: Any) -> TaskData:
    return task_data.load(NAME, data_root=root, **options)


def images(split: Split) -> list[bytes]:
    return [np.asarray(row[:-1]).tobytes() for row in np.asarray(split.inputs)]


def crop_of(path: Path) -> np.ndarray[Any, Any]:
    found: np.ndarray[Any, Any] = np.load(path)[:, 64:192, 64:192]
    return found


def where(root: Path) -> dict[bytes, Path]:
    """The file of every image by what is used of it."""
    paths = [path for path in root.rglob("*_*.npy") if path.stat().st_size > 2000]
    return {crop_of(path)[0].tobytes(): path for path in paths}


def test_each_image_has_its_masks_and_its_sky(good: Path) -> None:
    found, files = load(good), where(good)
    assert [len(split) for split in found.splits.values()] == [8, 2, 3]
    seen = []
    for split in found.splits.values():
        decoded = Samples(split, CPU, decode=found.decode).take(np.arange(len(split)))
        assert decoded.weights is not None
        for row, one in enumerate(images(split)):
            path = files[one]
            seen.append(path)
            planes = crop_of(path)
            ignored = planes[2] if len(planes) == 3 else np.zeros((128, 128))
            np.testing.assert_array_equal(decoded.inputs[row, 0], planes[0])
            np.testing.assert_array_equal(decoded.targets[row, 0], planes[1])
            np.testing.assert_array_equal(decoded.weights[row, 0], 1 - ignored)
            sky = np.load(path.with_name("sky.npy"))[int(path.name.split("_")[0]) - 1]
            assert split.inputs[row][-1] == np.float32(sky)
    # Of each half all images are there, and none of another visit or filter.
    assert len(set(seen)) == 13 == len(files)


def test_splits_are_disjoint_by_visit(good: Path) -> None:
    found, files = load(good), where(good)
    visits = {
        name: {"/".join(files[one].parts[-5:-1]) for one in images(split)}
        for name, split in found.splits.items()
    }
    assert visits["train"].isdisjoint(visits["val"])
    assert all("npy_test" in one for one in visits["test"])
    assert all("npy_train" in one for one in visits["train"] | visits["val"])
    again = load(good, protocol="released")
    for name, split in found.splits.items():
        assert images(split) == images(again.splits[name])


def test_where_files_lie_does_not_change_the_order(good: Path, tmp_path: Path) -> None:
    first = load(good)
    other = tmp_path / "other" / "b"
    for half, folder in (("npy_train", "z"), ("npy_test", "a")):
        (other / folder).mkdir(parents=True)
        (good / half).rename(other / folder / half)
    second = load(tmp_path / "other")
    for name, split in first.splits.items():
        assert images(split) == images(second.splits[name])


def test_numbers_are_sorted_by_size(good: Path) -> None:
    planes = np.load(good / IMAGE)
    np.save(good / VISIT / "sky.npy", np.arange(1.0, 13.0))
    for number in (3, 10, 12):
        np.save(good / VISIT / f"{number}_0.npy", planes + np.array([number, 0, 0])[:, None, None])
    levels = np.asarray(load(good).train.inputs)[:, -1].tolist()
    assert [one for one in levels if one < 13] == [1, 1, 2, 2, 3, 10, 12]


@pytest.mark.parametrize("seed", range(20))
def test_about_a_tenth_is_held_out(seed: int) -> None:
    """Visits as in the released files: 4,830 images of some twenty visits."""
    rng = np.random.default_rng(seed)
    names = sorted(GALAXIES)[: int(rng.integers(12, 27))]
    visits = sorted(rng.choice(names, 4830, p=rng.dirichlet(np.full(len(names), 3.0))).tolist())
    held = held_visits(visits)
    share = sum(one in held for one in visits) / len(visits)
    assert 0.05 < share <= 0.1 and held == held_visits(visits)
    assert held_visits(["a", "a", "a", "b", "b"]) == {"b"}
    assert len(held_out(4830)[1]) == 483


def test_the_sky_of_training_is_drawn_by_seed_epoch_and_image(good: Path) -> None:
    found = load(good)
    samples = samples_of(found, CPU)["train"]
    rows = np.arange(len(samples))
    plain = samples.take(rows)
    levels = torch.from_numpy(np.asarray(found.train.inputs)[:, -1].copy())

    def added(rows: Any, **draw: Any) -> torch.Tensor:
        batch = samples.take(rows, Draw(**{"seed": 0, "stage": "fit", "epoch": 0, **draw}))
        torch.testing.assert_close(batch.targets, plain.targets[rows])
        difference = batch.inputs - plain.inputs[rows]
        # The same at all pixels of an image.
        assert (difference.amax((1, 2, 3)) - difference.amin((1, 2, 3))).max() < 1e-3
        return difference.mean((1, 2, 3)) / levels[rows]

    first = added(rows)
    low, high = AUGMENTED
    assert (low - 1e-3 < first).all() and (first < high + 1e-3).all() and len(set(first)) == 8
    torch.testing.assert_close(added(rows[::-1].copy()), first.flip(0))
    torch.testing.assert_close(added(rows[3:5]), first[3:5])
    for other in ({"epoch": 1}, {"seed": 1}):
        assert (added(rows, **other) - first).abs().min() > 1e-4
    many = torch.cat([added(rows, epoch=epoch) for epoch in range(50)])
    assert abs(many.mean() - (low + high) / 2) < 4 * (high - low) / 12**0.5 / len(many) ** 0.5
    assert many.min() < low + 0.1 and many.max() > high - 0.1


@pytest.mark.parametrize("protocol", ["clean", "released"])
def test_metrics_of_each_protocol(good: Path, protocol: Any) -> None:
    found = load(good, protocol=protocol).task.metrics
    assert found[:2] == ("one_minus_auroc_pixels", "fnr_pct")
    assert found[2:] == (("fnr_pct_all", "one_minus_auroc_hard") if protocol == "released" else ())


def test_fewer_images_are_of_every_visit(good: Path) -> None:
    found, files = load(good, recipe=Recipe(samples=10)), where(good)
    assert [len(split) for split in found.splits.values()] == [7, 2, 1]
    shown = [files[one].parts[-3] for one in images(found.train)]
    assert {visit: shown.count(visit) for visit in shown} == {"9490": 4, "10760": 3}


def test_nothing_is_there(data_root: Path) -> None:
    with pytest.raises(DataError, match=r"needs files like npy_train/f435w/\*/\*/\*_\*\.npy"):
        load(data_root)


def test_what_is_fetched_is_declared() -> None:
    downloads = catalog.get(NAME).downloads
    assert [one.path.name for one in downloads] == [
        f"deepCR.ACS-WFC.{half}.tar" for half in ("train", "test")
    ]
    assert all(one.unpack and "zenodo.org/records/4295902" in one.urls[0] for one in downloads)
    assert len(GALAXIES) == 27


def test_the_miniature_is_the_same_each_time(tmp_path: Path) -> None:
    digests = []
    for name in "ab":
        catalog.get(NAME).miniature(tmp_path / name)
        paths = sorted((tmp_path / name).rglob("*.npy"))
        digests.append([hashlib.sha256(path.read_bytes()).hexdigest() for path in paths])
    assert digests[0] == digests[1]
    ignored = [crop_of(path)[2] for path in paths if len(np.load(path)) == 3 and "_" in path.name
               and path.stat().st_size > 2000]  # fmt: skip
    assert any(plane.all() for plane in ignored) and any(0 < plane.mean() < 1 for plane in ignored)
