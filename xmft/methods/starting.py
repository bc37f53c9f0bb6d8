"""Where the target's features start: as drawn, or with the moments of the source's."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from xmft.arrays import Indices
from xmft.methods.method import Context
from xmft.model import CrossModalModel
from xmft.samples import train_samples
from xmft.source.artefacts import SourceConfig
from xmft.stages import stratified_batches

Start = Literal["drawn", "mean", "moments"]

# Training samples whose features are looked at.
_PROBE = 1024
_BATCH = 64
# Share of a token's size below which pooled features are the same for all samples.
_LEAST = 1e-3


def started_model(
    context: Context, start: Start, source: SourceConfig, clusters: int
) -> CrossModalModel:
    """Return a fresh model whose pooled target features have the source's mean, or its spread too.

    The spread is the root mean square distance from the mean. Both are those of a part of the
    training split in which each class has its share, drawn without the seed. Nothing is trained:
    the spread is a factor on the LayerNorm's weights and the path past it, the mean a change of the
    LayerNorm's bias, so that the embedder has no more parameters than before. Where pooled features
    are the same for all samples (tokens of odd waves cancel), there is no spread to be changed.

    Args:
        context: The cell.
        start: What is made that of the source; `drawn`: nothing.
        source: How much of the source is used.
        clusters: Classes made of fields or of several labels.

    Raises:
        RequestError: the source is unknown or has no files.
        DataError: targets cannot be clustered, or the source's files are damaged.
    """
    model = CrossModalModel(context.required_backbone, context.data, context.recipe)
    if start != "drawn":
        if context.base is not None:
            model.stand_on(context.base)
        _move(model, context, start, source, clusters)
    return model


def _move(
    model: CrossModalModel, context: Context, start: Start, source: SourceConfig, clusters: int
) -> None:
    wanted = context.source(source).features(context.device).pooled.cpu().double()
    classes = context.target_classes(clusters)
    chosen = stratified_batches(classes, min(_PROBE, len(classes)), 1, seed=0)(0)[0]
    probe = np.sort(chosen)
    mean = wanted.mean(dim=0)
    if start == "moments":
        spread = _spread(_pooled(model, context, probe))
        # Tokens of waves cancel in the mean: what is left of them is rounding, and no size.
        if spread > _LEAST * float(model.embedder.norm.weight.detach().norm()):
            model.embedder.scale(_spread(wanted) / spread)
    model.embedder.shift((mean - _pooled(model, context, probe).mean(dim=0)).float())


@torch.no_grad()
def _pooled(model: CrossModalModel, context: Context, rows: Indices) -> Float[Tensor, "n width"]:
    """Return token means of the features of training samples, float64."""
    samples = train_samples(context.data, torch.device("cpu"))
    parts = []
    for start in range(0, len(rows), _BATCH):
        part = rows[start : start + _BATCH]
        base = model.training_base(part)
        tokens = model.embed(samples.take(part).inputs, None if base is None else base.cpu())
        parts.append(tokens.mean(dim=1))
    return torch.cat(parts).double()


def _spread(features: Float[Tensor, "n width"]) -> float:
    return float((features - features.mean(dim=0)).square().sum(dim=1).mean().sqrt())
