"""Files of proteins that are damaged, of something else, or of another release."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pytest

from benchmarks import catalog
from benchmarks import data as task_data
from benchmarks.nasbench360.miniatures import psicov as miniature
from benchmarks.nasbench360.protein_files import read_ids
from tests.benchmarks.test_psicov import NAME, features_of
from tests.mirror import Mirror, Served
from xmft.arrays import Ragged
from xmft.errors import DataError


@pytest.fixture
def root(data_root: Path) -> Path:
    miniature.write(data_root / "protein")
    return data_root / "protein"


def said(root: Path) -> str:
    with pytest.raises(DataError) as caught:
        task_data.load(NAME, data_root=root.parent)
    return str(caught.value)


class Code:
    """Makes a folder when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.place),)


def change(root: Path, tmp_path: Path, kind: str) -> None:
    """Spoil the first protein of the test."""
    name = (root / "psicov.lst").read_text().split()[0]
    features, distances = features_of(root, "psicov", name)
    length, sequence = len(features["seq"]), features["seq"]
    content: list[Any] = [length, sequence, distances]
    changes: dict[str, Any] = {
        "missing": lambda: features.pop("sa"),
        "shape": lambda: features.update(pssm=features["pssm"].T),
        "large": lambda: features["ccmpred"].__setitem__((3, 4), 101),
        "nan": lambda: features["entropy"].__setitem__(0, np.nan),
        "code": lambda: features.update(extra=Code(tmp_path / "mark")),
        "far": lambda: distances.__setitem__((1, 2), 501),
        "below": lambda: distances.__setitem__((1, 2), -1),
        "endless": lambda: distances.__setitem__((1, 2), -np.inf),
        "unknown": lambda: distances.__setitem__((1, 2), np.nan),
        "length": lambda: content.__setitem__(0, length + 1),
        "other": lambda: content.__setitem__(1, "A" + sequence[1:][::-1]),
        "runs": lambda: content.__setitem__(1, Code(tmp_path / "mark")),
    }
    changes[kind]()
    write(root, name, features, content)


def write(root: Path, name: str, features: dict[str, Any], content: list[Any]) -> None:
    packed = np.empty(3, object)
    packed[:] = content
    (root / "psicov/features" / f"{name}.pkl").write_bytes(pickle.dumps(features))
    np.save(root / "psicov/distance" / f"{name}-cb.npy", packed, allow_pickle=True)


@pytest.mark.parametrize(
    "kind, message",
    [
        ("missing", "expected seq, ss, pssm, sa, entropy"),
        ("shape", "'pssm' has the shape (22, 90)"),
        ("large", "'ccmpred' holds 101, expected values within 100"),
        ("nan", "'entropy' holds nan"),
        ("code", "none of numpy's constructors"),
        ("far", "holds a distance of 501, expected at least 0 and at most 500 angstrom"),
        ("below", "holds a distance of -1"),
        ("endless", "holds a distance of -inf"),
        ("unknown", "holds a distance of nan"),
        ("length", "says 91 residues and holds distances of the shape (90, 90)"),
        ("other", "expected both of 1psiA"),
        ("runs", "none of numpy's constructors"),
    ],
)
def test_spoilt_proteins_are_told(kind: str, message: str, root: Path, tmp_path: Path) -> None:
    change(root, tmp_path, kind)
    assert message in said(root)
    assert not (tmp_path / "mark").exists()


def test_lists_and_files_must_agree(root: Path) -> None:
    table = root / "psicov.lst"
    names = table.read_text()
    table.write_text(names + "9xyzA\n")
    assert "names 9xyzA, of which there are no features" in said(root)
    table.write_text(names + names.split()[0])
    assert "names 1psiA twice" in said(root)
    table.write_text((root / "deepcov.lst").read_text())
    assert "names 14 proteins that" in said(root)
    table.write_text(names + "1xyzA and more\n")
    assert "has the line '1xyzA and more'" in said(root)


def test_lists_say_lengths_of_one_release(root: Path) -> None:
    table = root / "deepcov.lst"
    assert read_ids(table)["1deeA"] == 140
    assert read_ids(root / "psicov.lst")["1psiA"] is None
    table.write_text(table.read_text().replace("1deeA 140", "1deeA 141"))
    message = said(root)
    assert "1deeA-cb.npy: is of 140 residues" in message and "deepcov.lst says 141" in message


