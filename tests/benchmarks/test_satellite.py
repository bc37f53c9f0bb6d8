from __future__ import annotations

import errno
import gzip
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import catalog
from benchmarks import data as task_data
from benchmarks.nasbench360.satellite import standardise
from tests.mirror import Mirror, Served
from xmft.errors import DataError, RequestError
from xmft.task import Recipe, TaskData

NAME = "nasbench360/satellite"


def _write(folder: Path, split: str, count: int, seed: int = 0, **changed: Any) -> Path:
    rng = np.random.default_rng(seed)
    content = {
        "data": rng.normal(3.0, 2.0, (count, 46)),
        "label": 1 + np.arange(count) % 24,
        **changed,
    }
    path = folder / f"satellite_{split}.npy"
    np.save(path, np.array(content, dtype=object), allow_pickle=True)
    return path


def _load(data_root: Path, **recipe: Any) -> TaskData:
    return task_data.load(NAME, data_root=data_root, recipe=Recipe(**recipe))


def _message(data_root: Path) -> str:
    with pytest.raises(DataError) as caught:
        _load(data_root)
    return str(caught.value)


def test_splits_shapes_and_scaling(data_root: Path) -> None:
    _write(data_root, "train", 50, 1)
    _write(data_root, "test", 30, 2)
    data = _load(data_root)
    assert [len(part) for part in (data.train, data.val, data.test)] == [45, 5, 30]
    assert data.origin == "official"
    assert data.task.classes == 24
    for part in (data.train, data.val, data.test):
        assert part.inputs.shape[1:] == (1, 46) and part.inputs.dtype == np.float32
        assert part.targets.dtype == np.int64
        np.testing.assert_allclose(part.inputs.mean(axis=2), 0, atol=1e-6)
        np.testing.assert_allclose(np.square(part.inputs).mean(axis=2), 1, rtol=1e-5)
    raw = np.random.default_rng(2).normal(3.0, 2.0, (30, 46))
    np.testing.assert_array_equal(data.test.targets, np.arange(30) % 24)
    slopes = [np.polyfit(x, z, 1)[0] for x, z in zip(raw, data.test.inputs[:, 0], strict=True)]
    np.testing.assert_allclose(slopes, 1 / raw.std(axis=1), rtol=1e-5)
    rows = {row.tobytes() for row in data.train.inputs} | {row.tobytes() for row in data.val.inputs}
    assert len(rows) == 50
    assert not rows & {row.tobytes() for row in data.test.inputs}


def test_a_constant_series_becomes_zeros() -> None:
    values = np.stack([np.full(46, 0.1), np.zeros(46), np.full(46, 1e9), np.arange(46.0) * 1e-9])
    scaled = standardise(values)
    assert (scaled[:3] == 0).all()
    np.testing.assert_allclose(scaled[3].std(), 1, rtol=1e-5)


def test_a_cap_takes_the_first_of_both_files(data_root: Path) -> None:
    train = _write(data_root, "train", 50, label=1 + np.arange(50) % 24)
    _write(data_root, "test", 30)
    data = _load(data_root, samples=20)
    assert [len(part) for part in (data.train, data.val, data.test)] == [17, 1, 2]
    labels = np.sort(np.concatenate([data.train.targets, data.val.targets]))
    np.testing.assert_array_equal(labels, np.arange(18))
    assert str(train) in data.source
    assert [len(part) for part in vars(_load(data_root, samples=10_000)).values()
            if hasattr(part, "inputs")] == [45, 5, 30]  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({"label": np.arange(50)}, "3 labels lie outside 1..24, the first is 0 at sample 0"),
        ({"label": np.ones(49, int)}, "'label' has the shape (49,) and the type int64"),
        ({"label": np.ones(50)}, "the type float64, expected 50 integers"),
        ({"data": np.ones((50, 45))}, "'data' has the shape (50, 45)"),
        ({"data": np.ones((50, 46), int)}, "the type int64, expected floating-point numbers"),
        ({"xmft_origin": "else"}, "'xmft_origin' is 'else', expected one of official"),
    ],
)
def test_bad_content(data_root: Path, changed: dict[str, Any], found: str) -> None:
    if found.startswith("3 labels"):
        changed = {"label": np.r_[0, np.tile(np.arange(1, 25), 2)[:47], 25, 26]}
    path = _write(data_root, "train", 50, **changed)
    _write(data_root, "test", 30)
    message = _message(data_root)
    assert message.startswith(f"{path}: ") and found in message
    assert "`xmft data fetch nasbench360/satellite --data" in message


