"""What methods share that train the embedder towards the source before they fit the target."""

from __future__ import annotations

from collections.abc import Callable

import torch
from pydantic import Field
from torch import Tensor

from xmft.methods.method import Context, MethodConfig
from xmft.model import CrossModalModel
from xmft.sources import SourceConfig
from xmft.stages import Indices, Objective, Stage, epoch_steps, stratified_batches


class AlignmentConfig(MethodConfig):
    """Options of stage 1; the published code takes 60 steps, one per epoch."""

    alignment_steps: int = Field(60, ge=1, description="optimizer steps of stage 1")
    alignment_batch: int = Field(128, ge=4, description="target samples in a step (global)")
    alignment_rate: float = Field(1e-3, gt=0, description="learning rate of stage 1")
    clusters: int = Field(10, ge=2, description="classes made of dense targets")
    source: SourceConfig = SourceConfig()


def class_shares(classes: Indices, device: torch.device) -> Tensor:
    """Return the share of each class in the training split, `[classes]`."""
    return torch.bincount(torch.from_numpy(classes)).to(device) / len(classes)


def alignment_stage(
    context: Context,
    config: AlignmentConfig,
    classes: Indices,
    objective: Objective,
    measure: Callable[[CrossModalModel], dict[str, float]] | None = None,
) -> Stage:
    """Return stage 1: the embedder alone, on stratified batches.

    Args:
        context: The cell.
        config: Steps, batch and rate.
        classes: Class of every training sample.
        objective: Alignment loss of a global batch.
        measure: Quantities recorded before and after.
    """
    steps = epoch_steps(config.alignment_steps)
    return Stage(
        name="alignment",
        trains=("embedder",),
        objective=objective,
        batches=stratified_batches(classes, config.alignment_batch, steps, context.seed),
        epochs=config.alignment_steps // steps,
        learning_rate=config.alignment_rate,
        classes=classes,
        measure=measure,
    )
