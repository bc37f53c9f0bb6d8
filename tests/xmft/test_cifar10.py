from __future__ import annotations

import pickle
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from xmft.backbones import Backbone, load_backbone
from xmft.errors import DataError, RequestError
from xmft.pickles import NumpyUnpickler
from xmft.source import PROXIES, SourceConfig, SourceSamples, proxy_identity
from xmft.source.cifar10 import ARCHIVE, BATCHES, FOLDER

SMALL = SourceConfig(samples=40)


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return load_backbone("tiny-swin")


def batch(number: int, count: int = 12) -> dict[Any, Any]:
    """One batch as the official files have it; every image has one value, which tells it apart."""
    values = np.arange(count) + 20 * number
    return {
        b"batch_label": f"training batch {number} of 5".encode(),
        b"labels": [int(value) % 10 for value in values],
        b"data": np.repeat(values[:, None], 3072, axis=1).astype(np.uint8),
        b"filenames": [f"{value}.png".encode() for value in values],
    }


def write(root: Path, *, protocol: int = 2, **changed: Any) -> Path:
    """Write a miniature of the official folder; `changed` replaces entries of the third batch."""
    folder = root / "somewhere" / FOLDER
    folder.mkdir(parents=True)
    for number, name in enumerate(BATCHES, start=1):
        content = batch(number)
        if number == 3:
            content |= {key.encode(): value for key, value in changed.items()}
        (folder / name).write_bytes(pickle.dumps(content, protocol=protocol))
    return folder


def archived(folder: Path, root: Path) -> Path:
    """Pack a folder like the official archive, in an order of its own."""
    root.mkdir()
    with tarfile.open(root / ARCHIVE, "w:gz") as archive:
        for path in sorted(folder.iterdir(), reverse=True):
            archive.add(path, arcname=f"{FOLDER}/{path.name}")
    return root / ARCHIVE


def samples(root: Path, backbone: Backbone, config: SourceConfig = SMALL) -> SourceSamples:
    return PROXIES["cifar10"].samples(backbone, config, root)


def test_images_keep_their_labels_and_channels(tmp_path: Path, backbone: Backbone) -> None:
    content = batch(3)
    content[b"data"][0] = np.arange(3072) // 1024  # red 0, green 1, blue 2
    content[b"data"][1] = np.arange(3072) % 32  # the value is the column
    write(tmp_path, data=content[b"data"])
    found = samples(tmp_path, backbone, SourceConfig(samples=5000))
    # Fewer than asked for: all there are.
    assert found.inputs.shape == (60, 3, 32, 32) and found.inputs.dtype == torch.uint8
    assert (found.labels.dtype, found.classes) == (torch.int64, 10)
    flat = [image for image in found.inputs if len(image.unique()) == 1]
    assert len({int(image[0, 0, 0]) for image in flat}) == 58
    for image, label in zip(found.inputs, found.labels, strict=True):
        if len(image.unique()) == 1:
            assert int(image[0, 0, 0]) % 10 == label
    channels = torch.arange(3, dtype=torch.uint8)[:, None, None].expand(3, 32, 32)
    columns = torch.arange(32, dtype=torch.uint8).expand(3, 32, 32)
    for wanted in (channels, columns):
        assert any(torch.equal(image, wanted) for image in found.inputs)


