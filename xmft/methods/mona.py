"""MoNA: modality knowledge alignment by a bilevel objective (Ma et al., ICML 2024)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

import numpy as np
from pydantic import Field
from torch import Tensor, nn
from torch.func import functional_call

from xmft.alignment.bilevel import (
    Bilevel,
    Parameters,
    after_step,
    first_order,
    inner_gradient,
)
from xmft.alignment.uniformity import alignment, uniformity
from xmft.alignment.wasserstein import at_least_float32
from xmft.methods.alignment_stage import AlignmentConfig, Measurement, alignment_stage
from xmft.methods.method import Context, Method, fitting_stage, register
from xmft.methods.starting import started_model
from xmft.metrics import LOSSES
from xmft.model import CrossModalModel
from xmft.objectives import BatchObjective, Features
from xmft.source.predictor import PredictorConfig
from xmft.source.tokens import SourceTokens
from xmft.stages import Batch, Indices, Objective, Stage, stratified_batches


@register
class Mona(Method):
    """Learn an embedder with which a step on the target leaves the source well told apart.

    Stage 1 trains the target embedder phi and the head h on

        L(theta) + outer_weight * L_outer(theta - inner_rate * grad_theta L(theta))

    where L is the task's loss of a target batch with the encoder theta, and L_outer that of a
    source batch: the mean squared distance of same-class pairs plus `uniformity_weight` times
    the log of the mean of exp(-2 d^2) over all pairs, of encoded features averaged over tokens
    and brought to length 1. The source embedding is the pretrained one. The encoder itself does
    not move: it begins stage 2, naive fine-tuning, as pretrained. With outer_weight 0 stage 1 is
    left out, and the method is NFT.

    There is no public code. The objective follows the paper as others describe it; the size of
    the inner step is not known and chosen here.

    Of the two forms of the objective, `exact` differentiates through the step, and `first` is its
    expansion L - outer_weight * inner_rate * <grad L_outer, grad L>. Their difference is of second
    order in `inner_rate`. `first` needs no second derivatives, takes micro-batches, and its workers
    exchange nothing but the gradient, so it is the default. `make bench` times stage 1.
    """

    name = "mona"
    version = 1
    title = "train the embedder so that a step on the target keeps the source told apart, then fit"
    uses_source = True

    class Config(AlignmentConfig):
        """Options of MoNA."""

        alignment_batch: int = Field(
            32, ge=4, description="target samples in a step (global), and source samples"
        )
        outer_weight: float = Field(0.4, ge=0, description="weight lambda of the outer loss")
        inner_rate: float = Field(0.1, gt=0, description="size alpha of the inner step")
        uniformity_weight: float = Field(1.0, ge=0, description="uniformity against alignment")
        order: Literal["exact", "first"] = Field(
            "first", description="derivative through the inner step, or its first-order expansion"
        )
        measure_bound: bool = Field(
            False,
            description="record the terms of the bound before and after stage 1; for it alone a "
            "source predictor is trained",
        )
        predictor: PredictorConfig = PredictorConfig()

    def model(self, context: Context) -> nn.Module:
        """Return the model, with the features that its target starts from."""
        config = self.config
        return started_model(context, config.start, config.source, config.clusters)

    def stages(self, context: Context) -> list[Stage]:
        """Return bilevel training of embedder and head, then target fitting."""
        fitting = fitting_stage(context)
        if self.config.outer_weight == 0:
            return [fitting]
        return [self._alignment(context), fitting]

    def _alignment(self, context: Context) -> Stage:
        config = self.config
        classes = context.target_classes(config.clusters)
        measure = None
        if config.measure_bound:
            measure = Measurement(context, config, config.predictor, classes)
        levels = _Levels(context, config)

        objective: Objective = levels.first
        if config.order == "exact":
            sums = frozenset({"gradient"})
            objective = BatchObjective(represent=levels.represent, loss=levels.loss, sums=sums)
        return replace(
            alignment_stage(
                context, config, classes, objective, measure, trains=("embedder", "head")
            ),
            # To the first order every sample is alone.
            whole_batch=config.order == "exact",
            divisible=False,
        )


class _Levels:
    """The two losses of a cell."""

    def __init__(self, context: Context, config: Mona.Config) -> None:
        self._config = config
        self._per_sample = LOSSES[context.data.task.loss]
        samples = context.source(config.source).samples()
        self._tokens = SourceTokens(context.required_backbone, samples, context.device)
        labels: Indices = samples.labels.numpy().astype(np.int64)
        self._rows = stratified_batches(
            labels, min(config.alignment_batch, len(labels)), config.alignment_steps, context.seed
        )(0)

    def first(self, model: CrossModalModel, batch: Batch) -> dict[str, Tensor]:
        """Return the losses of the first order."""
        config = self._config
        found = first_order(
            self._inner(model, batch),
            self._outer(model, batch),
            dict(model.encoder.named_parameters()),
            rate=config.inner_rate,
            weight=config.outer_weight,
        )
        return _losses(found)

    def represent(self, model: CrossModalModel, batch: Batch) -> Features:
        """Return inner losses, and the sum of their gradients."""
        theta = dict(model.encoder.named_parameters())
        losses, total = inner_gradient(self._inner(model, batch), theta)
        return {"losses": losses, "gradient": total}

    def loss(self, model: CrossModalModel, features: Features, batch: Batch) -> dict[str, Tensor]:
        """Return the losses behind the step."""
        config = self._config
        found = after_step(
            features["losses"],
            features["gradient"],
            self._outer(model, batch),
            dict(model.encoder.named_parameters()),
            rate=config.inner_rate,
            weight=config.outer_weight,
            gather=batch.gather,
        )
        return _losses(found)

    def _inner(self, model: CrossModalModel, batch: Batch) -> Callable[[Parameters], Tensor]:
        # To the first order autocast is off from here on, and may have left them in half precision.
        tokens = at_least_float32(model.embed(batch.inputs, batch.base))

        def inner(theta: Parameters) -> Tensor:
            encoded = functional_call(model.encoder, dict(theta), (tokens,))
            predicted = model.decode(encoded, batch.inputs, batch.base)
            return self._per_sample(predicted, batch.targets, batch.weights)

        return inner

    def _outer(self, model: CrossModalModel, batch: Batch) -> Callable[[Parameters], Tensor]:
        source, labels = self._tokens.take(self._rows[batch.step])
        source = at_least_float32(source)

        def outer(theta: Parameters) -> Tensor:
            pooled = functional_call(model.encoder, dict(theta), (source,)).mean(dim=1)
            spread = self._config.uniformity_weight * uniformity(pooled)
            return alignment(pooled, labels) + spread

        return outer


def _losses(found: Bilevel) -> dict[str, Tensor]:
    outer = found.outer.expand(found.loss.shape)
    return {"loss": found.loss, "inner": found.inner, "outer": outer}
