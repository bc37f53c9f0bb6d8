from __future__ import annotations

import io
import os
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import catalog
from benchmarks import data as task_data
from benchmarks.nasbench360 import deepsea
from xmft.errors import DataError
from xmft.samples import Samples
from xmft.task import Recipe, TaskData

NAME = "nasbench360/deepsea"
COUNTS = {"train": 30, "val": 12, "test": 20}


def content() -> dict[str, Any]:
    rng, held = np.random.default_rng(5), {}
    for name, count in COUNTS.items():
        held[f"x_{name}"] = np.eye(4, dtype=np.uint8)[rng.integers(0, 4, (count, 1000))]
        held[f"x_{name}"][0, :7] = 0
        held[f"y_{name}"] = (rng.random((count, 36)) < 0.4).astype(np.uint8)
        held[f"y_{name}"][:2] = [[0], [1]]
    return held


def write(folder: Path, held: dict[str, Any], *, packed: bool = False) -> Path:
    path = folder / "deepsea_filtered.npz"
    (np.savez_compressed if packed else np.savez)(path, **held)
    return path


def load(data_root: Path, **recipe: Any) -> TaskData:
    return task_data.load(NAME, data_root=data_root, recipe=Recipe(**recipe))


def message(data_root: Path) -> str:
    with pytest.raises(DataError) as caught:
        load(data_root)
    return str(caught.value)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("kind", [np.uint8, np.bool_, np.float32, np.int64])
def test_bytes_until_the_batch(
    data_root: Path, packed: bool, kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deepsea, "_BLOCK", 7)
    held = content()
    write(data_root, {name: array.astype(kind) for name, array in held.items()}, packed=packed)
    data = load(data_root)
    for name, split in data.splits.items():
        inputs = split.inputs
        assert isinstance(inputs, np.ndarray) and inputs.dtype == np.uint8
        assert isinstance(inputs, np.memmap) or isinstance(inputs.base, np.memmap)
        np.testing.assert_array_equal(inputs, held[f"x_{name}"])
        np.testing.assert_array_equal(split.targets, held[f"y_{name}"])
        batch = Samples(split, torch.device("cpu"), decode=data.decode).take(np.array([0, 5]))
        assert batch.inputs.shape == (2, 4, 1000) and batch.inputs.dtype == torch.float32
        assert batch.targets.dtype == torch.float32
        expected = np.moveaxis(held[f"x_{name}"][[0, 5]], 2, 1)
        np.testing.assert_array_equal(batch.inputs, expected)
        assert (batch.inputs[0, :, :7] == 0).all() and (batch.inputs.sum(dim=1) <= 1).all()


@pytest.mark.parametrize("packed", [True, False])
def test_arrays_that_were_transposed_before_they_were_stored(
    data_root: Path, packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deepsea, "_BLOCK", 7)
    held = content()
    write(data_root, {name: np.asfortranarray(one) for name, one in held.items()}, packed=packed)
    for name, split in load(data_root).splits.items():
        np.testing.assert_array_equal(split.inputs, held[f"x_{name}"])
        np.testing.assert_array_equal(split.targets, held[f"y_{name}"])


def test_the_splits_are_those_of_the_file(data_root: Path) -> None:
    write(data_root, content())
    data = load(data_root)
    assert {name: len(split) for name, split in data.splits.items()} == COUNTS
    rows = {
        name: {row.tobytes() for row in np.asarray(split.inputs)}
        for name, split in data.splits.items()
    }
    assert len(rows["train"] | rows["val"] | rows["test"]) == sum(COUNTS.values())
    few = load(data_root, samples=20)
    assert [len(split) for split in few.splits.values()] == [16, 2, 2]
    for name, split in few.splits.items():
        np.testing.assert_array_equal(split.inputs, data.splits[name].inputs[: len(split)])


def test_loss_and_metrics(data_root: Path) -> None:
    write(data_root, content())
    clean = load(data_root).task
    assert clean.loss == "binary_cross_entropy_pos4" and clean.metrics == ("one_minus_auroc",)
    released = task_data.load(NAME, data_root=data_root, protocol="released")
    assert released.task.metrics == ("one_minus_auroc", "one_minus_auroc_chunks")
    assert {name: len(split) for name, split in released.splits.items()} == COUNTS


def changed(**arrays: Any) -> dict[str, Any]:
    return content() | arrays


