"""Stages: what a method trains, for how long, on which batches and towards what."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor

from xmft.model import CrossModalModel
from xmft.seeding import generator

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One worker's part of a global batch, on its device.

    Attributes:
        inputs: `[n, channels, *grid]`.
        targets: `[n, channels, *grid]` or `[n]`.
        classes: Class of each sample, true or clustered, `[n]`; None when the stage has no use
            for classes.
        gather: Concatenates a tensor `[n, ...]` over the workers, differentiably; for losses of
            the batch as a whole.
    """

    inputs: Tensor
    targets: Tensor
    classes: Tensor | None
    gather: Callable[[Tensor], Tensor]


class Objective(Protocol):
    """What a stage minimises.

    The returned mapping has the key `loss`: either one value per sample `[n]`, which the loop
    averages over the global batch, or a scalar of the global batch computed through
    `Batch.gather`. Other keys are scalars to be recorded.
    """

    def __call__(self, model: CrossModalModel, batch: Batch) -> Mapping[str, Tensor]:
        """Return the losses of this worker's part of a batch."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One phase of training.

    Attributes:
        name: `alignment` or `fitting`; times are booked under it.
        trains: Parts of the model that learn (`embedder`, `encoder`, `head`); the rest is frozen.
        objective: What is minimised.
        batches: Epoch number to its global batches of training indices.
        epochs: How many epochs.
        learning_rate: Peak rate.
        classes: Class of every training sample `[N]`, or None.
        validates: Whether the validation split is scored after each epoch.
        measure: Quantities recorded before and after the stage, under `name/key`.
    """

    name: str
    trains: tuple[str, ...]
    objective: Objective
    batches: Callable[[int], list[Indices]]
    epochs: int
    learning_rate: float
    classes: Indices | None = None
    validates: bool = False
    measure: Callable[[CrossModalModel], dict[str, float]] | None = field(default=None)


def epoch_steps(steps: int, most: int = 10) -> int:
    """Cut `steps` into equal epochs, how often progress is seen; return the steps of one."""
    return max(size for size in range(1, most + 1) if steps % size == 0)


def shuffled_batches(count: int, batch_size: int, seed: int) -> Callable[[int], list[Indices]]:
    """Every sample once per epoch in an order drawn from the seed; the last batch may be short."""

    def batches(epoch: int) -> list[Indices]:
        order = generator("batches", seed, epoch).permutation(count)
        return [order[i : i + batch_size] for i in range(0, count, batch_size)]

    return batches


def stratified_batches(
    classes: Indices, batch_size: int, steps: int, seed: int
) -> Callable[[int], list[Indices]]:
    """Batches in which each class has its share, so that class-wise statistics exist.

    Each class gets its proportional number of places, rounded by largest remainder, and is
    walked in a random order without repeats before it starts again.

    Args:
        classes: Class of every sample `[N]`.
        batch_size: Samples in each batch; every batch is full.
        steps: Batches in an epoch.
        seed: Seed of the order.
    """
    labels, counts = np.unique(classes, return_counts=True)
    exact = counts / counts.sum() * batch_size
    places = np.floor(exact).astype(int)
    remainder = np.argsort(-(exact - places), kind="stable")[: batch_size - places.sum()]
    places[remainder] += 1
    members = [np.flatnonzero(classes == label) for label in labels]

    def batches(epoch: int) -> list[Indices]:
        rng = generator("stratified", seed, epoch)
        rows: list[list[Indices]] = [[] for _ in range(steps)]
        for group, wanted in zip(members, places, strict=True):
            rounds = -(-wanted * steps // len(group))
            walk = np.concatenate([rng.permutation(group) for _ in range(max(rounds, 1))])
            for step in range(steps):
                rows[step].append(walk[step * wanted : (step + 1) * wanted])
        return [np.concatenate(row) for row in rows]

    return batches
