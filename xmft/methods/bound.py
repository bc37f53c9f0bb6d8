"""The terms of the bound on the target error, as far as they can be measured."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from xmft.alignment.distortion import chance_distortion, feature_label_distortion
from xmft.alignment.lipschitz import gradient_norms, samples_at_once, violation_share
from xmft.alignment.wasserstein import Points, wasserstein
from xmft.flops import uncounted
from xmft.metrics import Loss
from xmft.model import CrossModalModel
from xmft.samples import Samples
from xmft.seeding import generator
from xmft.source.artefacts import SourceFeatures
from xmft.source.predictor import SourcePredictor
from xmft.stages import Indices, stratified_batches

# The terms are measured on this many training samples, the same for every method and seed.
_PROBE = 256
# A gradient costs twice a forward pass, so it is taken of every so many-th sample.
_GRADIENT_EVERY = 8
_FORWARD_BATCH = 64


class Bound:
    """Source, source predictor and a probe of the target: what the terms of the bound are made of.

    The bound of RECRAFT (arXiv 2601.18231) is a sum of the distance between source and target
    features times the Lipschitz constant of the source loss, the feature-label distortion, and
    the target loss. Stage 1 of a method leaves the encoder as pretrained, so that of the model is
    the g of the source predictor p_s(z|u) = softmax(W mean_t g(u) + b).

    Attributes:
        points: Pooled features of the source.
        predictor: The frozen p_s.
        shares: Share of each target class in the training split, `[classes]`.
    """

    def __init__(
        self,
        *,
        features: SourceFeatures,
        predictor: SourcePredictor,
        threshold: float,
        train: Samples,
        classes: Indices,
        shares: Tensor,
        loss: Loss,
        device: torch.device,
    ) -> None:
        """Prepare.

        Args:
            features: Of the source.
            predictor: Source predictor.
            threshold: Lipschitz threshold on its gradient norms.
            train: Training split of the target.
            classes: Class of each of its samples, true or clustered.
            shares: Share of each class in the training split, `[classes]`.
            loss: The task's loss.
            device: Where the model lives.
        """
        self.points = Points(features.pooled)
        self.predictor = predictor
        self.shares = shares
        self._threshold = threshold
        self._loss = loss
        size = min(_PROBE, len(classes))
        probe = np.sort(stratified_batches(classes, size, 1, seed=0)(0)[0])
        with_gradient = np.arange(size) % _GRADIENT_EVERY == 0
        probe = np.concatenate([probe[with_gradient], probe[~with_gradient]])
        first = int(with_gradient.sum())
        rest = torch.arange(size - first).split(_FORWARD_BATCH)
        self._sizes = [first, *(len(part) for part in rest if len(part))]
        self._probe = probe
        self._inputs, self._targets, self._weights = train.take(probe)
        self._classes = torch.from_numpy(classes[probe]).to(device)

    def logits(self, encoded: Float[Tensor, "n t d"]) -> Float[Tensor, "n source"]:
        """Return the logits of p_s(z|u) for encoded tokens g(u)."""
        return functional.linear(encoded.mean(dim=1), self.predictor.weight, self.predictor.bias)

    def measure(self, model: CrossModalModel) -> dict[str, float]:
        """Return the terms, in nats where they are entropies.

        * `w1`, `w2`: exact Wasserstein distances between token means of source and target.
        * `w2_source`: the same between as many samples of the source and the others, at most half
          of it; finite samples are this far apart though they are of one kind, so it is the floor
          of `w2`.
        * `distortion` H(Z'|Z), `source_given_target` H(Z|Z'), `source_entropy` H(Z) and
          `target_entropy` H(Z') of the labels Z that p_s sees and the target's classes Z'.
        * `distortion_chance`: H(Z'|Z) with shuffled labels; less than H(Z') by the bias of the
          estimate, which is the larger the fewer samples a class has. `distortion_corrected`:
          H(Z') less the information that `distortion` shows beyond that of chance.
        * `source_accuracy`, `source_gradient_norm`, `lipschitz_violations`: of p_s on held-out
          source samples; the last is the share of them over the threshold.
        * `target_violations`: the same share among target samples, each with the label that p_s
          holds for the likeliest.
        * `target_fit`: mean loss of the task with the head as it is.
        """
        pooled: list[Tensor] = []
        logits: list[Tensor] = []
        losses: list[Tensor] = []
        norms: list[Tensor] = []
        weights: Sequence[Tensor | None] = [None] * len(self._sizes)
        if self._weights is not None:
            weights = self._weights.split(self._sizes)
        bases: Sequence[Tensor | None] = [None] * len(self._sizes)
        if (base := model.training_base(self._probe)) is not None:
            bases = base.split(self._sizes)
        parts = zip(
            self._inputs.split(self._sizes),
            self._targets.split(self._sizes),
            weights,
            bases,
            strict=True,
        )
        with torch.no_grad():
            for inputs, targets, own, base in parts:
                tokens = model.embed(inputs, base)
                if norms:
                    encoded = model.encoder(tokens)
                else:
                    first, encoded = self._gradient_norms(model, tokens)
                    norms.append(first)
                pooled.append(tokens.mean(dim=1))
                logits.append(self.logits(encoded))
                losses.append(self._loss(model.decode(encoded, inputs, base), targets, own))
        target = torch.cat(pooled)
        squared = self.points.squared_distances(target)
        probabilities = torch.cat(logits).softmax(dim=1)
        terms = feature_label_distortion(probabilities, self._classes, self.shares)
        chance = chance_distortion(probabilities, self._classes, self.shares)
        return {
            "w1": wasserstein(self.points, target, p=1, squared=squared).item(),
            "w2": wasserstein(self.points, target, p=2, squared=squared).item(),
            "w2_source": self._floor,
            "distortion": terms.conditional.item(),
            "distortion_chance": chance.item(),
            "distortion_corrected": (terms.target - (chance - terms.conditional)).item(),
            "source_given_target": terms.source_given_target.item(),
            "source_entropy": terms.marginal.item(),
            "target_entropy": terms.target.item(),
            "source_accuracy": self.predictor.accuracy,
            "source_gradient_norm": self.predictor.gradient_norm,
            "lipschitz_violations": self.predictor.violations,
            "target_violations": violation_share(norms[0], self._threshold),
            "target_fit": torch.cat(losses).mean().item(),
        }

    @cached_property
    def _floor(self) -> float:
        features = self.points.features
        order = torch.from_numpy(generator("floor of w2").permutation(len(features)))
        order = order.to(features.device)
        size = min(sum(self._sizes), len(features) // 2)
        drawn, others = features[order[:size]], Points(features[order[size:]])
        # Once for a process, whatever is measured in it: no part of what a run takes.
        return uncounted(lambda: wasserstein(others, drawn, p=2).item())

    def _gradient_norms(self, model: CrossModalModel, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Return the norms of the gradient of p_s's loss, and the encoded tokens."""
        kept: list[Tensor] = []

        def likeliest(u: Tensor) -> Tensor:
            encoded = model.encoder(u)
            kept.append(encoded.detach())
            return -self.logits(encoded).log_softmax(dim=1).amax(dim=1)

        norms = [gradient_norms(likeliest, part) for part in tokens.split(samples_at_once(tokens))]
        return torch.cat(norms), torch.cat(kept)