def twice() -> np.ndarray:
    x = content()["x_test"].copy()
    x[4, 9] = 1
    return x  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("held", "found"),
    [
        (
            {k: v for k, v in content().items() if k not in ("y_val", "x_test")},
            "there is no x_test, y_val among x_train, y_train, x_val, y_test, expected x_ and y_",
        ),
        (changed(y_val=np.full((12, 36), 2)), "432 or more values of y_val are neither 0 nor 1"),
        (changed(y_val=np.full((12, 36), np.nan)), "neither 0 nor 1, such as nan in row 0"),
        (changed(x_test=twice()), "x_test[4, 9] holds 4 bases, expected one of the four, or none"),
        (changed(y_test=content()["y_test"][:19]), "found 20 rows of x_test and 19 of y_test"),
        (changed(x_train=np.ones((30, 4, 1000), np.uint8)), "has the shape (30, 4, 1000) and the"),
        (changed(y_train=np.ones((30, 919), np.uint8)), "'y_train' has the shape (30, 919)"),
        (changed(x_train=np.full((30, 1000, 4), "A")), "the type <U1, expected 0 and 1 of the"),
        (changed(x_val=np.ones((0, 1000, 4)), y_val=np.ones((0, 36))), "x_val is empty, expected"),
        (changed(xmft_origin=np.array("else")), "'xmft_origin' is 'else', expected one of"),
        (changed(xmft_origin=np.ones(3)), "'xmft_origin' is no short text"),
    ],
)
def test_bad_content(data_root: Path, held: dict[str, Any], found: str) -> None:
    path = write(data_root, held)
    said = message(data_root)
    assert said.startswith(str(path)) and found in said
    assert f"`xmft data fetch {NAME} --data" in said


class _Code:
    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.place),)


@pytest.mark.parametrize("name", ["x_test", "more"])
def test_objects_are_refused_and_code_does_not_run(
    data_root: Path, tmp_path: Path, name: str
) -> None:
    ran = tmp_path / "ran"
    path = data_root / "deepsea_filtered.npz"
    np.savez(path, **content() | {name: np.array([_Code(ran)], dtype=object)})
    assert "holds objects, which are a pickle and could be a program" in message(data_root)
    assert not ran.exists()


@pytest.mark.parametrize("packed", [True, False])
def test_damaged_archives(data_root: Path, packed: bool) -> None:
    path = write(data_root, content(), packed=packed)
    whole = path.read_bytes()
    for length in (0, 1, 30, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert message(data_root).startswith(f"{path} cannot be read (")
    path.write_bytes(b"<html>Quota exceeded</html>")
    assert "expected a whole .npz file of arrays of numbers" in message(data_root)
    # One byte of the values is another: the archive's own sum tells.
    middle = bytearray(whole)
    middle[len(whole) // 2] ^= 1
    path.write_bytes(bytes(middle))
    assert message(data_root).startswith(str(path))


def member(array: np.ndarray, shape: tuple[int, ...]) -> bytes:
    """An array that says that it has another shape."""
    stream = io.BytesIO()
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    return stream.getvalue() + array.tobytes()


@pytest.mark.parametrize("rows", [10**12, 21, 19])
def test_an_array_that_lies_about_its_length(data_root: Path, rows: int) -> None:
    held, path = content(), data_root / "deepsea_filtered.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in held.items():
            shape = (rows, *array.shape[1:]) if name.endswith("test") else array.shape
            archive.writestr(f"{name}.npy", member(array, shape))
    assert f"'x_test' says that it has the shape ({rows}, 1000, 4), which is" in message(data_root)


def test_verify_tells_of_labels_with_one_value(data_root: Path) -> None:
    held = content()
    held["y_test"][:, [3, 8]] = [0, 1]
    path = write(data_root, held)
    lines = task_data.verify(NAME, data_root=data_root)
    assert lines[0].startswith(f"{path}: official, 30 train, 12 val, 20 test, ")
    assert lines[1] == "  1000 bases and 36 labels each; 21 bases are not known"
    assert lines[2].startswith("  2 of 36 labels have one value in all of test; the area under")
    assert len([line for line in lines if "one value" in line]) == 1


def test_labels_with_one_value_train_and_are_left_out(data_root: Path) -> None:
    from xmft.training import train

    held = content()
    held["y_test"][:, [3, 8]] = [0, 1]
    write(data_root, held)
    recipe = Recipe(epochs=1, layers=1, max_tokens=8, batch_size=16)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scores = train(load(data_root), "scratch", recipe=recipe).scores
    assert 0 < scores["one_minus_auroc"] < 1


def test_the_miniature(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
        catalog.get(NAME).miniature(tmp_path / name)
    one, two = (tmp_path / name / "deepsea_filtered.npz" for name in "ab")
    assert one.read_bytes() == two.read_bytes() and one.stat().st_size < 1_500_000
    data = load(tmp_path / "a")
    assert data.origin == "miniature"
    for name, split in data.splits.items():
        share = np.asarray(split.targets).mean(axis=0)
        known = share if name != "val" else share[:-1]
        assert (known > 0).all() and (known < 1).all()
        assert name != "val" or share[-1] == 0
