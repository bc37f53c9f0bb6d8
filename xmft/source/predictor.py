"""The source predictor p_s(z|u): a linear head on the frozen encoder, with bounded gradients."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import CosineAnnealingLR

from xmft.alignment.lipschitz import (
    gradient_norms,
    lipschitz_penalty,
    samples_at_once,
    violation_share,
)
from xmft.backbones import Backbone
from xmft.seeding import generator, seed_everything
from xmft.source import SourceSamples

_FORWARD_BATCH = 64
# Gradient norms are measured on this many held-out samples.
_PROBE = 256


class PredictorConfig(BaseModel):
    """How the source predictor p_s is trained, and how its gradient is bounded.

    The published 2-D code trains 10 plain and 10 bounded epochs at rate 1e-4 with threshold 0.4
    and weight 100; its 1-D code has no bound. The defaults here are chosen to meet the bound on
    minilm with stdlib-docs: weights that have grown in many more plain steps have gradients over
    the threshold that the penalty does not bring back. `violations` says what was reached.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    plain_steps: int = Field(150, ge=0, description="steps on cached features, almost free")
    bounded_steps: int = Field(32, ge=0, description="steps with the penalty, through the encoder")
    batch_size: int = Field(32, ge=1, description="source samples of a step")
    learning_rate: float = Field(1e-3, gt=0, description="of both kinds of steps")
    schedule: Literal["constant", "cosine"] = Field(
        "constant", description="of the rate, from epoch to epoch; cosine: to 0 behind the last"
    )
    weight_decay: float = Field(0.05, ge=0, description="of the head, decoupled")
    threshold: float = Field(0.4, gt=0, description="bound on the per-sample gradient norm")
    penalty_weight: float = Field(100.0, ge=0, description="of what exceeds the threshold")


@dataclass(frozen=True, kw_only=True)
class SourcePredictor:
    """The linear head of p_s(z|u) = softmax(W mean_t g(u) + b), with what is known about it.

    Attributes:
        weight: `[classes, d]`.
        bias: `[classes]`.
        accuracy: On held-out source samples.
        gradient_norm: Mean per-sample norm of the loss gradient in u, held out.
        violations: Share of held-out samples whose norm exceeds the threshold.
    """

    weight: Float[Tensor, "classes d"]
    bias: Float[Tensor, " classes"]
    accuracy: float
    gradient_norm: float
    violations: float

    def to(self, device: torch.device) -> SourcePredictor:
        """Return the same predictor with its tensors on `device`."""
        return replace(self, weight=self.weight.to(device), bias=self.bias.to(device))


def train_predictor(
    backbone: Backbone,
    samples: SourceSamples,
    config: PredictorConfig,
    device: torch.device,
) -> SourcePredictor:
    """Train the head: plain on cached features, then with a penalty on its gradients.

    Only the head learns. A tenth of the samples is held out for what is reported.

    Args:
        backbone: Its encoder is g; left as it was.
        samples: Labelled samples of the source.
        config: Epochs, rates and the bound.
        device: Where to train.
    """
    seed_everything("source predictor")
    mode, home = backbone.encoder.training, next(backbone.encoder.parameters()).device
    encoder = backbone.encoder.to(device).eval()
    trainable = [p for p in encoder.parameters() if p.requires_grad]
    for parameter in trainable:
        parameter.requires_grad_(False)
    try:
        return _Training(backbone, encoder, samples, config, device).run()
    finally:
        encoder.train(mode).to(home)
        for parameter in trainable:
            parameter.requires_grad_(True)


