"""Darcy flow of NAS-Bench-360: both MATLAB formats, the solver, generated samples."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.sparse as sparse
import torch
from scipy.io import loadmat, savemat
from scipy.sparse.linalg import spsolve

from benchmarks import data as task_data
from benchmarks.entry import Generation
from benchmarks.nasbench360 import darcy_flow
from benchmarks.nasbench360.darcy import FILES, GENERATED, NAMES
from benchmarks.nasbench360.miniatures import darcy as miniature
from xmft.errors import DataError, RequestError
from xmft.metrics import METRICS
from xmft.recipe import Recipe

NAME = "nasbench360/darcy"
RNG = np.random.default_rng(0)


@pytest.fixture
def good(data_root: Path) -> list[Path]:
    paths = [data_root / name for name in FILES]
    for path, count in zip(paths, (20, 6), strict=True):
        fields = {
            "coeff": RNG.choice([3.0, 12.0], (count, 21, 21)),
            "sol": RNG.standard_normal((count, 21, 21)),
        }
        savemat(path, fields)
    return paths


def said(data_root: Path) -> str:
    with pytest.raises(DataError) as caught:
        task_data.load(NAME, data_root=data_root)
    return str(caught.value)


def test_every_fifth_node_of_both_formats(good: list[Path], data_root: Path) -> None:
    raw = {path: loadmat(path) for path in good}
    old = task_data.load(NAME, data_root=data_root)
    assert [len(part) for part in (old.train, old.val, old.test)] == [18, 2, 6]
    line = np.linspace(0, 1, 5, dtype=np.float32)
    for split, path, first in (
        (old.train, good[0], 0),
        (old.val, good[0], 18),
        (old.test, good[1], 0),
    ):
        for row in range(len(split)):
            inputs = np.asarray(split.inputs[row])
            np.testing.assert_allclose(inputs[0], raw[path]["coeff"][first + row, ::5, ::5])
            np.testing.assert_array_equal(inputs[1], np.tile(line, (5, 1)))
            np.testing.assert_array_equal(inputs[2], np.tile(line, (5, 1)).T)
            np.testing.assert_allclose(
                split.targets[row][0], raw[path]["sol"][first + row, ::5, ::5], rtol=1e-6
            )
    for path in good:
        with h5py.File(path, "w") as file:
            for name in NAMES:
                file.create_dataset(name, data=raw[path][name].transpose(2, 1, 0))
    new = task_data.load(NAME, data_root=data_root)
    for split in old.splits:
        np.testing.assert_array_equal(old.splits[split].inputs, new.splits[split].inputs)
        np.testing.assert_array_equal(old.splits[split].targets, new.splits[split].targets)
    assert new.origin == "official" and new.fingerprint != old.fingerprint


def test_the_splits_of_the_benchmark(data_root: Path) -> None:
    for path, count in zip(FILES, (1024, 1024), strict=True):
        fields = RNG.uniform(1, 2, (count, 6, 6)).astype(np.float32)
        savemat(data_root / path, {"coeff": fields, "sol": fields + 1})
    found = task_data.load(NAME, data_root=data_root)
    assert [len(part) for part in (found.train, found.val, found.test)] == [900, 100, 100]
    fewer = task_data.load(NAME, data_root=data_root, recipe=Recipe(samples=50))
    assert [len(part) for part in (fewer.train, fewer.val, fewer.test)] == [41, 4, 5]


@pytest.mark.parametrize(
    "content, message",
    [
        ({"coeff": np.ones((20, 21, 21))}, "holds coeff, expected coeff and sol"),
        ({"coeff": np.ones((20, 21)), "sol": np.ones((20, 21))}, "(20, 21)"),
        ({"coeff": np.ones((20, 21, 21)), "sol": np.ones((20, 16, 16))}, "(20, 16, 16)"),
        ({"coeff": np.ones((20, 20, 20)), "sol": np.ones((20, 20, 20))}, "multiple of 5 nodes"),
        ({"coeff": np.zeros((20, 21, 21)), "sol": np.ones((20, 21, 21))}, "swapped?"),
        ({"coeff": np.ones((20, 21, 21)), "sol": np.full((20, 21, 21), np.nan)}, "NaN"),
        ({"coeff": np.ones((9, 21, 21)), "sol": np.ones((9, 21, 21))}, "found 9 samples"),
    ],
)
def test_other_files_are_refused(
    content: dict[str, Any], message: str, good: list[Path], data_root: Path
) -> None:
    savemat(good[0], content)
    text = said(data_root)
    assert message in text and FILES[0] in text


def test_damaged_files_are_told(good: list[Path], data_root: Path) -> None:
    whole = good[0].read_bytes()
    for cut in (60, len(whole) // 2, len(whole) - 100):
        good[0].write_bytes(whole[:cut])
        assert FILES[0] in said(data_root)
    content = loadmat(good[1])
    many = {name: np.concatenate([content[name]] * 3) for name in NAMES}
    savemat(good[0], many, do_compression=True)
    packed = bytearray(good[0].read_bytes())
    packed[len(packed) // 2] ^= 0xFF
    good[0].write_bytes(packed)
    assert FILES[0] in said(data_root)


def test_one_file_for_both_would_test_on_what_was_trained_on(
    good: list[Path], data_root: Path
) -> None:
    good[1].write_bytes(good[0].read_bytes())
    assert "found the same samples, expected two different files" in said(data_root)
    content = loadmat(good[0])
    fields = {
        name: np.concatenate([content[name][7:9] + 1, content[name][17:18]]) for name in NAMES
    }
    savemat(good[1], fields)
    text = said(data_root)
    assert "found the same samples" in text and "1 are in the first, such as 2." in text


def test_one_of_two_files_is_not_made_up_for(good: list[Path], data_root: Path) -> None:
    good[1].unlink()
    assert f"needs {FILES[1]}" in said(data_root)


def by_matrix(coefficient: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """The same scheme as a sparse matrix, entry by entry, solved directly."""
    n = len(coefficient)
    numbers = np.arange((n - 2) ** 2).reshape(n - 2, n - 2)
    rows, columns, values = [], [], []
    for i in range(1, n - 1):
        for j in range(1, n - 1):
            for k, m in ((i - 1, j), (i + 1, j), (i, j - 1), (i, j + 1)):
                a = (coefficient[i, j] + coefficient[k, m]) / 2 * (n - 1) ** 2
                rows.append(numbers[i - 1, j - 1])
                columns.append(numbers[i - 1, j - 1])
                values.append(a)
                if 0 < k < n - 1 and 0 < m < n - 1:
                    rows.append(numbers[i - 1, j - 1])
                    columns.append(numbers[k - 1, m - 1])
                    values.append(-a)
    matrix = sparse.csr_matrix((values, (rows, columns)))
    return np.pad(spsolve(matrix, np.ones(len(numbers) ** 2)).reshape(n - 2, n - 2), 1)


def test_the_solver_is_that_of_a_direct_solve() -> None:
    coefficient = darcy_flow.draw_coefficient(np.random.default_rng(1), 41)
    assert set(np.unique(coefficient)) == {3.0, 12.0}
    np.testing.assert_allclose(
        darcy_flow.solve(coefficient), by_matrix(coefficient), rtol=1e-6, atol=1e-10
    )


def test_a_constant_medium_has_the_series_solution() -> None:
    n = 101
    x = np.linspace(0, 1, n)
    series = np.zeros((n, n))
    for k in range(1, 120, 2):
        for m in range(1, 120, 2):
            series += (
                16 / (np.pi**4 * k * m * (k**2 + m**2))
                * np.outer(np.sin(k * np.pi * x), np.sin(m * np.pi * x))
            )  # fmt: skip
    found = 3 * darcy_flow.solve(np.full((n, n), 3.0))
    assert np.abs(found - series).max() < 2e-5
    with pytest.raises(DataError, match="positive and finite"):
        darcy_flow.solve(np.zeros((9, 9)))


def test_the_field_has_the_covariance_of_its_law() -> None:
    """How often two nodes are on the same side is the arc sine law of their correlation."""
    n, draws = 21, 1500
    signs = np.array(
        [darcy_flow.draw_coefficient(np.random.default_rng(s), n) > 5 for s in range(draws)]
    )
    x = np.linspace(0, 1, n)
    waves = np.cos(np.pi * np.arange(n)[:, None] * x)
    spectrum = (np.pi**2 * (np.arange(n)[:, None] ** 2 + np.arange(n) ** 2) + 9.0) ** -2
    spectrum[0, 0] = 0
    for one, other in (((3, 4), (3, 9)), ((10, 10), (16, 12)), ((0, 0), (20, 20))):
        at = [np.outer(waves[:, i], waves[:, j]) for i, j in (one, other)]
        covariance = [[(spectrum * a * b).sum() for b in at] for a in at]
        correlation = covariance[0][1] / np.sqrt(covariance[0][0] * covariance[1][1])
        expected = 0.5 + np.arcsin(correlation) / np.pi
        same = (signs[:, *one] == signs[:, *other]).mean()
        assert abs(same - expected) < 4 * np.sqrt(0.25 / draws)


def test_samples_are_made_where_there_is_no_file(data_root: Path, tmp_path: Path) -> None:
    recipe = Recipe(samples=10)
    where = task_data.locate(NAME, data_root=data_root, recipe=recipe)
    assert where.origin == "generated" and not where.ready
    found = task_data.load(NAME, data_root=data_root, recipe=recipe)
    assert [len(part) for part in (found.train, found.val, found.test)] == [8, 1, 1]
    assert found.train.inputs.shape[1:] == (3, 85, 85)
    coefficient = darcy_flow.draw_coefficient(np.random.default_rng([0, 0]))
    np.testing.assert_array_equal(found.train.inputs[0, 0], coefficient[::5, ::5])
    again = task_data.generate(NAME, Generation(samples=10), data_root=tmp_path / "other")
    assert again.name == GENERATED
    assert again.read_bytes() == next(data_root.rglob(GENERATED)).read_bytes()
    with pytest.raises(RequestError, match="leave out the resolution"):
        task_data.generate(NAME, Generation(resolution=64), data_root=data_root)
    assert any("generated" in line for line in task_data.verify(NAME, data_root=data_root))


def test_the_last_smaller_batch_counts_double_in_public_code() -> None:
    prediction, target = torch.randn(2, 20, 1, 5, 5, generator=torch.Generator().manual_seed(0))
    prediction[16:] += 3
    each = [
        float((p - t).double().norm() / t.double().norm())
        for p, t in zip(prediction, target, strict=True)
    ]
    batches = [np.mean(each[:8]), np.mean(each[8:16]), np.mean(each[16:])]
    public = METRICS["relative_l2_batches"].score(prediction, target)
    exact = METRICS["relative_l2"].score(prediction, target)
    assert public == pytest.approx(np.mean(batches), rel=1e-6)
    assert exact == pytest.approx(np.mean(each), rel=1e-6) and public > 1.1 * exact


def test_a_miniature_has_a_file_in_each_format(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in FILES]
    miniature.write(*paths)
    assert [h5py.is_hdf5(path) for path in paths] == [False, True]
    assert sum(path.stat().st_size for path in paths) < 3e6