def test_the_subset_is_fixed_and_grows(tmp_path: Path, backbone: Backbone) -> None:
    write(tmp_path)
    torch.manual_seed(7)
    first = samples(tmp_path, backbone)
    torch.manual_seed(8)
    np.random.seed(8)
    assert torch.equal(first.inputs, samples(tmp_path, backbone).inputs)
    more = samples(tmp_path, backbone, SourceConfig(samples=50))
    assert torch.equal(more.inputs[:40], first.inputs)
    # Drawn from all batches.
    assert {int(value) // 20 for value in first.inputs[:, 0, 0, 0]} == {1, 2, 3, 4, 5}


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_archive_and_folder_are_the_same(protocol: int, tmp_path: Path, backbone: Backbone) -> None:
    folder = write(tmp_path / "a", protocol=protocol)
    archived(folder, tmp_path / "b")
    first, second = (samples(tmp_path / root, backbone) for root in "ab")
    assert torch.equal(first.inputs, second.inputs) and torch.equal(first.labels, second.labels)
    assert first.fingerprint == second.fingerprint
    identity = proxy_identity("cifar10", tmp_path / "a")
    assert identity == f"cifar10@{first.fingerprint}" == proxy_identity("cifar10", tmp_path / "b")
    assert len(first.fingerprint) == 12


def test_keys_that_python_2_wrote(tmp_path: Path, backbone: Backbone) -> None:
    """Byte strings of Python 2 come out as text."""
    folder = write(tmp_path)
    expected = samples(tmp_path, backbone)
    for number, name in enumerate(BATCHES, start=1):
        text = {key.decode(): value for key, value in batch(number).items()}
        (folder / name).write_bytes(pickle.dumps(text, protocol=2))
    assert torch.equal(samples(tmp_path, backbone).inputs, expected.inputs)


def test_other_content_is_another_proxy(tmp_path: Path) -> None:
    folder = write(tmp_path)
    before = proxy_identity("cifar10", tmp_path)
    changed = batch(2)
    changed[b"labels"][0] = 9
    (folder / BATCHES[1]).write_bytes(pickle.dumps(changed, protocol=2))
    assert proxy_identity("cifar10", tmp_path) != before


def test_missing_files_say_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(RequestError) as caught:
        proxy_identity("cifar10", tmp_path / "nothing")
    message = str(caught.value)
    for part in (FOLDER, ARCHIVE, str(tmp_path / "nothing"), "found neither", "https://www.cs."):
        assert part in message
    folder = write(tmp_path)
    (folder / BATCHES[3]).unlink()
    with pytest.raises(RequestError, match=rf"found {folder} without data_batch_4\."):
        proxy_identity("cifar10", tmp_path)


def _truncated(folder: Path) -> None:
    path = folder / BATCHES[2]
    path.write_bytes(path.read_bytes()[:5000])


def _of_another_kind(folder: Path) -> None:
    (folder / BATCHES[2]).write_bytes(pickle.dumps([1, 2]))


def _that_wants_more(folder: Path) -> None:
    (folder / BATCHES[2]).write_bytes(pickle.dumps({"data": Path("/")}))


@pytest.mark.parametrize(
    ("damage", "wanted"),
    [
        (_truncated, "cannot be read"),
        (_of_another_kind, "holds a list"),
        (_that_wants_more, "none of numpy's constructors"),
    ],
)
def test_damaged_pickles_name_the_file(
    damage: Callable[[Path], None], wanted: str, tmp_path: Path, backbone: Backbone
) -> None:
    folder = write(tmp_path)
    damage(folder)
    with pytest.raises(DataError, match=rf"data_batch_3.*{wanted}.*Fetch https"):
        samples(tmp_path, backbone)


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        (
            {"labels": [*range(10), 10, 0]},
            r"1 labels lie outside 0\.\.9, the first is 10 at sample 10",
        ),
        ({"labels": [*range(10), -1, 0]}, "the first is -1 at sample 10"),
        (
            {"labels": [0] * 11},
            r"'labels' has the shape \(11,\) and the type int64, expected 12 integers",
        ),
        ({"labels": None}, r"the shape \(\) and the type object"),
        ({"labels": [[0], [1, 2]] * 6}, "is no list of numbers"),
        ({"data": np.zeros((12, 3071), np.uint8)}, r"shape \(12, 3071\), expected uint8"),
        ({"data": np.zeros((12, 3072), np.float32)}, "type float32"),
        ({"data": None}, "a NoneType"),
    ],
)
def test_wrong_content_is_refused(
    changed: dict[str, Any], wanted: str, tmp_path: Path, backbone: Backbone
) -> None:
    write(tmp_path, **changed)
    with pytest.raises(DataError, match=rf"data_batch_3.*{wanted}"):
        samples(tmp_path, backbone)


def test_a_damaged_archive(tmp_path: Path, backbone: Backbone) -> None:
    folder = write(tmp_path / "a")
    archive = archived(folder, tmp_path / "b")
    whole = archive.read_bytes()
    for content in (whole[: len(whole) // 2], b"no archive at all"):
        archive.write_bytes(content)
        with pytest.raises(DataError, match=rf"{ARCHIVE} cannot be read.*{len(content)} bytes"):
            samples(tmp_path / "b", backbone)
    (folder / BATCHES[4]).unlink()
    archive.unlink()
    archived(folder, tmp_path / "c")
    with pytest.raises(DataError, match=r"holds no data_batch_5"):
        proxy_identity("cifar10", tmp_path / "c")


def test_nothing_but_numpy_is_built(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        pytest.fail("an unrestricted unpickler was used")

    write(tmp_path)
    monkeypatch.setattr(pickle, "load", refuse)
    monkeypatch.setattr(pickle, "loads", refuse)
    asked: list[tuple[str, str]] = []
    original = NumpyUnpickler.find_class

    def find(self: NumpyUnpickler, module: str, name: str) -> Any:
        asked.append((module.partition(".")[0], name))
        return original(self, module, name)

    monkeypatch.setattr(NumpyUnpickler, "find_class", find)
    samples(tmp_path, load_backbone("tiny-swin"))
    assert {module for module, _ in asked} <= {"numpy", "_codecs"}
