"""CIFAR-100, its images on a sphere, and muscle signals: files, projection, augmentation."""

from __future__ import annotations

import gzip
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import data as task_data
from benchmarks.nasbench360 import cifar100, ninapro
from benchmarks.nasbench360.miniatures import images as miniatures
from xmft.errors import DataError
from xmft.recipe import Recipe
from xmft.samples import Decoded, Draw, Samples
from xmft.split import Split

CIFAR, SPHERE, NINAPRO = (f"nasbench360/{name}" for name in ("cifar100", "spherical", "ninapro"))
RNG = np.random.default_rng(3)


class Code:
    """Makes a folder when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.place),)


def said(name: str, data_root: Path) -> str:
    """What a run says of bad files; it is what the check in full says."""
    messages = []
    for ask in (task_data.load, task_data.verify):
        with pytest.raises(DataError) as caught:
            ask(name, data_root=data_root)  # type: ignore[operator]
        messages.append(str(caught.value))
    assert messages[0] == messages[1]
    return messages[0]


def write_cifar(folder: Path, split: str, **changed: Any) -> None:
    folder.mkdir(exist_ok=True)
    content = {
        b"data": RNG.integers(0, 256, (20, 3072), dtype=np.uint8),
        b"fine_labels": list(range(0, 100, 5)),
        **{key.encode(): value for key, value in changed.items()},
    }
    for key in [key for key, value in content.items() if value is None]:
        del content[key]
    (folder / split).write_bytes(pickle.dumps(content, protocol=2))


@pytest.fixture
def cifar(data_root: Path) -> Path:
    folder = data_root / cifar100.FOLDER
    for split in ("train", "test"):
        write_cifar(folder, split)
    return folder


def test_pixels_are_those_of_the_pickles(cifar: Path, data_root: Path) -> None:
    found = task_data.load(CIFAR, data_root=data_root)
    raw = pickle.loads((cifar / "train").read_bytes(), encoding="bytes")
    assert [len(part) for part in (found.train, found.val, found.test)] == [16, 4, 20]
    assert found.train.inputs.dtype == np.uint8 and found.origin == "official"
    batch = Samples(found.val, torch.device("cpu"), decode=found.decode).take(np.arange(4))
    for row, (image, label) in enumerate(zip(batch.inputs, batch.targets, strict=True), start=16):
        pixels = raw[b"data"][row].reshape(3, 32, 32)
        for channel in range(3):
            value = pixels[channel, 5, 9] / 255
            scaled = (value - cifar100.MEAN[channel]) / cifar100.DEVIATION[channel]
            assert image[channel, 5, 9].item() == pytest.approx(scaled, abs=1e-5)
        assert label == raw[b"fine_labels"][row]


def test_images_in_training_are_moved_and_reflected_with_a_black_border() -> None:
    entry = cifar100.entries()[0]
    pixels = RNG.integers(0, 256, (400, 3, 32, 32), dtype=np.uint8)
    split = Split(inputs=pixels, targets=np.zeros(400, np.int64))
    samples = Samples(split, torch.device("cpu"), decode=entry.decode, augment=entry.augment)
    moved = samples.take(np.arange(400), Draw(seed=0, stage="fitting", epoch=0)).inputs
    mean, spread = (np.array(x)[:, None, None] for x in (cifar100.MEAN, cifar100.DEVIATION))
    back = np.rint((moved.numpy() * spread + mean) * 255).astype(int)
    seen = set()
    for image, original in zip(back, pixels, strict=True):
        padded = np.pad(original, ((0, 0), (4, 4), (4, 4)))
        found = [
            (row, column, flip)
            for row in range(9)
            for column in range(9)
            for flip in (False, True)
            if (
                image == padded[:, row : row + 32, column : column + 32][..., :: 1 - 2 * flip]
            ).all()
        ]
        assert len(found) == 1
        seen |= set(found)
    # 162 moves, each with a chance of 1 in 162 a draw: some 148 are seen in 400 draws.
    assert len(seen) > 130


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"fine_labels": None, "labels": [0] * 20}, r"\(the labels of CIFAR-10\)"),
        ({"data": None}, "holds fine_labels, expected 'data' and 'fine_labels'"),
        ({"data": np.zeros((20, 3072))}, "type float64 and shape"),
        ({"data": np.zeros((20, 3073), np.uint8)}, r"uint8 \[n, 3072\]"),
        ({"fine_labels": [100] * 20}, "20 labels lie outside 0..99, the first is 100 at sample 0"),
        ({"fine_labels": [0] * 19}, "20 integers, one for each sample"),
        ({"fine_labels": [0.5] * 20}, "the type float64"),
        ({"fine_labels": [[0], [1, 2]] * 10}, "'fine_labels' is no list of numbers"),
    ],
)
def test_other_pickles_are_refused(
    changed: dict[str, Any], message: str, cifar: Path, data_root: Path
) -> None:
    write_cifar(cifar, "train", **changed)
    text = said(CIFAR, data_root)
    assert str(cifar / "train") in text
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(text)


def test_a_pickle_that_carries_code_is_not_run(
    cifar: Path, data_root: Path, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    write_cifar(cifar, "test", extra=Code(mark))
    assert "none of numpy's constructors" in said(CIFAR, data_root)
    content = {"train": {"images": Code(mark)}, "test": {}}
    (data_root / "s2_cifar100.gz").write_bytes(gzip.compress(pickle.dumps(content)))
    assert "none of numpy's constructors" in said(SPHERE, data_root)
    miniatures.write_ninapro(data_root)
    np.save(data_root / "label_test.npy", np.array([Code(mark)], object), allow_pickle=True)
    assert "an .npy file of integers" in said(NINAPRO, data_root)
    assert not mark.exists()


def test_truncated_files_are_told(cifar: Path, data_root: Path) -> None:
    place = cifar / "test"
    place.write_bytes(place.read_bytes()[:-9])
    assert "cannot be read" in said(CIFAR, data_root)
    miniatures.write_spherical(data_root / "s2_cifar100.gz")
    packed = data_root / "s2_cifar100.gz"
    packed.write_bytes(packed.read_bytes()[:-50])
    assert "cannot be read" in said(SPHERE, data_root)
    miniatures.write_ninapro(data_root)
    signals = data_root / "ninapro_val.npy"
    signals.write_bytes(signals.read_bytes()[:-9])
    assert "cannot be read" in said(NINAPRO, data_root)


def test_too_few_images(cifar: Path, data_root: Path) -> None:
    write_cifar(cifar, "train", data=np.zeros((4, 3072), np.uint8), fine_labels=[0] * 4)
    with pytest.raises(DataError, match="found 4 and 20 images, expected at least 5"):
        task_data.load(CIFAR, data_root=data_root)


def test_the_sphere_is_made_of_cifar_where_its_own_file_is_missing(
    cifar: Path, data_root: Path
) -> None:
    found = task_data.load(SPHERE, data_root=data_root)
    assert found.origin == "generated" and found.test.inputs.shape == (20, 3, 60, 60)
    flat = task_data.load(CIFAR, data_root=data_root)
    np.testing.assert_array_equal(found.train.targets, flat.train.targets)
    miniatures.write_spherical(data_root / "s2_cifar100.gz")
    assert task_data.load(SPHERE, data_root=data_root).origin == "official"
    capped = task_data.load(SPHERE, data_root=data_root, recipe=Recipe(samples=40))
    assert [len(part) for part in (capped.train, capped.val, capped.test)] == [29, 7, 4]


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda c: c.pop("test"), "holds 'train', expected 'train' and 'test'"),
        (lambda c: c["train"].pop("labels"), "'train' holds 'images', expected 'images' and"),
        (lambda c: c["test"].update(images=np.zeros((3, 3, 32, 32), np.uint8)), "(3, 3, 32, 32)"),
        (lambda c: c["test"].update(images=np.zeros((40, 3, 60, 60))), "the type float64"),
        (lambda c: c["test"].update(labels=np.full(40, -1)), "outside 0..99, the first is -1"),
        (lambda c: c["test"].update(labels=np.zeros(39, int)), "40 integers"),
        (lambda c: c["test"].update(labels=[[0], [1, 2]] * 20), "is no list of numbers"),
    ],
)
def test_other_spheres_are_refused(
    change: Callable[[dict[str, Any]], Any], message: str, data_root: Path
) -> None:
    path = data_root / "s2_cifar100.gz"
    miniatures.write_spherical(path)
    content = pickle.loads(gzip.decompress(path.read_bytes()))
    change(content)
    path.write_bytes(gzip.compress(pickle.dumps(content)))
    assert message in said(SPHERE, data_root)


def test_electrodes_are_rows(data_root: Path) -> None:
    miniatures.write_ninapro(data_root)
    found = task_data.load(NINAPRO, data_root=data_root)
    raw = np.load(data_root / "ninapro_test.npy")
    assert raw.dtype == np.float64 and found.test.inputs.shape == (54, 1, 16, 52)
    assert found.test.inputs[3, 0, 7, 40] == np.float32(raw[3, 40, 7])
    np.testing.assert_array_equal(found.val.targets, np.load(data_root / "label_val.npy"))
    assert {0, 17} <= set(np.asarray(found.train.targets).tolist())


@pytest.mark.parametrize(
    "name, array, message",
    [
        ("ninapro_train", np.zeros((9, 52, 15)), "(9, 52, 15)"),
        ("ninapro_train", np.zeros((9, 16, 52)), "(9, 16, 52)"),
        ("ninapro_test", np.zeros((54, 52, 16), int), "the type int64"),
        ("ninapro_test", np.full((54, 52, 16), np.nan), "NaN or infinite, the first in sample 0"),
        ("ninapro_test", np.full((54, 52, 16), 1e39), "infinite, the first in sample 0, expected"),
        ("ninapro_test", np.full((54, 52, 16), np.inf, np.float16), "infinite, the first in"),
        ("ninapro_val", np.full((36, 52, 16), -9999.0), "mark what is missing"),
        ("label_val", np.full(36, 18), "outside 0..17, the first is 18 at sample 0"),
        ("label_val", np.zeros(36), "the type float64"),
    ],
)
def test_other_arrays_are_refused(
    name: str, array: np.ndarray[Any, Any], message: str, data_root: Path
) -> None:
    miniatures.write_ninapro(data_root)
    np.save(data_root / f"{name}.npy", array)
    assert message in said(NINAPRO, data_root)


def test_arrays_of_two_releases(data_root: Path) -> None:
    miniatures.write_ninapro(data_root)
    np.save(data_root / "label_val.npy", np.zeros(35, int))
    with pytest.raises(
        DataError, match=r"label_val\.npy: found 35 labels, expected 36, one for each"
    ):
        task_data.load(NINAPRO, data_root=data_root)
    assert ninapro.entries()[0].released_samples == 2638


def test_decoded_images_have_labels_of_the_right_type() -> None:
    entry = cifar100.entries()[0]
    split = Split(inputs=np.zeros((2, 3, 32, 32), np.uint8), targets=np.zeros(2, np.uint8))
    batch: Decoded = Samples(split, torch.device("cpu"), decode=entry.decode).take(np.arange(2))
    assert batch.targets.dtype == torch.int64 and batch.inputs.dtype == torch.float32
