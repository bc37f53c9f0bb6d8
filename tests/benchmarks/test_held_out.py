"""What is held out of images and muscle signals is in no other split, whatever the files hold."""

from __future__ import annotations

import gzip
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from benchmarks import catalog
from benchmarks import data as task_data
from benchmarks.nasbench360 import cifar100
from benchmarks.nasbench360.miniatures import images as miniatures
from benchmarks.nasbench360.spherical import FILE
from benchmarks.origin import mark
from xmft.errors import DataError
from xmft.task import Protocol

CIFAR, SPHERE, NINAPRO = (f"nasbench360/{name}" for name in ("cifar100", "spherical", "ninapro"))
PROTOCOLS: tuple[Protocol, ...] = get_args(Protocol)


@pytest.fixture
def root(data_root: Path) -> Path:
    """Where all files of the three tasks are, apart from those of the sphere itself."""
    miniatures.write_cifar100(data_root / cifar100.FOLDER)
    miniatures.write_ninapro(data_root)
    mark(data_root, "miniature")
    return data_root


def change_cifar(root: Path, split: str, change: Callable[[dict[bytes, Any]], None]) -> None:
    path = root / cifar100.FOLDER / split
    content = pickle.loads(path.read_bytes(), encoding="bytes")
    change(content)
    path.write_bytes(pickle.dumps(content, protocol=2))


def write_sphere(root: Path, leaked: int) -> None:
    """Write the sphere with its first test images among those for training as well."""
    path = root / FILE
    miniatures.write_spherical(path)
    content = pickle.loads(gzip.decompress(path.read_bytes()))
    for part in ("images", "labels"):
        among = content["test"][part][:leaked]
        content["train"][part] = np.concatenate([content["train"][part], among])
    path.write_bytes(gzip.compress(pickle.dumps(content)))


def refused(name: str, root: Path) -> str:
    """What a run says under each protocol, and the check in full, which is the same."""
    messages = set()
    for protocol in PROTOCOLS:
        with pytest.raises(DataError) as caught:
            task_data.load(name, data_root=root, protocol=protocol)
        messages.add(str(caught.value))
    with pytest.raises(DataError) as caught:
        task_data.verify(name, data_root=root)
    assert messages == {str(caught.value)}
    return messages.pop()


@pytest.mark.parametrize("name", [CIFAR, SPHERE])
def test_one_file_under_two_names(name: str, root: Path) -> None:
    """Also where the sphere is made of them: no image would be the same there."""
    folder = root / cifar100.FOLDER
    shutil.copy(folder / "train", folder / "test")
    message = refused(name, root)
    assert message.startswith(f"{folder / 'test'}: 320 of 320 images are also in {folder}/train")


@pytest.mark.parametrize("name", [CIFAR, SPHERE])
def test_test_images_that_were_added_to_those_of_training(name: str, root: Path) -> None:
    def add(content: dict[bytes, Any]) -> None:
        path = root / cifar100.FOLDER / "test"
        test = pickle.loads(path.read_bytes(), encoding="bytes")
        content[b"data"] = np.concatenate([content[b"data"], test[b"data"][:15]])
        content[b"fine_labels"] += test[b"fine_labels"][:15]

    change_cifar(root, "train", add)
    assert "15 of 60 images are also in" in refused(name, root)


def test_a_quarter_of_the_test_on_the_sphere_among_those_of_training(root: Path) -> None:
    """As public code since 2025 trains."""
    write_sphere(root, leaked=10)
    assert f"{FILE}: 10 of 40 test images are also in" in refused(SPHERE, root)


def test_few_copies_are_told(root: Path) -> None:
    """The released files hold some; they are what the benchmark is."""

    def copy(content: dict[bytes, Any]) -> None:
        path = root / cifar100.FOLDER / "train"
        content[b"data"][[2, 7]] = pickle.loads(path.read_bytes(), encoding="bytes")[b"data"][5:7]

    change_cifar(root, "test", copy)
    write_sphere(root, leaked=3)
    windows = np.load(root / "ninapro_test.npy")
    windows[4] = np.load(root / "ninapro_val.npy")[1]
    np.save(root / "ninapro_test.npy", windows)
    for name, told in (
        (CIFAR, "2 of 60 images are also in .*train, the first is 2: what a method"),
        (SPHERE, "3 of 40 test images are also in .*s2_cifar100.gz, the first is 0: what"),
        (NINAPRO, "1 of 54 windows are also in .*ninapro_val.npy, the first is 4: what"),
    ):
        lines = task_data.verify(name, data_root=root)
        with pytest.raises(AssertionError, match=told):
            raise AssertionError("\n".join(lines))
        assert task_data.load(name, data_root=root)


@pytest.mark.parametrize(
    "source, target, told, among",
    [
        ("train", "test", "test", "train"),
        ("train", "val", "val", "train"),
        ("val", "test", "test", "val"),
        ("test", "val", "test", "val"),
    ],
)
def test_windows_of_another_split(
    source: str, target: str, told: str, among: str, root: Path
) -> None:
    for part in ("ninapro", "label"):
        shutil.copy(root / f"{part}_{source}.npy", root / f"{part}_{target}.npy")
    message = refused(NINAPRO, root)
    assert message.startswith(f"{root / f'ninapro_{told}.npy'}: ")
    assert f"windows are also in {root / f'ninapro_{among}.npy'}, the first is 0" in message


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_is_made_for_the_sphere_keeps_its_split(protocol: Protocol, root: Path) -> None:
    """Each photograph goes where it is in CIFAR-100, so none of the test is trained on."""
    flat = task_data.load(CIFAR, data_root=root, protocol=protocol)
    made = task_data.load(SPHERE, data_root=root, protocol=protocol)
    assert made.origin == "miniature"
    for split, part in made.splits.items():
        np.testing.assert_array_equal(part.targets, flat.splits[split].targets)
    seen = [{image.tobytes() for image in part.inputs} for part in made.splits.values()]
    assert len(set.union(*seen)) == sum(len(part.inputs) for part in made.splits.values())


def test_verify_says_of_what_the_sphere_is_made(root: Path) -> None:
    (root / "xmft_origin.txt").unlink()
    lines = task_data.verify(catalog.get(SPHERE), data_root=root)
    made = [line for line in lines if "on the sphere are made of them: generated" in line]
    assert len(made) == 2
