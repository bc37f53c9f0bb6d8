"""Stages: what a method trains, for how long, on which batches and towards what."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
from torch import Tensor

from xmft.arrays import Indices
from xmft.errors import RequestError
from xmft.seeding import generator

# What is measured on the way is no part of a method, and so of none of its stages.
Account = Literal["align", "fit", "eval", "measure"]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One worker's part of a global batch, on its device.

    Attributes:
        inputs: `[n, channels, *grid]`.
        targets: `[n, channels, *grid]` or `[n]`.
        weights: Weight of each target value in the task's loss, or None.
        base: What the model's output is added to, in physical units `[n, channels, *grid]`, see
            `StandardisedModel.physical`; None: it knows that itself.
        classes: Class of each sample, true or clustered, `[n]`; None when the stage has no use
            for classes.
        indices: Positions of the samples in the training split, on the CPU.
        step: Optimizer steps of the stage before this one.
        steps: Optimizer steps of the whole stage.
        gather: Puts the workers' parts `[n, ...]` of a tensor together in the order of the global
            batch, differentiably; for losses of the batch as a whole.
    """

    inputs: Tensor
    targets: Tensor
    weights: Tensor | None = None
    base: Tensor | None = None
    classes: Tensor | None
    indices: Indices
    step: int
    steps: int
    gather: Callable[[Tensor], Tensor]

    def parts(self, size: int) -> list[Batch]:
        """Cut the batch into such of at most `size` samples."""
        parts = []
        for start in range(0, len(self.indices), size):
            rows = slice(start, start + size)
            parts.append(
                replace(
                    self,
                    inputs=self.inputs[rows],
                    targets=self.targets[rows],
                    weights=None if self.weights is None else self.weights[rows],
                    base=None if self.base is None else self.base[rows],
                    classes=None if self.classes is None else self.classes[rows],
                    indices=self.indices[rows],
                )
            )
        return parts


