"""What methods share that train the embedder towards the source before they fit the target."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property, partial
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from xmft.methods.bound import Bound
from xmft.methods.method import Context, MethodConfig
from xmft.methods.starting import Start
from xmft.metrics import LOSSES
from xmft.model import CrossModalModel
from xmft.optimizers import in_three_parts
from xmft.samples import train_samples
from xmft.source.artefacts import SourceConfig
from xmft.source.predictor import PredictorConfig
from xmft.stages import Indices, Objective, Stage, epoch_steps, stratified_batches
from xmft.task import Recipe

# The published codes raise the rate of the task where it is at most this.
_RAISED_UP_TO = 1e-3
_RAISED_BY = 10
# Numbers of a patch up to which a raised rate suits it.
_SMALL_PATCH = 64


class AlignmentConfig(MethodConfig):
    """Options of stage 1; the published code takes 60 steps, one per epoch."""

    alignment_steps: int = Field(60, ge=1, description="optimizer steps of stage 1")
    alignment_batch: int = Field(128, ge=4, description="target samples in a step (global)")
    alignment_rate: Annotated[float, Field(gt=0)] | Literal["patches"] | None = Field(
        "patches",
        description="learning rate of stage 1; patches: ten times that of fitting up to 1e-2, or "
        "that of fitting where it is higher, and where patches hold n numbers, more than 64, the "
        "root of 64 / n of it; null: the published rule, ten times that of fitting, or that rate "
        "itself where it is above 1e-3",
    )
    alignment_schedule: Literal["linear", "thirds"] = Field(
        "linear", description="warm-up and linear decay, or the published 1, 1/5, 1/25"
    )
    alignment_clip: bool = Field(
        True,
        description="clip gradients before fitting as well, where the recipe clips; public code "
        "clips in fitting alone",
    )
    measure_bound: bool = Field(
        True, description="record the terms of the bound before and after stage 1"
    )
    start: Start = Field(
        "drawn",
        description="of the target's features before stage 1: as drawn, or moved in closed form to "
        "the `mean`, or to mean and spread (`moments`), of the source's",
    )
    clusters: int = Field(10, ge=2, description="classes made of fields or of several labels")
    source: SourceConfig = SourceConfig()

    def embedder_rate(self, recipe: Recipe) -> float:
        """Return the peak rate of stage 1 where patches are small."""
        fitting = recipe.learning_rate
        if isinstance(self.alignment_rate, float):
            return self.alignment_rate
        if self.alignment_rate is None:
            return fitting * (_RAISED_BY if fitting <= _RAISED_UP_TO else 1)
        return max(fitting, _RAISED_BY * min(fitting, _RAISED_UP_TO))


def factor_of_patches(model: CrossModalModel) -> float:
    """Return what the rate of all that learns in stage 1 is multiplied by for the size of patches.

    A step of Adam moves each entry of the projection by up to the rate, whatever its size, and so
    what a patch of n numbers becomes by the rate times sqrt(n) where these are of no one sign. With
    sqrt(64 / n) the step is that of a patch of 64 numbers; up to there the published rate was found
    to suit. The head, where a method trains it along, keeps the embedder's rate: so it was measured
    (docs/study-fields.md).
    """
    return min(1.0, math.sqrt(_SMALL_PATCH / model.embedder.values))


def class_shares(classes: Indices, device: torch.device) -> Tensor:
    """Return the share of each class in the training split, `[classes]`."""
    return torch.bincount(torch.from_numpy(classes)).to(device) / len(classes)


def bound_of(
    context: Context, config: AlignmentConfig, predictor: PredictorConfig, classes: Indices
) -> Bound:
    """Return the terms of the bound for a cell.

    Args:
        context: The cell.
        config: Says how much of the source is used.
        predictor: How the source predictor is trained.
        classes: Class of every training sample.
    """
    source = context.source(config.source)
    return Bound(
        features=source.features(context.device),
        predictor=source.predictor(predictor, context.device),
        threshold=predictor.threshold,
        train=train_samples(context.data, context.device),
        classes=classes,
        shares=class_shares(classes, context.device),
        loss=LOSSES[context.data.task.loss],
        device=context.device,
    )


class Measurement:
    """The terms of the bound for a method that has no use for it but to measure it."""

    def __init__(
        self,
        context: Context,
        config: AlignmentConfig,
        predictor: PredictorConfig,
        classes: Indices,
    ) -> None:
        """Make nothing yet; the arguments are those of `bound_of`."""
        self._make = partial(bound_of, context, config, predictor, classes)

    @cached_property
    def bound(self) -> Bound:
        """The bound; the first one of a backbone trains the source predictor."""
        return self._make()

    def prepare(self) -> None:
        """Make the bound."""
        _ = self.bound

    def __call__(self, model: CrossModalModel) -> dict[str, float]:
        """Return the terms."""
        return self.bound.measure(model)


def alignment_stage(
    context: Context,
    config: AlignmentConfig,
    classes: Indices,
    objective: Objective,
    measure: Measurement | Callable[[CrossModalModel], dict[str, float]] | None = None,
    batches: Callable[[int], list[Indices]] | None = None,
    trains: tuple[str, ...] = ("embedder",),
) -> Stage:
    """Return stage 1, of the embedder alone unless `trains` says more.

    Args:
        context: The cell.
        config: Steps, batch and rate.
        classes: Class of every training sample.
        objective: Alignment loss of a global batch.
        measure: Quantities recorded before and after.
        batches: Epoch number to its `epoch_steps(config.alignment_steps)` global batches; None:
            stratified ones.
        trains: Parts of the model that learn.
    """
    steps = epoch_steps(config.alignment_steps)
    if batches is None:
        batches = stratified_batches(classes, config.alignment_batch, steps, context.seed)
    return Stage(
        name="alignment",
        trains=trains,
        objective=objective,
        batches=batches,
        epochs=config.alignment_steps // steps,
        learning_rate=config.embedder_rate(context.recipe),
        factor=factor_of_patches if config.alignment_rate == "patches" else None,
        classes=classes,
        whole_batch=True,
        measure=measure,
        prepare_measure=measure.prepare if isinstance(measure, Measurement) else None,
        clip=config.alignment_clip,
        schedule=in_three_parts if config.alignment_schedule == "thirds" else None,
    )
