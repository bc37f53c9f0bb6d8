from __future__ import annotations

import numpy as np
import pytest

from benchmarks.splits import first_tenth_is_test, held_out, last_tenth_is_test


@pytest.mark.parametrize("samples", [None, 10, 11, 57, 120, 256, 400])
@pytest.mark.parametrize("total", [4, 9, 10, 16, 48, 100, 121, 128, 256, 1003])
@pytest.mark.parametrize("first", [True, False])
def test_splits_are_disjoint_and_the_test_block_stays_out_of_training(
    total: int, samples: int | None, first: bool
) -> None:
    cut = (first_tenth_is_test if first else last_tenth_is_test)(total, samples)
    used = np.concatenate([cut.test, cut.val, cut.train])
    assert len(set(used.tolist())) == len(used) == min(total, samples or total)
    assert used.min() == 0 and used.max() < total
    official_test = range(max(1, int(0.1 * total))) if first else range(int(0.9 * total), total)
    if samples is None:
        assert set(cut.test) == set(official_test)
    assert set(cut.test) <= set(official_test)
    assert not set(official_test) & (set(cut.val) | set(cut.train))
    assert len(cut.val) >= 1 and len(cut.train) >= 2


def test_shares_of_a_released_file() -> None:
    cut = first_tenth_is_test(10_000, None)
    assert cut.counts == {"test": 1000, "val": 900, "train": 8100}
    assert np.array_equal(cut.test, np.arange(1000))
    capped = first_tenth_is_test(10_000, 100)
    assert capped.counts == {"test": 10, "val": 9, "train": 81}
    assert np.array_equal(capped.test, np.arange(10))
    behind = np.sort(np.concatenate([capped.val, capped.train]))
    assert np.array_equal(behind, np.arange(1000, 1090))


def test_the_last_tenth_of_a_released_file() -> None:
    cut = last_tenth_is_test(1000, None)
    assert cut.counts == {"test": 100, "val": 90, "train": 810}
    assert np.array_equal(cut.test, np.arange(900, 1000))
    capped = last_tenth_is_test(1000, 50)
    assert np.array_equal(capped.test, np.arange(900, 905))
    assert np.array_equal(np.sort(np.concatenate([capped.val, capped.train])), np.arange(45))


def test_the_validation_samples_are_the_same_for_ever() -> None:
    # Numbers of the first run: another choice would silently change every published result.
    assert held_out(40)[1].tolist() == [4, 10, 15, 26]
    np.random.seed(1)  # the global state must not matter
    assert held_out(40)[1].tolist() == [4, 10, 15, 26]


def test_positions_send_each_sample_to_its_split() -> None:
    cut = first_tenth_is_test(100, 40)
    positions = cut.positions(100)
    assert np.array_equal(positions[cut.test], np.arange(4))
    assert np.array_equal(positions[cut.val], np.arange(4, 7))
    assert np.array_equal(positions[cut.train], np.arange(7, 40))
    assert np.count_nonzero(positions < 0) == 60
