"""Cosmic: the order of its files, whole visits, no image in two splits, what its check says."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import data as task_data
from benchmarks.nasbench360.cosmic import GALAXIES, HIGHEST, LOWEST, by_visit, visit_of
from benchmarks.nasbench360.miniatures import cosmic as miniature
from xmft.errors import DataError
from xmft.recipe import Recipe
from xmft.samples import Draw, samples_of
from xmft.split import Split
from xmft.task import TaskData
from xmft.training import train

NAME = "nasbench360/cosmic"
VISIT = "npy_train/f435w/9490/a3"
IMAGE = f"{VISIT}/1_0.npy"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("miniature")
    miniature.write(folder)
    return folder


@pytest.fixture
def root(written: Path, data_root: Path) -> Path:
    return shutil.copytree(written, data_root, dirs_exist_ok=True)


def load(root: Path, **options: Any) -> TaskData:
    return task_data.load(NAME, data_root=root, **options)


def images(split: Split) -> list[bytes]:
    return [np.asarray(row[:-1]).tobytes() for row in np.asarray(split.inputs)]


def where(root: Path) -> dict[bytes, Path]:
    """The file of every image by what is used of it, of all visits and filters."""
    return {
        np.load(path)[0, 64:192, 64:192].tobytes(): path
        for path in root.rglob("*_*.npy")
        if path.stat().st_size > 2000
    }


def test_splits_are_disjoint_by_visit(root: Path) -> None:
    found, files = load(root), where(root)
    visits = {
        name: {"/".join(files[one].parts[-5:-1]) for one in images(split)}
        for name, split in found.splits.items()
    }
    assert visits["train"].isdisjoint(visits["val"])
    assert all("npy_test" in one for one in visits["test"])
    assert all("npy_train" in one for one in visits["train"] | visits["val"])
    again = load(root, protocol="released")
    for name, split in found.splits.items():
        assert images(split) == images(again.splits[name])
        for row, one in enumerate(images(split)):
            level = np.load(files[one].with_name("sky.npy"))[int(files[one].name[0]) - 1]
            assert split.inputs[row][-1] == np.float32(level)


def test_where_files_lie_does_not_change_the_order(root: Path, tmp_path: Path) -> None:
    first = load(root)
    other = tmp_path / "other" / "b"
    moves = {"npy_train/f435w/9490": "z", "npy_train/f435w/10760": "y", "npy_test/f435w/12058": "a"}
    for place, folder in {**moves, "npy_train/f435w/14343": "x"}.items():
        target = other / folder / place
        target.parent.mkdir(parents=True)
        (root / place).rename(target)
    second = load(tmp_path / "other")
    for name, split in first.splits.items():
        assert images(split) == images(second.splits[name])


def test_numbers_are_sorted_by_size(root: Path) -> None:
    planes = np.load(root / IMAGE)
    np.save(root / VISIT / "sky.npy", np.arange(1.0, 13.0))
    for number in (3, 10, 12):
        np.save(root / VISIT / f"{number}_0.npy", planes + np.array([number, 0, 0])[:, None, None])
    found = load(root)
    levels = [np.asarray(split.inputs)[:, -1].tolist() for split in (found.train, found.val)]
    assert [one for part in levels for one in part if one < 13] == [1, 1, 2, 2, 2, 3, 10, 12]


@pytest.mark.parametrize("seed", range(20))
def test_some_tenth_is_held_out(seed: int) -> None:
    """4,830 exposures as released, of visits of quite unequal size."""
    rng = np.random.default_rng(seed)
    visits = sorted(GALAXIES)[: int(rng.integers(12, 27))]
    drawn = rng.choice(visits, 4830, p=rng.dirichlet(np.full(len(visits), 3.0)))
    paths = [Path(f"/x/npy_train/f435w/{visit}/1_{n}.npy") for n, visit in enumerate(sorted(drawn))]
    fitted, held = by_visit(paths)
    assert 0.06 < len(held) / len(paths) <= 1 / 6 and len(fitted) + len(held) == len(paths)
    assert not {visit_of(path) for path in fitted} & {visit_of(path) for path in held}
    few = [Path(f"/x/npy_train/f435w/{visit}.npy") for visit in ("1/2/3_0", "1/2/4_0", "5/6/7_0")]
    assert by_visit(few) == (few[:2], few[2:])


def test_the_sky_follows_from_seed_epoch_and_exposure_alone(root: Path) -> None:
    found = load(root)
    samples = samples_of(found, torch.device("cpu"))["train"]
    rows = np.arange(len(samples))
    plain = samples.take(rows)
    levels = torch.from_numpy(np.asarray(found.train.inputs)[:, -1].copy())

    def added(rows: Any, **draw: Any) -> torch.Tensor:
        batch = samples.take(rows, Draw(**{"seed": 0, "stage": "fit", "epoch": 0, **draw}))
        torch.testing.assert_close(batch.targets, plain.targets[rows])
        return (batch.inputs - plain.inputs[rows]).mean((1, 2, 3)) / levels[rows]

    first = added(rows)
    assert (first > LOWEST - 1e-3).all() and (first < HIGHEST + 1e-3).all()
    torch.testing.assert_close(added(rows[::-1].copy()), first.flip(0))
    torch.testing.assert_close(added(rows[1:3]), first[1:3])
    for other in ({"epoch": 1}, {"seed": 1}):
        assert (added(rows, **other) - first).abs().min() > 1e-4


@pytest.mark.parametrize("split", ["train", "val"])
def test_an_image_of_the_test_may_not_train(split: str, root: Path) -> None:
    files = where(root)
    target = files[images(load(root).splits[split])[0]]
    planes = np.load(next((root / "npy_test/f435w/12058/1").glob("1_0.npy")))
    planes[1:] = 0
    np.save(target, planes)
    with pytest.raises(DataError) as caught:
        load(root)
    assert f"{target} is for the {split} split and holds the same image as" in str(caught.value)
    # Images that are the same everywhere tell nobody anything.
    for path in (target, root / "npy_test/f435w/12058/1/1_0.npy"):
        np.save(path, np.zeros((3, 256, 256), np.float32))
    load(root)


@pytest.mark.parametrize("value, plane", [(-99999, 0), (2, 1), (0.5, 2)])
def test_values_that_cannot_be(value: float, plane: int, root: Path) -> None:
    planes = np.load(root / IMAGE)
    planes[plane, 100, 100] = value
    np.save(root / IMAGE, planes)
    for ask in (task_data.load, task_data.verify):
        with pytest.raises(DataError, match=r"9490/a3/1_0\.npy.*Move the file away"):
            ask(NAME, data_root=root)  # type: ignore[operator]


def test_outside_of_the_middle_nothing_is_used(root: Path) -> None:
    before = load(root)
    planes = np.load(root / IMAGE)
    for outside in (np.s_[:, :64], np.s_[:, 192:], np.s_[:, :, :64], np.s_[:, :, 192:]):
        planes[outside] = np.nan
    np.save(root / IMAGE, planes)
    after = load(root)
    assert after.fingerprint != before.fingerprint
    for name, split in before.splits.items():
        np.testing.assert_array_equal(split.inputs, after.splits[name].inputs)
    assert task_data.verify(NAME, data_root=root)


@pytest.mark.parametrize("levels", [None, np.ones(1), np.array([1, np.nan])])
def test_plans_know_of_exposures_without_a_level(levels: Any, root: Path) -> None:
    place = root / VISIT / "sky.npy"
    place.unlink()
    if levels is not None:
        np.save(place, levels)
    for ask in (task_data.locate, task_data.verify):
        with pytest.raises(DataError, match=r"9490/a3/.*Move the file away"):
            ask(NAME, data_root=root)  # type: ignore[operator]


def test_the_check_says_one_line_a_visit_and_what_is_odd(root: Path) -> None:
    planes = np.load(root / IMAGE)
    planes[2] = 1
    np.save(root / IMAGE, planes)
    lines = task_data.verify(NAME, data_root=root)
    assert f"{root / IMAGE}: all of its pixels are to be ignored" in lines
    (visit,) = (line for line in lines if f"{VISIT}/sky.npy" in line)
    assert "official, levels of 2 exposures from " in visit and "5 files of them" in visit
    assert len(lines) == 5


def test_the_miniature_can_be_learned_and_is_the_same_each_time(
    written: Path, tmp_path: Path
) -> None:
    miniature.write(tmp_path)
    paths = sorted(path.relative_to(written) for path in written.rglob("*.npy"))
    assert all((written / one).read_bytes() == (tmp_path / one).read_bytes() for one in paths)
    data = load(written)
    recipe = Recipe(epochs=6, batch_size=5, learning_rate=1e-2)
    trained = train(data, "unet", recipe=recipe, options={"features": 4, "levels": 2})
    assert trained.scores["one_minus_auroc_pixels"] < 0.2
    assert trained.scored("test", "last")["one_minus_auroc_pixels"] < 0.2
