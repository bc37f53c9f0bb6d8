"""What the stages of RECRAFT before fitting lower."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from xmft.alignment.distortion import ClassMemory, feature_label_distortion
from xmft.alignment.sinkhorn import Blurred, sinkhorn_divergence
from xmft.alignment.wasserstein import Points, wasserstein
from xmft.methods.bound import Bound
from xmft.methods.method import Context
from xmft.metrics import Loss
from xmft.model import CrossModalModel
from xmft.objectives import BatchObjective, Features
from xmft.optimizers import constant
from xmft.stages import Batch, Indices, Stage, class_batches

if TYPE_CHECKING:
    from xmft.methods.recraft import Recraft

# Blur of the public code, absolute in the units of the cost 1/2 |x - y|^2.
_EPSILON = 0.1
# State of the model: the memory of class means.
SUMS, COUNTS = "class_sums", "class_counts"


def relative_distance(config: Recraft.Config, points: Points) -> Callable[[Tensor], Tensor]:
    """Return the distance of pooled target features from the source, relative to its spread."""
    spread = points.spread
    if config.divergence == "wasserstein":
        return lambda pooled: wasserstein(points, pooled, p=config.order) / spread
    source = Blurred(points, epsilon=_EPSILON)
    return lambda pooled: sinkhorn_divergence(source, pooled) / spread**2


def _distortion(
    config: Recraft.Config, bound: Bound, model: nn.Module, logits: Tensor, batch: Batch
) -> Tensor:
    """Return the distortion under logits of p_s, relative to the entropy of equal classes."""
    assert batch.classes is not None  # stages before fitting have classes
    memory = None
    if config.class_memory > 0:
        sums, counts = getattr(model, SUMS), getattr(model, COUNTS)
        memory = ClassMemory(sums=sums, counts=counts, samples=config.class_memory)
    probabilities = batch.gather(logits.softmax(dim=1))
    labels = batch.gather(batch.classes)
    terms = feature_label_distortion(probabilities, labels, bound.shares, memory)
    part: Tensor = getattr(terms, config.distortion)
    return part / math.log(max(len(bound.shares), 2))


def joint(
    config: Recraft.Config,
    bound: Bound | None,
    distance: Callable[[Tensor], Tensor],
    task_loss: Loss,
) -> BatchObjective:
    """Return the sum of the parts; the distance alone where there is no source predictor.

    Args:
        config: Weighs the parts.
        bound: Has the source predictor; None: no distortion.
        distance: Of pooled features from the source.
        task_loss: Losses of samples, for a weight of the task.
    """

    def represent(model: CrossModalModel, batch: Batch) -> Features:
        tokens = model.embed(batch.inputs, batch.base)
        features = {"pooled": tokens.mean(dim=1)}
        if bound is None and config.task_weight == 0:
            return features
        encoded = model.encoder(tokens)
        if bound is not None:
            features["logits"] = bound.logits(encoded)
        if config.task_weight > 0:
            predicted = model.decode(encoded, batch.inputs, batch.base)
            features["task"] = task_loss(predicted, batch.targets, batch.weights)
        return features

    def loss(model: CrossModalModel, features: Features, batch: Batch) -> dict[str, Tensor]:
        losses = {"distance": distance(batch.gather(features["pooled"]))}
        loss = losses["distance"]
        if bound is not None:
            losses["distortion"] = _distortion(config, bound, model, features["logits"], batch)
            loss = loss + config.distortion_weight * losses["distortion"]
        if config.task_weight > 0:
            losses["task"] = batch.gather(features["task"]).mean()
            loss = loss + config.task_weight * losses["task"]
        return {"loss": loss, **losses}

    return BatchObjective(represent=represent, loss=loss)


def alignment_scale(context: Context, config: Recraft.Config, points: Points) -> float:
    """Return what the relative distance is multiplied by: samples per batches of an epoch."""
    if config.loss_scale == "relative":
        return 1.0
    unit = points.spread ** (1 if config.divergence == "wasserstein" else 2)
    batches = math.ceil(len(context.data.train) / context.recipe.batch_size)
    return unit * config.alignment_batch / batches


def _distortion_scale(context: Context, config: Recraft.Config, bound: Bound) -> Tensor:
    """Return what the relative distortion of a batch of each class is multiplied by, `[k]`."""
    if config.loss_scale == "relative":
        return torch.ones_like(bound.shares)
    batches = (bound.shares * len(context.data.train) / context.recipe.batch_size).ceil()
    unit = math.log(max(len(bound.shares), 2))
    return unit * bound.shares * config.label_batch / batches.clamp_min(1)


def alignment_alone(distance: Callable[[Tensor], Tensor], scale: float) -> BatchObjective:
    """Return the distance times `scale`."""

    def represent(model: CrossModalModel, batch: Batch) -> Features:
        return {"pooled": model.embed(batch.inputs, batch.base).mean(dim=1)}

    def loss(model: CrossModalModel, features: Features, batch: Batch) -> dict[str, Tensor]:
        return {"loss": scale * distance(batch.gather(features["pooled"]))}

    return BatchObjective(represent=represent, loss=loss)


def distortion_stage(
    context: Context, config: Recraft.Config, bound: Bound, classes: Indices
) -> Stage:
    """Return the stage that lowers the distortion class by class; the head of p_s learns along."""

    def represent(model: CrossModalModel, batch: Batch) -> Features:
        encoded = model.encoder(model.embed(batch.inputs, batch.base))
        return {"logits": model.get_submodule("source_head")(encoded.mean(dim=1))}

    scale = _distortion_scale(context, config, bound)

    def loss(model: CrossModalModel, features: Features, batch: Batch) -> dict[str, Tensor]:
        assert batch.classes is not None  # this stage has classes, one in each batch
        found = _distortion(config, bound, model, features["logits"], batch)
        return {"loss": scale[batch.classes[0]] * found}

    return Stage(
        name="distortion",
        trains=("embedder", "source_head"),
        objective=BatchObjective(represent=represent, loss=loss),
        batches=class_batches(classes, config.label_batch, context.seed),
        epochs=config.label_epochs,
        learning_rate=config.label_rate,
        classes=classes,
        whole_batch=True,
        measure=bound.measure if config.measure_bound else None,
        clip=config.alignment_clip,
        schedule=constant,
    )