class _Training:
    def __init__(
        self,
        backbone: Backbone,
        encoder: nn.Module,
        samples: SourceSamples,
        config: PredictorConfig,
        device: torch.device,
    ) -> None:
        self.backbone = backbone
        self.encoder = encoder
        self.config = config
        self.device = device
        self.inputs = samples.inputs
        self.labels = samples.labels.to(device)
        self.head = nn.Linear(backbone.encoded_width, samples.classes, device=device)
        self.optimizer = torch.optim.AdamW(
            self.head.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )
        order = torch.from_numpy(generator("source predictor").permutation(len(self.inputs)))
        self.held_out, self.train = order[: len(order) // 10], order[len(order) // 10 :]
        self.size = min(config.batch_size, len(self.train))
        self.per_epoch = len(self.train) // self.size
        epochs = -(-(config.plain_steps + config.bounded_steps) // self.per_epoch)
        self.schedule = None
        if config.schedule == "cosine":
            self.schedule = CosineAnnealingLR(self.optimizer, T_max=max(1, epochs))
        self.taken = 0

    def run(self) -> SourcePredictor:
        encoded = self._encode()
        for batch in self._batches("plain", self.config.plain_steps):
            self._step(functional.cross_entropy(self.head(encoded[batch]), self.labels[batch]))
        for batch in self._batches("bounded", self.config.bounded_steps):
            self._bounded_step(batch)
        probe = self.held_out[:_PROBE]
        norms = torch.cat(
            [
                self._losses_and_norms(batch, create_graph=False)[1].detach()
                for batch in self._parts(probe)
            ]
        )
        with torch.inference_mode():
            guesses = self.head(encoded[self.held_out]).argmax(dim=1)
            accuracy = (guesses == self.labels[self.held_out]).float().mean().item()
        return SourcePredictor(
            weight=self.head.weight.detach(),
            bias=self.head.bias.detach(),
            accuracy=accuracy,
            gradient_norm=norms.mean().item(),
            violations=violation_share(norms, self.config.threshold),
        )

    def _encode(self) -> Tensor:
        with torch.inference_mode():
            parts = [
                self.encoder(self._tokens(block)).mean(dim=1)
                for block in torch.arange(len(self.inputs)).split(_FORWARD_BATCH)
            ]
        # clone: an inference tensor could take no part in autograd later.
        return torch.cat(parts).clone()

    def _tokens(self, rows: Tensor) -> Tensor:
        return self.backbone.embed_source(self.inputs[rows].to(self.device))

    def _losses_and_norms(self, batch: Tensor, *, create_graph: bool) -> tuple[Tensor, Tensor]:
        """Return per-sample losses and the norms of their gradients in u."""
        kept: list[Tensor] = []

        def per_sample(u: Tensor) -> Tensor:
            logits = self.head(self.encoder(u).mean(dim=1))
            kept.append(functional.cross_entropy(logits, self.labels[batch], reduction="none"))
            return kept[-1]

        norms = gradient_norms(per_sample, self._tokens(batch), create_graph=create_graph)
        return kept[-1], norms

    def _bounded_step(self, batch: Tensor) -> None:
        """Take one step of loss and penalty, both means over samples and so added up in parts."""
        self.optimizer.zero_grad()
        for part in self._parts(batch):
            losses, norms = self._losses_and_norms(part, create_graph=True)
            penalty = lipschitz_penalty(norms, self.config.threshold)
            loss = losses.mean() + self.config.penalty_weight * penalty
            (loss * (len(part) / len(batch))).backward()
        self._move()

    def _parts(self, rows: Tensor) -> Sequence[Tensor]:
        return rows.split(samples_at_once(self._tokens(rows[:1])))

    def _batches(self, phase: str, steps: int) -> Iterator[Tensor]:
        """Yield batches epoch by epoch, every one full."""
        size = self.size
        for step in range(steps):
            epoch, place = divmod(step, self.per_epoch)
            if place == 0:
                order = generator(phase, epoch).permutation(len(self.train))
                shuffled = self.train[torch.from_numpy(order)]
            yield shuffled[place * size : (place + 1) * size]

    def _step(self, loss: Tensor) -> None:
        self.optimizer.zero_grad()
        loss.backward()
        self._move()

    def _move(self) -> None:
        """Take the step, and after an epoch of steps of either kind the next rate."""
        self.optimizer.step()
        self.taken += 1
        if self.schedule is not None and self.taken % self.per_epoch == 0:
            self.schedule.step()
