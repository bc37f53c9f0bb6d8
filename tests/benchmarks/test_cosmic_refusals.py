"""Files of Cosmic that are refused, and what is said of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import data as task_data
from benchmarks.nasbench360.miniatures import cosmic as miniature
from xmft.errors import DataError
from xmft.task import TaskData

NAME = "nasbench360/cosmic"
VISIT = "npy_train/f435w/9490/a3"
IMAGE = f"{VISIT}/1_0.npy"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("miniature")
    miniature.write(folder)
    return folder


@pytest.fixture
def good(written: Path, data_root: Path) -> Path:
    return shutil.copytree(written, data_root, dirs_exist_ok=True)


def load(root: Path) -> TaskData:
    return task_data.load(NAME, data_root=root)


def said(root: Path) -> str:
    """What a run says, which the check of all files refuses too."""
    with pytest.raises(DataError) as caught:
        load(root)
    with pytest.raises(DataError):
        task_data.verify(NAME, data_root=root)
    return str(caught.value)


def changed(**changes: Any) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        planes = np.load(root / IMAGE).astype(np.float64)
        for plane, value in changes.items():
            planes[{"image": 0, "mask": 1, "ignored": 2}[plane], 100, 100] = value
        np.save(root / IMAGE, planes)

    return change


def saved(name: str, values: Any) -> Callable[[Path], None]:
    return lambda root: np.save(root / name, values, allow_pickle=True)


def renamed(name: str, other: str) -> Callable[[Path], None]:
    return lambda root: (root / name).rename(root / other) and None


def cut(name: str) -> Callable[[Path], None]:
    return lambda root: (root / name).write_bytes((root / name).read_bytes()[:5000]) and None


OBJECT = np.array({"image": 1}, dtype=object)


@pytest.mark.parametrize(
    "change, message",
    [
        (saved(IMAGE, np.zeros((3, 128, 128), np.float32)), "the shape (3, 128, 128), expected (3"),
        (saved(IMAGE, np.zeros((4, 256, 256), np.float32)), "the shape (4, 256, 256), expected (3"),
        (saved(IMAGE, np.zeros((256, 256), np.float32)), "the shape (256, 256) and the type"),
        (saved(IMAGE, np.zeros((3, 256, 256), np.int16)), "the type int16"),
        (saved(IMAGE, OBJECT), "1_0.npy cannot be read ("),
        (cut(IMAGE), "1_0.npy cannot be read"),
        (changed(mask=0.5), "pixels of the mask of cosmic rays are none of its values, the first "),
        (changed(ignored=2), "pixels of the mask of ignored pixels are none of its values, the "),
        (changed(image=np.nan), "values of the image are NaN or infinite"),
        (changed(image=-9999), "mark what is missing"),
        (renamed(f"{VISIT}/sky.npy", f"{VISIT}/other.npy"), "a3 has no sky.npy, expected the"),
        (saved(f"{VISIT}/sky.npy", np.ones(1)), "the sky of 1 exposures, expected that of exp"),
        (saved(f"{VISIT}/sky.npy", np.float64(3)), "the shape () and the type float64"),
        (saved(f"{VISIT}/sky.npy", np.array([1, np.nan])), "levels of the sky are NaN"),
        (saved(f"{VISIT}/sky.npy", OBJECT), "sky.npy cannot be read"),
        (renamed(IMAGE, f"{VISIT}/a_0.npy"), "has no number of an exposure in its name"),
        (renamed(IMAGE, f"{VISIT}/0_0.npy"), "has no number of an exposure in its name"),
    ],
)
def test_other_files_are_refused(change: Callable[[Path], None], message: str, good: Path) -> None:
    change(good)
    text = said(good)
    assert message in text and "9490/a3" in text and "Move the file away" in text


def test_outside_of_the_middle_nothing_is_used(good: Path) -> None:
    before = load(good)
    planes = np.load(good / IMAGE)
    planes[:, :64], planes[:, 192:] = np.nan, 7
    planes[:, :, :64], planes[:, :, 192:] = np.nan, 7
    np.save(good / IMAGE, planes)
    after = load(good)
    assert after.fingerprint != before.fingerprint
    for name, split in before.splits.items():
        np.testing.assert_array_equal(split.inputs, after.splits[name].inputs)
    assert task_data.verify(NAME, data_root=good)


def test_visits_of_other_fields_alone_are_refused(good: Path) -> None:
    for visit in miniature.VISITS:
        if "npy_test" in visit:
            (good / visit).rename((good / visit).with_name(f"9{Path(visit).name}"))
    with pytest.raises(DataError, match=r"is of visit 12058/91, expected one of the 27 whose"):
        load(good)


def test_one_visit_cannot_be_divided(good: Path) -> None:
    for visit in ("10760/2", "12513/3"):
        (good / "npy_train/f435w" / visit).rename(good / visit.replace("/", "-"))
    with pytest.raises(DataError, match="of 1 visits, expected at least 2"):
        load(good)


def test_an_image_of_the_test_may_not_train(good: Path) -> None:
    test = good / "npy_test/f435w/12058/1/1_0.npy"
    planes = np.load(test)
    planes[1:] = 0
    np.save(good / IMAGE, planes)
    with pytest.raises(
        DataError, match=r"9490/a3/1_0\.npy is for the \w+ split and holds the same"
    ):
        load(good)


@pytest.mark.parametrize("plane, value", [(1, 0), (1, 1), (2, 1)])
def test_a_test_without_cosmic_rays_is_refused(good: Path, plane: int, value: int) -> None:
    for path in (good / "npy_test/f435w").rglob("*_*.npy"):
        planes = np.load(path)
        planes = np.concatenate([planes, np.zeros_like(planes[:1])])[:3]
        planes[plane] = value
        np.save(path, planes)
    with pytest.raises(DataError, match=r"pixels of the test images that are not to be ignored \d+"
                                        " are hit by cosmic rays, expected some"):  # fmt: skip
        load(good)