def test_a_protein_of_the_test_under_another_name_is_told(root: Path) -> None:
    _, held = (root / "psicov.lst").read_text().split()[:2]
    # As a protein that would be trained on, then as one that validates.
    for name in ((root / "deepcov.lst").read_text().split()[0::2][number] for number in (5, 0)):
        content, listed = {}, (root / "deepcov.lst").read_text()
        for kind, end in (("features", ".pkl"), ("distance", "-cb.npy")):
            place = root / "deepcov" / kind / f"{name}{end}"
            content[place] = place.read_bytes()
            place.write_bytes((root / "psicov" / kind / f"{held}{end}").read_bytes())
        lines = [
            f"{name} 20" if line.startswith(f"{name} ") else line for line in listed.split("\n")
        ]
        (root / "deepcov.lst").write_text("\n".join(lines))
        assert f"{name}.pkl: has the sequence of {held}, a protein of the test" in said(root)
        for place, before in content.items():
            place.write_bytes(before)
        (root / "deepcov.lst").write_text(listed)
    task_data.load(NAME, data_root=root.parent)


def as_precise(root: Path, name: str, precision: type, *, change: float = 0.0) -> None:
    """Write a protein of the test with other types, and one number changed."""
    features, distances = features_of(root, "psicov", name)
    for key, value in features.items():
        if key != "seq":
            features[key] = value.astype(precision)
    features["potential"][2, 3] += change
    content = [len(features["seq"]), features["seq"], distances.astype(precision)]
    write(root, name, features, content)


def test_numbers_are_kept_as_precise_as_the_files_have_them(root: Path) -> None:
    names = (root / "psicov.lst").read_text().split()
    half = task_data.load(NAME, data_root=root.parent)
    # One file that could be in half precision, and then one that could not.
    as_precise(root, names[2], np.float64)
    again = task_data.load(NAME, data_root=root.parent)
    for split in (half.test, again.test):
        assert isinstance(split.inputs, Ragged) and isinstance(split.targets, Ragged)
        assert split.inputs.dtype == split.targets.dtype == np.float16
    np.testing.assert_array_equal(half.test.inputs.values, again.test.inputs.values)
    as_precise(root, names[2], np.float64, change=1e-4)
    message = said(root)
    assert f"{names[2]}.pkl: holds numbers of type float32" in message
    assert "the first protein of the lists float16" in message
    for name in names:
        as_precise(root, name, np.float64, change=1e-4)
    full = task_data.load(NAME, data_root=root.parent).test.inputs
    assert full.dtype == np.float32
    features, _ = features_of(root, "psicov", names[0])
    square = np.asarray(full[0])[27 * 90 :].reshape(3, 90, 90)
    np.testing.assert_array_equal(square[2], features["potential"].astype(np.float32))


def test_files_of_other_atoms_are_not_read(root: Path) -> None:
    others = list(root.rglob("*-ca.npy"))
    assert len(others) == 1 and not others[0].stat().st_size
    lines = task_data.verify(NAME, data_root=root.parent)
    assert not any("-ca.npy" in line for line in lines)
    assert sum("scored pairs" in line for line in lines) == 14 + 4
    assert sum("150 residues, 0 scored pairs" in line for line in lines) == 0
    assert sum(" 20 residues, 0 scored pairs" in line for line in lines) == 1


def test_the_original_release_stands_in_for_the_benchmark(web: Mirror, data_root: Path) -> None:
    made = data_root.parent / "made"
    miniature.write(made)
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        archive.add(made, "data")
    entry = catalog.get(NAME)
    (other,) = entry.alternatives
    gone = replace(entry.downloads[0], urls=(web.put("protein.zip", Served(status=403)),))
    there = replace(
        other.downloads[0], urls=(web.put("train-data.tar.gz", Served(stream.getvalue())),)
    )
    assert [d.path for d in (gone, there)] == [
        PurePosixPath("protein.zip"),
        PurePosixPath("train-data.tar.gz"),
    ]
    entry = replace(entry, downloads=(gone,), alternatives=(replace(other, downloads=(there,)),))
    paths = task_data.fetch(entry, data_root=data_root)
    assert len(paths) == 2 + 2 * (14 + 4)
    found = task_data.load(entry, data_root=data_root)
    assert (len(found.train.inputs), len(found.val.inputs), len(found.test.inputs)) == (13, 1, 4)
