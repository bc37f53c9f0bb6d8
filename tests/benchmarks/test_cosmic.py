"""Cosmic rays: exposures, their background, whole visits for validation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import data as task_data
from benchmarks.nasbench360 import cosmic
from benchmarks.nasbench360.miniatures import cosmic as miniature
from xmft.errors import DataError
from xmft.metrics import METRICS
from xmft.recipe import Recipe
from xmft.samples import Draw, Samples
from xmft.training import train

NAME = "nasbench360/cosmic"


@pytest.fixture
def root(data_root: Path) -> Path:
    miniature.write(data_root)
    return data_root


def said(root: Path) -> str:
    with pytest.raises(DataError) as caught:
        task_data.load(NAME, data_root=root)
    return str(caught.value)


def test_the_middle_of_exposures_of_galaxies_in_one_filter(root: Path) -> None:
    found = task_data.load(NAME, data_root=root)
    assert [len(part) for part in (found.train, found.val, found.test)] == [10, 2, 2]
    samples = Samples(found.test, torch.device("cpu"), decode=found.decode)
    batch = samples.take(np.arange(2))
    assert batch.weights is not None
    for row, name in enumerate(("1_0", "1_1")):
        raw = np.load(root / f"npy_test/f435w/12058/1/{name}.npy")[:, 64:192, 64:192]
        np.testing.assert_array_equal(batch.inputs[row, 0], raw[0])
        np.testing.assert_array_equal(batch.targets[row, 0], raw[1])
        np.testing.assert_array_equal(batch.weights[row, 0], 1 - raw[2])
    assert found.train.targets.dtype == np.uint8


def test_the_sky_of_training_follows_from_the_level_of_the_exposure(root: Path) -> None:
    found = task_data.load(NAME, data_root=root)
    samples = Samples(found.train, torch.device("cpu"), decode=found.decode, augment=found.augment)
    rows = np.arange(len(samples))
    plain = samples.take(rows).inputs
    levels = torch.from_numpy(np.asarray(found.train.inputs)[:, -1].copy())
    factors = []
    for epoch in range(120):
        changed = samples.take(rows, Draw(seed=0, stage="fitting", epoch=epoch)).inputs
        added = (changed - plain).flatten(1)
        assert torch.allclose(added, added[:, :1].expand_as(added), atol=1e-2)
        factors.append(added[:, 0] / levels)
    every = torch.stack(factors)
    assert every.min() >= -0.9 - 1e-3 and every.max() <= 3.0 + 1e-3
    assert every.mean() == pytest.approx(1.05, abs=0.15) and every.std() > 1.0


def test_validation_has_whole_visits() -> None:
    places = [
        Path(f"/x/npy_train/f435w/{visit}/{k}_{n}.npy")
        for visit in sorted(cosmic.GALAXIES)
        for k in (1, 2)
        for n in range(40)
    ]
    assert len(cosmic.GALAXIES) == 27
    fitted, held = cosmic.by_visit(places)
    visits = [{cosmic.visit_of(path) for path in part} for part in (fitted, held)]
    assert not visits[0] & visits[1] and len(fitted) + len(held) == len(places)
    assert 0.1 <= len(held) / len(places) < 0.2
    assert cosmic.by_visit(places) == (fitted, held)
    with pytest.raises(DataError, match="of 1 visits to train and validate on"):
        cosmic.by_visit(places[:80])


@pytest.mark.parametrize(
    "name, array, message",
    [
        ("1_0", np.zeros((3, 128, 128), np.float32), "found the shape (3, 128, 128)"),
        ("1_0", np.zeros((4, 256, 256), np.float32), "found the shape (4, 256, 256)"),
        ("1_0", np.full((3, 256, 256), 0.5, np.float32), "mask of cosmic rays holds 0.5"),
        ("1_0", np.full((3, 256, 256), np.nan, np.float32), "NaN or infinite"),
        ("1_0", np.array([{}], object), "an .npy file of an array of the shape"),
        ("sky", np.zeros(1, np.float32), "2_0.npy: is exposure '2', and "),
        ("sky", np.zeros((2, 2), np.float32), "levels of the shape (exposures,)"),
        ("x_0", np.zeros((3, 256, 256), np.float32), "is exposure 'x'"),
        ("0_0", np.zeros((3, 256, 256), np.float32), "a name from 1_<n>.npy to 2_<n>.npy"),
    ],
)
def test_other_files_are_refused(
    name: str, array: np.ndarray[Any, Any], message: str, root: Path
) -> None:
    place = root / "npy_train/f435w/9490/a3" / f"{name}.npy"
    np.save(place, array, allow_pickle=True)
    assert message in said(root)


def test_missing_levels_and_truncated_exposures(root: Path) -> None:
    place = root / "npy_test/f435w/12058/1"
    whole = (place / "1_0.npy").read_bytes()
    (place / "1_0.npy").write_bytes(whole[:-9])
    assert "cannot be read" in said(root)
    (place / "1_0.npy").write_bytes(whole)
    (place / "sky.npy").unlink()
    assert "sky.npy: is missing, expected the background levels of" in said(root)


def test_other_targets_alone_are_none_at_all(root: Path) -> None:
    (root / "npy_test/f435w/12058").rename(root / "npy_test/f435w/9442")
    assert "needs files like npy_test/f435w/*/*/*.npy" in said(root)


def test_what_is_ignored_and_what_has_no_ray(root: Path) -> None:
    place = root / "npy_test/f435w/12058/1"
    planes = np.load(place / "1_0.npy")
    for ignored, rays in ((1, planes[1]), (0, np.zeros_like(planes[1]))):
        for name in ("1_0", "1_1"):
            image = np.load(place / f"{name}.npy")[0]
            np.save(place / f"{name}.npy", np.stack([image, rays, np.full_like(rays, ignored)]))
        found = task_data.load(NAME, data_root=root)
        # Nothing to find: there is no such score, instead of a wrong one.
        scores = train(found, "mean", recipe=Recipe()).scored("test", "last")
        assert scores == {}
    for exposure in root.rglob("npy_train/f435w/*/*/*_*.npy"):
        if cosmic.visit_of(exposure) in cosmic.GALAXIES:
            image = np.load(exposure)[0]
            np.save(exposure, np.stack([image, np.zeros_like(image)]))
    with pytest.raises(DataError, match="validation samples hold nothing that the metric 'one_min"):
        train(task_data.load(NAME, data_root=root), "unet", recipe=Recipe(epochs=1))


def test_fewer_exposures(root: Path) -> None:
    found = task_data.load(NAME, data_root=root, recipe=Recipe(samples=10))
    assert [len(part) for part in (found.train, found.val, found.test)] == [8, 1, 1]
    assert set(found.task.metrics) <= set(METRICS)