class Objective(Protocol):
    """What a stage minimises, of a model of the kind that its method trains.

    The returned mapping has the key `loss`: either one value per sample `[n]`, which the loop
    averages over the global batch, or a scalar of the global batch computed through
    `Batch.gather`. Other keys are scalars to be recorded.
    """

    def __call__(self, model: Any, batch: Batch) -> Mapping[str, Tensor]:
        """Return the losses of this worker's part of a batch."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One phase of training.

    Attributes:
        name: What curves and measurements of it begin with.
        trains: Parts of the model that learn (`embedder`, `encoder`, `head` of a `CrossModalModel`;
            in general its direct children); the rest is frozen. Of a part `name:norms` the
            LayerNorms alone learn, of `name:adapters` its low-rank adapters.
        objective: What is minimised.
        batches: Epoch number to its global batches of training indices.
        epochs: How many epochs.
        learning_rate: Peak rate.
        factor: From the model to what that rate is multiplied by; None: nothing.
        classes: Class of every training sample `[N]`, or None.
        whole_batch: The loss is one of the batch as a whole, which must be shared evenly by the
            workers, and is taken in parts only where the objective is a `BatchObjective`.
        divisible: Whether workers may divide the parameters among themselves; not where the
            objective puts others in their place.
        account: What its time is booked under: aligning with a source, or fitting the target.
        validates: Whether the validation split is scored after each epoch.
        measure: Quantities recorded before and after the stage, under `name/key`; their time is
            booked under `measure`, whatever the stage's account.
        prepare_measure: Makes what `measure` alone needs, before the first stage of the run; its
            time is booked likewise.
        clip: Whether gradients are clipped to the norm that the recipe says, if it says one.
        schedule: From all steps of the stage to the factor of the rate at each; None: the
            schedule of the recipe in fitting, its warm-up and linear decay in aligning.
    """

    name: str
    trains: tuple[str, ...]
    objective: Objective
    batches: Callable[[int], list[Indices]]
    epochs: int
    learning_rate: float
    factor: Callable[[Any], float] | None = None
    classes: Indices | None = None
    whole_batch: bool = False
    divisible: bool = True
    account: Account = "align"
    validates: bool = False
    measure: Callable[[Any], dict[str, float]] | None = None
    prepare_measure: Callable[[], None] | None = None
    clip: bool = True
    schedule: Callable[[int], Callable[[int], float]] | None = None

    def check_division(self, workers: int) -> None:
        """Make sure that workers can share a batch that is taken whole.

        Raises:
            RequestError: they cannot.
        """
        if self.whole_batch and (batch := len(self.batches(0)[0])) % workers:
            raise RequestError(
                f"A batch of {batch} samples in stage '{self.name}' cannot be shared evenly by "
                f"{workers} workers. Choose the option that sets it (alignment_batch, label_batch "
                f"or per_class) so that it is a multiple of {workers}."
            )


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

    Every class has at least two places where the batch allows, since one sample has no spread;
    losses weight the classes by their share in the data. What rounding leaves over goes to
    classes drawn by their fractions. Each class is walked in a random order without repeats
    before it starts again.

    Args:
        classes: Class of every sample `[N]`.
        batch_size: Samples in each batch; every batch is full.
        steps: Batches in an epoch.
        seed: Seed of the order.
    """
    labels, counts = np.unique(classes, return_counts=True)
    members = [np.flatnonzero(classes == label) for label in labels]
    exact = _places(counts, batch_size, least=min(2, batch_size // len(labels)))
    # A hair above, so that 3 written as 2.999... stays 3.
    whole = np.floor(exact + 1e-9).astype(int)
    left = batch_size - whole.sum()
    fractions = np.maximum(exact - whole, 0)
    chance = fractions / fractions.sum() if left else None

    def batches(epoch: int) -> list[Indices]:
        rng = generator("stratified", seed, epoch)
        walks = [_walk(group, rng) for group in members]
        rows = []
        for _ in range(steps):
            places = whole.copy()
            places[rng.choice(len(labels), size=left, replace=False, p=chance)] += 1
            rows.append(
                np.array(
                    [
                        next(walk)
                        for walk, wanted in zip(walks, places, strict=True)
                        for _ in range(wanted)
                    ]
                )
            )
        return rows

    return batches


def class_batches(classes: Indices, batch_size: int, seed: int) -> Callable[[int], list[Indices]]:
    """Batches of one class each, every sample about once per epoch.

    The classes come in a random order, and each is walked in a random order. What is left of a
    class behind its last full batch is filled up with members of it that come again, or dropped
    where it is less than half a batch; every class has one batch at least, and every batch is full.

    Args:
        classes: Class of every sample `[N]`.
        batch_size: Samples in each batch.
        seed: Seed of the order.
    """
    members = [np.flatnonzero(classes == label) for label in np.unique(classes)]

    def batches(epoch: int) -> list[Indices]:
        rng = generator("classes", seed, epoch)
        rows = []
        for place in rng.permutation(len(members)):
            group = members[place]
            walk = _walk(group, rng)
            count = max(1, (len(group) + batch_size // 2) // batch_size)
            rows += [np.array([next(walk) for _ in range(batch_size)]) for _ in range(count)]
        return rows

    return batches


def balanced_batches(
    classes: Indices, per_class: int, steps: int, seed: int
) -> Callable[[int], list[Indices]]:
    """Batches with the same number of samples of each class; all of a class that has fewer.

    Args:
        classes: Class of every sample `[N]`.
        per_class: Most samples of a class in a batch.
        steps: Batches in an epoch.
        seed: Seed of the order.
    """
    members = [np.flatnonzero(classes == label) for label in np.unique(classes)]

    def batches(epoch: int) -> list[Indices]:
        rng = generator("balanced", seed, epoch)
        return [
            np.concatenate([rng.permutation(group)[:per_class] for group in members])
            for _ in range(steps)
        ]

    return batches


def _places(counts: Indices, batch_size: int, *, least: int) -> npt.NDArray[np.float64]:
    """Share a batch among classes in proportion, none below `least`."""
    places = counts / counts.sum() * batch_size
    small = places < least
    while small.any() and not small.all():
        places[small] = least
        rest = ~small
        places[rest] = counts[rest] / counts[rest].sum() * (batch_size - least * small.sum())
        if not (places[rest] < least).any():
            break
        small |= places < least
    return places


def _walk(group: Indices, rng: np.random.Generator) -> Iterator[np.int64]:
    """Yield the members of a class, shuffled anew each time round."""
    while True:
        yield from rng.permutation(group)
