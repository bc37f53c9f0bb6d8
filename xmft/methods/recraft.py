"""RECRAFT: feature alignment plus feature-label distortion (AISTATS 2026)."""

from __future__ import annotations

import math

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from xmft.alignment.distortion import Distortion, feature_label_distortion
from xmft.alignment.wasserstein import wasserstein
from xmft.methods.alignment import AlignmentConfig, alignment_stage, class_shares
from xmft.methods.method import Context, Method, fitting_stage, methods
from xmft.model import CrossModalModel
from xmft.source_predictor import PredictorConfig, SourcePredictor
from xmft.sources import SourceFeatures
from xmft.stages import Batch, Indices, Stage, stratified_batches

# The bound's terms are measured on this many training samples, the same before and after.
_PROBE = 256


@methods.register("recraft")
class Recraft(Method):
    """Minimise alignment distance plus H(Z'|Z) over the embedder, then fit the target.

    Stage 1 trains the target embedder phi alone, jointly on

        W_p(mean_t theta(u), mean_t phi(x)) / spread + weight * H(Z'|Z) / log K'

    with the source embedder theta and the source predictor p_s(z|u) frozen. Z is the source
    label that p_s sees in phi(x), Z' the target label (clusters of dense targets), and

        H(Z'|Z) = sum_k w_k H(p_k) - H(sum_k w_k p_k) + H(Z'),   p_k = mean of p_s over class k.

    The released code drops the middle term, which a constant predictor minimises, runs the two
    parts one after the other and lets the predictor's head learn; none of that is repeated.
    Stage 2 trains the embedder too, as the released code does; the paper's figure freezes it.
    The spread is the root mean square distance of the source features from their mean, so that
    the two parts are of one size whatever the backbone.

    The terms of the bound are recorded before and after stage 1.
    """

    name = "recraft"
    version = 1
    title = "align features and lower feature-label distortion jointly, then fit the target"
    uses_source = True

    class Config(AlignmentConfig):
        """Options of RECRAFT."""

        distortion_weight: float = Field(1.0, ge=0, description="weight of H(Z'|Z)")
        order: int = Field(2, ge=1, le=2, description="order p of the Wasserstein distance")
        predictor: PredictorConfig = PredictorConfig()

    def stages(self, context: Context) -> list[Stage]:
        """Return joint alignment of the embedder, then target fitting."""
        config = self.config
        classes = context.target_classes(config.clusters)
        source = context.source(config.source)
        features = source.features(context.device)
        bound = _Bound(
            features=features,
            predictor=source.predictor(config.predictor, context.device),
            shares=class_shares(classes, context.device),
        )
        probe = _probe(classes, context)
        most_entropy = math.log(max(len(bound.shares), 2))
        centred = features.pooled - features.pooled.mean(dim=0)
        spread = centred.square().sum(dim=1).mean().sqrt()

        def measure(model: CrossModalModel) -> dict[str, float]:
            return bound.measure(model, *probe)

        def objective(model: CrossModalModel, batch: Batch) -> dict[str, Tensor]:
            assert batch.classes is not None  # this stage has classes
            tokens = model.embed(batch.inputs)
            pooled = batch.gather(tokens.mean(dim=1))
            distance = wasserstein(features.pooled, pooled, p=config.order)
            loss = distance / spread
            losses = {"distance": distance}
            if config.distortion_weight > 0:
                probabilities = batch.gather(bound.probabilities(model, tokens))
                distortion = feature_label_distortion(
                    probabilities, batch.gather(batch.classes), bound.shares
                )
                loss = loss + config.distortion_weight * distortion.conditional / most_entropy
                losses["distortion"] = distortion.conditional
            return {"loss": loss, **losses}

        stage = alignment_stage(context, config, classes, objective, measure)
        return [stage, fitting_stage(context)]


class _Bound:
    """The terms of the bound that can be measured, for one source and one task."""

    def __init__(
        self, *, features: SourceFeatures, predictor: SourcePredictor, shares: Tensor
    ) -> None:
        self.features = features
        self.predictor = predictor
        self.shares = shares

    def probabilities(self, model: CrossModalModel, tokens: Tensor) -> Tensor:
        """Return p_s(z|u) `[n, source classes]` for tokens `[n, t, d]`, p_s frozen.

        Stage 1 leaves the encoder as pretrained, so the model's own encoder is g.
        """
        pooled = model.encoder(tokens).mean(dim=1)
        logits = functional.linear(pooled, self.predictor.weight, self.predictor.bias)
        return logits.softmax(dim=1)

    def measure(self, model: CrossModalModel, inputs: Tensor, classes: Tensor) -> dict[str, float]:
        """Return W1, W2, H(Z'|Z), H(Z'), the marginal H(Z) and the predictor's gradient bound."""
        with torch.no_grad():
            tokens = model.embed(inputs)
            pooled = tokens.mean(dim=1)
            distortion: Distortion = feature_label_distortion(
                self.probabilities(model, tokens), classes, self.shares
            )
            return {
                "w1": wasserstein(self.features.pooled, pooled, p=1).item(),
                "w2": wasserstein(self.features.pooled, pooled, p=2).item(),
                "distortion": distortion.conditional.item(),
                "target_entropy": distortion.target.item(),
                "source_entropy": distortion.marginal.item(),
                "source_gradient_norm": self.predictor.gradient_norm,
                "lipschitz_violations": self.predictor.violations,
                "source_accuracy": self.predictor.accuracy,
            }


def _probe(classes: Indices, context: Context) -> tuple[Tensor, Tensor]:
    """Pick a stratified part of the training split, the same for every method and seed."""
    size = min(_PROBE, len(classes))
    indices = np.sort(stratified_batches(classes, size, 1, seed=0)(0)[0])
    inputs = torch.from_numpy(np.array(context.data.train.inputs[indices]))
    return inputs.to(context.device), torch.from_numpy(classes[indices]).to(context.device)