def test_values_that_are_not_finite(data_root: Path) -> None:
    values = np.ones((50, 46))
    values[[7, 9], 3] = np.nan, np.inf
    _write(data_root, "train", 50, data=values)
    _write(data_root, "test", 30)
    assert "2 values of 'data' are NaN or infinite, the first in sample 7" in _message(data_root)


def test_no_dictionary(data_root: Path) -> None:
    np.save(data_root / "satellite_train.npy", np.array(None, dtype=object), allow_pickle=True)
    _write(data_root, "test", 30)
    assert "expected a dictionary with 'data' and 'label'" in _message(data_root)


def test_too_few_series(data_root: Path) -> None:
    path = _write(data_root, "train", 2)
    _write(data_root, "test", 30)
    wanted = f"{path}: found 2 series, expected at least 3 (1 for validation)"
    assert wanted in _message(data_root)
    with pytest.raises(DataError) as caught:  # a plan says so as well, the second time too
        task_data.locate(NAME, data_root=data_root)
    assert wanted in str(caught.value)
    _write(data_root, "train", 3)
    _write(data_root, "test", 0)
    assert "satellite_test.npy: found 0 series, expected at least 1" in _message(data_root)


def test_missing_files(data_root: Path) -> None:
    message = _message(data_root)
    assert "needs satellite_train.npy, satellite_test.npy, looked for everywhere" in message
    path = _write(data_root, "train", 50)
    message = _message(data_root)
    assert f"needs satellite_test.npy, looked for everywhere under {data_root}" in message
    assert f"found only {path}" in message
    with pytest.raises(DataError, match="the folder does not exist"):
        _load(data_root / "nowhere")


def test_files_of_two_origins_do_not_mix(data_root: Path) -> None:
    _write(data_root, "train", 50)
    _write(data_root, "test", 30, xmft_origin="miniature")
    assert "are miniature and official, expected one origin" in _message(data_root)
    _write(data_root, "train", 50, xmft_origin="miniature")
    assert _load(data_root).origin == "miniature"


def test_the_length_is_fixed(data_root: Path) -> None:
    _write(data_root, "train", 50)
    _write(data_root, "test", 30)
    assert len(_load(data_root, resolution=46).test) == 30
    with pytest.raises(RequestError, match=r"series of 46 values; the recipe asks for .* 64"):
        _load(data_root, resolution=64)


def test_fetch_gets_both_files_and_pins_them(web: Mirror, data_root: Path, tmp_path: Path) -> None:
    entry = catalog.get(NAME)
    assert [download.size for download in entry.downloads] == [338_400_000, 37_600_000]
    addresses = [url for download in entry.downloads for url in download.urls]
    assert addresses == [
        f"https://pde-xd.s3.amazonaws.com/satellite/satellite_{split}.npy"
        for split in ("train", "test")
    ]
    released = [_write(tmp_path, "train", 50), _write(tmp_path, "test", 30)]
    downloads = tuple(
        replace(download, urls=(web.put(path.name, Served(path.read_bytes())),), size=None)
        for download, path in zip(entry.downloads, released, strict=True)
    )
    entry = replace(entry, downloads=downloads)
    paths = task_data.fetch(entry, data_root=data_root)
    folder = data_root / "nasbench360" / "satellite"
    assert paths == [folder / path.name for path in released]
    assert [path.read_bytes() for path in paths] == [path.read_bytes() for path in released]
    assert len(_load(data_root).test) == 30
    assert task_data.fetch(entry, data_root=data_root) == paths and len(web.asked) == 2
    lines = task_data.verify(entry, data_root=data_root)
    assert sum("as pinned when it was first fetched" in line for line in lines) == 2


def test_where_the_address_refuses_fetch_says_where_else_the_files_are(
    web: Mirror, data_root: Path
) -> None:
    entry = catalog.get(NAME)
    downloads = tuple(
        replace(download, urls=(web.put(download.path.name, Served(status=403)),))
        for download in entry.downloads
    )
    with pytest.raises(DataError) as caught:
        task_data.fetch(replace(entry, downloads=downloads), data_root=data_root)
    message = str(caught.value)
    assert "satellite_train.npy (HTTP Error 403" in message
    assert "Google Drive folder is 1OOp6UrCiP79mTIkCrUdjjHWDo8K0bJUw" in message
    assert str(data_root / "nasbench360" / "satellite" / "satellite_train.npy") in message
    paths = [_write(data_root, "train", 50), _write(data_root, "test", 30)]
    assert task_data.fetch(entry, data_root=data_root) == paths


