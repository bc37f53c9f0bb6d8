"""Fewer samples to learn from: which ones, what stays, and what methods make of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.xmft.conftest import assemble_cell
from tests.xmft.test_samples import LENGTHS, toy
from xmft.arrays import Ragged, Windows
from xmft.records import FitResult
from xmft.samples import Decoded, Pieces, Samples
from xmft.split import Split
from xmft.task import Recipe, TaskData
from xmft.training_subset import learned_from

Train = Callable[..., tuple[Any, FitResult]]
CPU = torch.device("cpu")


def taken(data: TaskData, most: int, seed: int = 0) -> TaskData:
    return learned_from(data, Recipe(train_samples=most), seed)


def numbers(smaller: Split, larger: Split) -> list[int]:
    """Return which sample of `larger` each one of `smaller` is."""
    few, many = smaller.inputs, larger.inputs
    assert isinstance(few, np.ndarray) and isinstance(many, np.ndarray)
    places = [np.flatnonzero((many == one).all(axis=(1, 2))).tolist() for one in few]
    assert all(len(place) == 1 for place in places)
    return [place[0] for place in places]


def test_they_are_samples_of_the_split_in_its_order_each_with_its_target(
    dense_data: TaskData,
) -> None:
    few = taken(dense_data, 12)
    found = numbers(few.train, dense_data.train)
    assert len(found) == 12 and found == sorted(set(found))
    targets = dense_data.train.targets
    assert isinstance(targets, np.ndarray)
    np.testing.assert_array_equal(few.train.targets, targets[found])
    assert few.val is dense_data.val and few.test is dense_data.test


def test_more_hold_the_fewer_and_seeds_draw_others(dense_data: TaskData) -> None:
    for seed in range(3):
        sets = [set(numbers(taken(dense_data, n, seed).train, dense_data.train)) for n in (5, 20)]
        assert sets[0] < sets[1]
    drawn = {tuple(numbers(taken(dense_data, 20, s).train, dense_data.train)) for s in range(5)}
    assert len(drawn) == 5
    # Not the first ones, which may be all of one class.
    assert any(max(one) > 30 for one in drawn)


@pytest.mark.parametrize("most", [None, 45, 10**6])
def test_all_of_them_are_the_data_themselves(dense_data: TaskData, most: int | None) -> None:
    assert learned_from(dense_data, Recipe(train_samples=most), 0) is dense_data


def test_what_is_kept_of_the_content_is_kept_apart(dense_data: TaskData) -> None:
    prints = [dense_data.fingerprint, *(taken(dense_data, 9, s).fingerprint for s in (0, 1))]
    prints.append(taken(dense_data, 10).fingerprint)
    assert len(set(prints)) == 4
    assert taken(dense_data, 9).fingerprint == prints[1]


def decode(pieces: Pieces) -> Decoded:
    x = pieces.inputs
    assert isinstance(x, torch.Tensor) and isinstance(pieces.targets, torch.Tensor)
    # Ragged records are stored point by point.
    return Decoded((x if x.shape[1] == 2 else x.mT).float(), pieces.targets)


def records(*, ragged: bool = True, paired: bool = False, windows: bool = True) -> TaskData:
    """Records that hold their number and their points in order; a pair may belong together."""
    values = [np.stack([np.full(n, k), np.arange(n)], 1) for k, n in enumerate(LENGTHS)]
    extents = LENGTHS if ragged else (25,) * len(LENGTHS)
    cut = Windows.every(extents, (16,), 8) if windows else None
    samples = cut.table[:, 0] if cut else np.arange(len(LENGTHS))
    split = Split(
        inputs=Ragged.of(values) if ragged else np.stack([v[:25].T for v in values]),
        targets=np.arange(len(LENGTHS)),
        weights=np.arange(len(LENGTHS))[:, None] / 7,
        windows=cut,
        groups=samples // 2 if paired else None,
    )
    return toy(split, decode=decode)


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize(
    ("ragged", "windows"), [(True, True), (False, True), (False, False)], ids=str
)
def test_rows_keep_all_that_is_theirs(ragged: bool, paired: bool, windows: bool) -> None:
    data = records(ragged=ragged, paired=paired, windows=windows)
    few = taken(data, 3)

    def rows(part: TaskData) -> list[tuple[np.ndarray, int, float, int]]:
        samples = Samples(part.train, CPU, decode=part.decode)
        every = np.arange(len(samples))
        x, y, _ = samples.take(every)
        weights, of = part.train.weights, part.train.sample_of_row
        assert weights is not None
        groups = part.train.group_of_row
        return [(x[i].numpy(), int(y[i]), float(weights[of[i], 0]), int(groups[i])) for i in every]

    kept = {label for _, label, _, _ in rows(few)}
    wanted = [row for row in rows(data) if row[1] in kept]
    found = rows(few)
    assert len(kept) == (6 if paired else 3) and len(found) == len(wanted)
    for (x, label, weight, group), (y, other, heavy, together) in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(x, y)
        assert (label, weight) == (other, heavy)
        assert (group == together) or not paired
    if paired:
        # Both of each pair.
        assert {label // 2 for label in kept} == {group for *_, group in found}
    # Nothing is left of the others.
    assert len(few.train.inputs) == len(kept)


def test_fields_in_tiles_whose_extents_are_told() -> None:
    table = np.array([[0, 0], [0, 4], [1, 0], [2, 0], [2, 4], [3, 8]])
    windows = Windows(
        table=table, size=(4,), cut=False, extents=np.array([[8], [4], [8], [12]]), targets=True
    )
    fields = np.arange(4, dtype=np.float32)[:, None, None] * np.ones((1, 1, 12), np.float32)
    base = TaskData.from_arrays(
        "toy/tiles", train=(fields, fields), val=(fields, fields), test=(fields, fields)
    )
    split = Split(inputs=fields, targets=fields, windows=windows)
    few = taken(replace(base, train=split, val=split), 2)
    assert few.train.windows is not None and few.train.windows.extents is not None
    assert isinstance(few.train.inputs, np.ndarray)
    kept = few.train.inputs[:, 0, 0].astype(int)
    whole = windows.extents
    assert whole is not None
    np.testing.assert_array_equal(few.train.windows.extents, whole[kept])
    for sample, start in few.train.windows.table:
        assert [kept[sample], start] in table.tolist()
    assert len(few.train) == sum(row[0] in kept for row in table)


@pytest.mark.parametrize("method", ["kernel", "nft", "recraft", "fno"])
def test_a_method_learns_as_if_there_were_no_others(
    method: str, dense_data: TaskData, recipe: Recipe, train: Train
) -> None:
    few = recipe.model_copy(update={"train_samples": 12})
    rows = numbers(taken(dense_data, 12, seed=1).train, dense_data.train)
    x, y = dense_data.train.inputs, dense_data.train.targets
    assert isinstance(x, np.ndarray) and isinstance(y, np.ndarray)
    alone = replace(
        dense_data, train=Split(inputs=x[rows], targets=y[rows]), fingerprint=f"alone-{method}"
    )
    _, cut = train(method, dense_data, few, seed=1)
    _, known = train(method, alone, recipe, seed=1)
    assert [score.value for score in cut.scores] == [score.value for score in known.scores]
    _, whole = train(method, dense_data, recipe, seed=1)
    assert [score.value for score in cut.scores] != [score.value for score in whole.scores]


@pytest.mark.parametrize("method", ["knn", "logistic", "rocket", "recraft", "orca", "ridge"])
def test_classes_that_no_sample_has_are_no_hindrance(
    method: str, class_data: TaskData, recipe: Recipe, train: Train
) -> None:
    _, result = train(method, class_data, recipe.model_copy(update={"train_samples": 2}))
    assert all(0 <= score.value <= 100 for score in result.scores)


def test_clusters_are_of_the_samples_that_are_learned_from(
    dense_data: TaskData, recipe: Recipe, tmp_path: Path
) -> None:
    """One folder for all: those of all samples are no others' clusters."""
    sizes = []
    for most in (None, 20, 30):
        cut = recipe.model_copy(update={"train_samples": most})
        assembled = assemble_cell(tmp_path, "recraft", dense_data, cut)
        sizes.append(len(assembled.data.train))
    kept = sorted(len(np.load(path)) for path in (tmp_path / "classes").glob("*.npy"))
    assert sizes == [45, 20, 30] and kept == [20, 30, 45]
