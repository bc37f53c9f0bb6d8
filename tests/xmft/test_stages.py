from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from xmft.stages import (
    balanced_batches,
    class_batches,
    shuffled_batches,
    stratified_batches,
)


@pytest.mark.parametrize("count, size", [(45, 8), (16, 8), (5, 8), (1, 1)])
def test_an_epoch_holds_every_sample_once(count: int, size: int) -> None:
    batches = shuffled_batches(count, size, seed=0)
    for epoch in range(3):
        drawn = batches(epoch)
        assert sorted(np.concatenate(drawn)) == list(range(count))
        assert all(len(batch) == size for batch in drawn[:-1])
        assert len(drawn) == -(-count // size)


def test_order_depends_on_seed_and_epoch_alone() -> None:
    first = np.concatenate(shuffled_batches(50, 8, seed=1)(0))
    np.random.seed(0)
    batches = shuffled_batches(50, 8, seed=1)
    batches(3)
    assert np.array_equal(np.concatenate(batches(0)), first)
    assert not np.array_equal(np.concatenate(batches(1)), first)
    assert not np.array_equal(np.concatenate(shuffled_batches(50, 8, seed=2)(0)), first)


def labelled(*counts: int) -> np.ndarray:
    classes = np.repeat(np.arange(len(counts)), counts)
    return np.random.default_rng(0).permutation(classes)


@pytest.mark.parametrize(
    "counts, size, places",
    [
        ((50, 30, 20), 10, (5, 3, 2)),
        ((98, 1, 1), 10, (6, 2, 2)),  # one sample has no spread
        ((40, 40, 19, 1), 20, (7.2727, 7.2727, 3.4545, 2)),  # 18 places for the other three
        ((5, 3, 2), 8, (3.75, 2.25, 2)),
        ((10,), 4, (4,)),
        ((50, 30, 20), 2, (1, 0.6, 0.4)),
    ],
)
def test_shares_follow_the_data_with_two_places_at_the_least(
    counts: tuple[int, ...], size: int, places: tuple[float, ...]
) -> None:
    """Expected places; each batch has them rounded down or up, and the mean is exact."""
    classes = labelled(*counts)
    drawn = stratified_batches(classes, size, 4000, seed=0)(0)
    found = np.array([np.bincount(classes[batch], minlength=len(counts)) for batch in drawn])
    assert (np.abs(found - np.array(places)) < 1).all()
    assert np.allclose(found.mean(axis=0), places, atol=0.05)


def test_every_class_turns_up_where_there_are_more_classes_than_places() -> None:
    classes = labelled(500, *[20] * 23)
    drawn = stratified_batches(classes, 20, 60, seed=0)(0)
    assert set(classes[np.concatenate(drawn)]) == set(range(24))


@pytest.mark.parametrize("size", [4, 12, 60, 100])
def test_batches_are_full_and_the_epoch_has_its_steps(size: int) -> None:
    classes = labelled(20, 17, 8)
    drawn = stratified_batches(classes, size, 6, seed=0)(2)
    assert [len(batch) for batch in drawn] == [size] * 6
    assert all(0 <= i < 45 for i in np.concatenate(drawn))


def test_no_sample_returns_before_its_class_is_exhausted() -> None:
    classes = labelled(20, 17, 8)
    drawn = stratified_batches(classes, 15, 6, seed=0)(0)
    for label, count in enumerate((20, 17, 8)):
        walk = [i for batch in drawn for i in batch if classes[i] == label]
        assert len(walk) > count
        for start in range(0, len(walk), count):
            part = walk[start : start + count]
            assert len(set(part)) == len(part)
        # However the walk ends, no sample is used twice more often than another.
        uses = Counter(walk)
        assert len(uses) == count and max(uses.values()) - min(uses.values()) <= 1


def test_more_classes_than_places() -> None:
    classes = labelled(*[3] * 10)
    for batch in stratified_batches(classes, 4, 3, seed=0)(0):
        assert len(batch) == 4 and len(set(classes[batch])) == 4


def test_stratified_order_depends_on_seed_and_epoch_alone() -> None:
    classes = labelled(20, 17, 8)
    first = stratified_batches(classes, 9, 3, seed=1)(0)
    again = stratified_batches(classes, 9, 3, seed=1)(0)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    for seed, epoch in ((1, 1), (2, 0)):
        other = stratified_batches(classes, 9, 3, seed=seed)(epoch)
        assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))


def test_labels_need_not_be_contiguous() -> None:
    classes = np.array([7, 7, -1, 7, -1, 7, 7, -1])
    (batch,) = stratified_batches(classes, 8, 1, seed=0)(0)
    assert sorted(batch) == list(range(8))


def test_class_batches_hold_one_class_each_and_every_sample_about_once() -> None:
    classes = labelled(20, 17, 8, 2, 1)  # 2, 2, 1, 1 and 1 batches of 9
    batches = class_batches(classes, 9, seed=0)
    for epoch in range(3):
        drawn = batches(epoch)
        assert all(len(batch) == 9 and len(set(classes[batch])) == 1 for batch in drawn)
        assert Counter(classes[batch[0]] for batch in drawn) == {0: 2, 1: 2, 2: 1, 3: 1, 4: 1}
        uses = Counter(np.concatenate(drawn).tolist())
        assert max(uses[i] for i in np.flatnonzero(classes < 3)) <= 2
        # 18 of 20 samples; 17 and one again; 8 and one again; 2 and 1 over and over.
        for label, different in enumerate((18, 17, 8, 2, 1)):
            assert len([i for i in uses if classes[i] == label]) == different


def test_balanced_batches_hold_as_many_of_each_class_as_there_are() -> None:
    classes = labelled(20, 5, 1)
    drawn = balanced_batches(classes, 8, 30, seed=0)(0)
    assert len(drawn) == 30
    for batch in drawn:
        assert len(set(batch)) == len(batch)
        assert np.bincount(classes[batch]).tolist() == [8, 5, 1]
    assert set(np.concatenate(drawn)) == set(range(26))


@pytest.mark.parametrize(
    "make", [class_batches, lambda c, n, seed: balanced_batches(c, n, 3, seed)]
)
def test_batches_by_class_depend_on_seed_and_epoch_alone(make: Callable[..., Any]) -> None:
    classes = labelled(20, 17, 8)
    first, again = make(classes, 6, seed=1), make(classes, 6, seed=1)
    again(0)
    assert all(np.array_equal(a, b) for a, b in zip(first(1), again(1), strict=True))
    for other in (first(0), make(classes, 6, seed=2)(1)):
        assert not all(np.array_equal(a, b) for a, b in zip(first(1), other, strict=True))
