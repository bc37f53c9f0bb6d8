"""Which samples are for training, for validation and for the test; the same on every machine."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]

TEST_SHARE = VAL_SHARE = 10
"""One sample in ten is for the test, one in ten of the others for validation."""

LEAST = 4
"""One sample for the test, one for validation, two to train on."""


@dataclass(frozen=True, kw_only=True)
class Cut:
    """Sample numbers of the three splits; disjoint, each in rising order."""

    test: Indices
    val: Indices
    train: Indices

    @property
    def counts(self) -> dict[str, int]:
        """Samples in each split, in the order in which the prepared arrays hold them."""
        return {"test": len(self.test), "val": len(self.val), "train": len(self.train)}

    def positions(self, total: int) -> Indices:
        """Return, for each of the `total` samples of a file, its place in the prepared arrays.

        Samples that no split uses have -1.
        """
        order = np.concatenate([self.test, self.val, self.train])
        positions = np.full(total, -1, dtype=np.int64)
        positions[order] = np.arange(len(order))
        return positions


def held_out(total: int) -> tuple[Indices, Indices]:
    """Split `total` samples into those to train on and one in ten to validate on.

    The choice depends on `total` alone, never on the seed of a training run. `RandomState` is
    the one generator of numpy whose stream is promised never to change.
    """
    order = np.random.RandomState(360).permutation(total).astype(np.int64)
    count = max(1, total // VAL_SHARE)
    return np.sort(order[count:]), np.sort(order[:count])


def last_fifth(total: int) -> tuple[Indices, Indices]:
    """Split `total` samples into those to train on and, to validate on, the last fifth of them."""
    start = total - max(1, total // 5)
    return np.arange(start, dtype=np.int64), np.arange(start, total, dtype=np.int64)


def capped(trained: int, tested: int, samples: int | None) -> tuple[int, int]:
    """Return how many samples are used of files that are cut already.

    Args:
        trained: Samples for training and validation.
        tested: Samples for the test.
        samples: Most samples used in all, one in ten of them for the test; None: all.
    """
    if samples is None:
        return trained, tested
    least = max(1, samples // TEST_SHARE)
    return min(trained, samples - least), min(tested, least)


def shuffled_off(total: int, share: float | int) -> tuple[Indices, Indices]:
    """Split `total` samples as scikit-learn's `train_test_split` does with `random_state=0`.

    Public code of many benchmarks uses that rule; it has not changed since it is there.

    Args:
        total: How many there are.
        share: Of those that are taken off, rounded up; a whole number: how many.

    Returns:
        Those that stay and those that are taken off, both in their shuffled order.
    """
    order = np.random.RandomState(0).permutation(total).astype(np.int64)
    count = share if isinstance(share, int) else math.ceil(share * total)
    return order[count:], order[:count]


def first_tenth_is_test(total: int, samples: int | None) -> Cut:
    """Cut a file as PDEBench's own baselines do, with a validation split out of the rest.

    The first tenth of the file is the test block. A cap takes the test samples from the start of
    that block and the others from behind it, so it never moves a sample of the official test
    block into training.

    Args:
        total: Samples in the file, at least `LEAST`.
        samples: Most samples used; None: all.
    """
    block = max(1, total // TEST_SHARE)
    return _cut(total, samples, test=(0, block), rest=block)


def last_tenth_is_test(total: int, samples: int | None) -> Cut:
    """Cut a file as the public code does where each sample has a group of its own.

    The first nine tenths, rounded down, are for training and validation, what is behind them is
    the test block. A cap takes samples from the start of both.

    Args:
        total: Samples in the file, at least `LEAST`.
        samples: Most samples used; None: all.
    """
    block = total - total * (TEST_SHARE - 1) // TEST_SHARE
    return _cut(total, samples, test=(total - block, block), rest=0)


def _cut(total: int, samples: int | None, *, test: tuple[int, int], rest: int) -> Cut:
    """Cut with the test block at `test` (start, length) and the others from `rest` on."""
    start, block = test
    used = total if samples is None else min(samples, total)
    tested = block if used == total else max(1, used // TEST_SHARE)
    train, val = held_out(used - tested)
    tests = np.arange(start, start + tested, dtype=np.int64)
    return Cut(test=tests, val=rest + val, train=rest + train)