def test_verify(data_root: Path) -> None:
    _write(data_root, "train", 50)
    _write(data_root, "test", 23)
    lines = task_data.verify(NAME, data_root=data_root)
    assert "official, 50 series of 46 values" in lines[0]
    assert "24 of 24 classes, 2 to 3 series each" in lines[1]
    assert "23 of 24 classes, 0 to 1 series each" in lines[3]


def test_oddities_of_the_released_files_are_told(data_root: Path) -> None:
    """Those at hand hold copies; a method may know by heart what is also in the training file."""
    rng = np.random.default_rng(9)
    train, test = rng.normal(size=(30, 46)), rng.normal(size=(20, 46))
    train[7] = train[3] = 0.25
    test[[4, 11]] = train[[9, 20]]
    _write(data_root, "train", 30, data=train)
    _write(data_root, "test", 20, data=test)
    text = "\n".join(task_data.verify(NAME, data_root=data_root))
    assert "  2 series are constant, the first is 3\n" in text
    assert text.count("  1 series are copies of others in the file") == 1
    assert "  2 series are also in satellite_train.npy, the first is 4: what" in text
    assert len(_load(data_root).test) == 20


def test_marks_of_what_is_missing(data_root: Path) -> None:
    values = np.random.default_rng(3).normal(size=(50, 46))
    values[[12, 30], 5] = -9999.0
    values[31] = 9.969209968386869e36
    _write(data_root, "train", 50, data=values)
    _write(data_root, "test", 30)
    assert "3 series hold numbers that mark what is missing" in (message := _message(data_root))
    assert "the first is sample 12, expected measured values only" in message


@pytest.mark.parametrize(
    ("content", "found", "mend"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            "is a pointer of Git LFS",
            "git lfs pull",
        ),
        (gzip.compress(b"x", mtime=0), "is still packed (gzip)", "satellite_train.npy.gz"),
        (b"<html>Quota exceeded</html>", "is an answer of a web server", "Move the file away"),
        (bytes(2000), "begins with 2000 zero bytes", "Move the file away"),
        (b"", "is empty", "Move the file away"),
    ],
)
def test_what_lies_under_the_name(data_root: Path, content: bytes, found: str, mend: str) -> None:
    path = _write(data_root, "train", 50)
    _write(data_root, "test", 30)
    path.write_bytes(content)
    message = _message(data_root)
    assert message.startswith(f"{path} {found}") and mend in message
    assert ("Move the file away" in message) == (mend == "Move the file away")
    with pytest.raises(DataError) as caught:
        task_data.verify(NAME, data_root=data_root)
    assert str(caught.value) == message


def test_a_disk_that_does_not_answer(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _write(data_root, "train", 50)
    _write(data_root, "test", 30)
    opened = Path.open

    def broken(self: Path, *arguments: Any, **options: Any) -> Any:
        if self == path:
            raise OSError(errno.EIO, "x")
        return opened(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", broken)
    message = _message(data_root)
    assert f"{path} cannot be read: the disk, or the network" in message
    assert "Move the file away" not in message


def test_the_released_protocol_leaves_the_values_and_holds_out_the_same(data_root: Path) -> None:
    _write(data_root, "train", 50, 1)
    _write(data_root, "test", 30, 2)
    clean = _load(data_root)
    released = task_data.load(NAME, data_root=data_root, protocol="released")
    raw = np.random.default_rng(2).normal(3.0, 2.0, (30, 46))
    np.testing.assert_allclose(released.test.inputs[:, 0], raw, rtol=1e-6)
    for split, other in zip(clean.splits.values(), released.splits.values(), strict=True):
        np.testing.assert_allclose(split.inputs[:, 0], standardise(other.inputs[:, 0]), atol=1e-5)
        np.testing.assert_array_equal(split.targets, other.targets)


def test_the_miniature(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        catalog.get(NAME).miniature(tmp_path / name)
    for file in ("satellite_train.npy", "satellite_test.npy"):
        one, two = (tmp_path / name / file for name in "ab")
        assert one.read_bytes() == two.read_bytes() and one.stat().st_size < 300_000
    data = _load(tmp_path / "a")
    assert data.origin == "miniature"
    assert [len(part) for part in data.splits.values()] == [270, 30, 100]
    assert (np.bincount(data.test.targets, minlength=24) > 0).all()
    assert (data.train.inputs == 0).all(axis=(1, 2)).sum() == 1
