"""PaRe: patch replacement, from source-rich to target-rich mixtures (Cai et al., ICML 2024)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from xmft.heads import ClassHead
from xmft.methods.method import Context, Method, MethodConfig, fitting_stage, register
from xmft.methods.patch_replacement import Relaxation, Replaced, replace_tokens
from xmft.metrics import LOSSES
from xmft.model import CrossModalModel
from xmft.seeding import generator
from xmft.source.artefacts import SourceConfig
from xmft.source.tokens import SourceTokens
from xmft.stages import Batch, Stage
from xmft.stored import to_device

_PARTS = ("embedder", "encoder", "head")
_EXTRA_PARTS = ("gate", "source_head")


class PatchReplacementModel(CrossModalModel):
    """A cross-modal model that can also read mixtures of target and source tokens.

    Attributes:
        gate: Linear map from a token to the logit of its gate.
        source_head: Predictor of the source's classes.
    """

    def __init__(self, context: Context, source_classes: int) -> None:
        backbone = context.required_backbone
        super().__init__(backbone, context.data, context.recipe)
        # Drawn last, so that the common parts start as they do in other methods.
        self.gate = nn.Linear(backbone.width, 1)
        self.source_head = ClassHead(backbone.encoded_width, source_classes)


@register
class Pare(Method):
    """Fine-tune on the target and, beside it, on targets whose tokens are partly of the source.

    One stage, without alignment. A target sample x is paired with a source sample x_s; k of its
    tokens make room for k tokens of x_s, and both predictors read the mixture m:

        L(x, y) + mix_weight * [(1 - lambda) L(m, y) + lambda CE(source_head(m), y_s)]

    with lambda = k / T for T tokens of the target. k falls evenly from step to step, from
    `begin_share` to `end_share` of the tokens that can be exchanged: min(T, S) for S tokens of a
    source sample, so that none occurs twice and a longer source is cut by the gate. A sigmoid
    gate on each token says which ones go: the target's lowest make room for the source's
    highest. For the first `relaxed_share` of the steps the choice is drawn (Gumbel noise on the
    log gate, which takes tokens in proportion to it) and the gate learns by a relaxed top-k;
    after that it is the plain top-k, which has no gradient. Tokens keep the positions that their
    own embedding gave them. Where k is 0 nothing of the source enters, and a step is one of NFT.

    Pairs and noise follow from seed, step and the sample's position in the training split, so
    that neither micro-batches nor workers nor a resumed run change them.

    Published weights are 0.1 for sequences, 0.3 for dense tasks and 1 for classes in two
    dimensions, with 3136 tokens of which 1000 to 500 (Darcy) or 2000 to 500 (classes) are
    exchanged; the first 5 or 10 epochs of mostly 60 are relaxed. The presets `released`, `released-
    dense` and `released-classes` have these. In the public code the plain top-k overwrites the
    target's highest-gated tokens, though the relaxed one keeps them; the presets do that too, the
    defaults do not. They start the patch projection as published (`Recipe.patches`). In them as
    there the noise is added to the gate itself, the relaxed choice is a sum of softmaxes one after
    the other (`relaxation`), and k falls from epoch to epoch (`moves`).
    The source loss of the public dense tasks is a segmentation of PASCAL images; here it is the
    class of the source sample everywhere.
    """

    name = "pare"
    version = 1
    title = "fine-tune on the target and on mixtures of its tokens with ever fewer source tokens"
    uses_source = True
    # Its objective calls the model's parts one by one, and only whole models are compiled.
    ignores = frozenset({"compile"})
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "released": {
            "begin_share": 1.0,
            "end_share": 0.0,
            "mix_weight": 0.1,
            "relaxed_share": 5 / 60,
            "replaces": "highest",
            "relaxation": "iterated",
            "moves": "epoch",
        },
        "released-dense": {
            "begin_share": 1000 / 3136,
            "end_share": 500 / 3136,
            "mix_weight": 0.3,
            "relaxed_share": 10 / 60,
            "replaces": "highest",
            "relaxation": "iterated",
            "moves": "epoch",
        },
        "released-classes": {
            "begin_share": 2000 / 3136,
            "end_share": 500 / 3136,
            "mix_weight": 1.0,
            "relaxed_share": 10 / 60,
            "replaces": "highest",
            "relaxation": "iterated",
            "moves": "epoch",
        },
    }

    preset_recipes: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        preset: {"patches": "published", "amplitude": False} for preset in presets
    }

    class Config(MethodConfig):
        """Options of PaRe."""

        begin_share: float = Field(1.0, ge=0, le=1, description="tokens exchanged at first")
        end_share: float = Field(0.0, ge=0, le=1, description="tokens exchanged at last")
        mix_weight: float = Field(0.1, ge=0, description="weight of the losses of the mixture")
        relaxed_share: float = Field(
            1 / 6, ge=0, le=1, description="share of the steps in which the choice is drawn"
        )
        temperature: float = Field(0.9, gt=0, description="of the relaxed choice")
        replaces: Replaced = Field(
            "lowest", description="gate of the target tokens that make room once it is not drawn"
        )
        relaxation: Relaxation = Field(
            "entropic",
            description="how the choice is relaxed and drawn: entropic top-k of the log gate, or "
            "published, softmaxes one after the other of the gate itself (iterated)",
        )
        moves: Literal["step", "epoch"] = Field(
            "step", description="when the number of tokens exchanged and the choice change"
        )
        source: SourceConfig = SourceConfig()

    def model(self, context: Context) -> nn.Module:
        """Return the model with its gate and the source's predictor."""
        samples = context.source(self.config.source).samples()
        return PatchReplacementModel(context, samples.classes)

    def stages(self, context: Context) -> list[Stage]:
        """Return target fitting with mixtures."""
        config = self.config
        samples = context.source(config.source).samples()
        source = SourceTokens(context.required_backbone, samples, context.device)
        mixtures = _Mixtures(config, source, context.seed, context.recipe.epochs)
        per_sample = LOSSES[context.data.task.loss]

        def objective(model: PatchReplacementModel, batch: Batch) -> dict[str, Tensor]:
            tokens = model.embed(batch.inputs, batch.base)
            mixture = mixtures.of(model, tokens, batch)
            if mixture is None:
                encoded = model.encoder(tokens)
                predicted = model.decode(encoded, batch.inputs, batch.base)
                loss = per_sample(predicted, batch.targets, batch.weights)
                share, mixed = torch.zeros_like(loss), torch.zeros_like(loss)
            else:
                encoded = model.encoder(torch.cat([tokens, mixture.tokens]))
                base = None if batch.base is None else torch.cat([batch.base] * 2)
                predicted = model.decode(encoded, torch.cat([batch.inputs] * 2), base)
                weights = None if batch.weights is None else torch.cat([batch.weights] * 2)
                loss, on_mixture = per_sample(
                    predicted, torch.cat([batch.targets] * 2), weights
                ).chunk(2)
                on_source = functional.cross_entropy(
                    model.source_head(encoded[len(tokens) :]), mixture.labels, reduction="none"
                )
                share = torch.full_like(loss, mixture.share)
                mixed = (1 - share) * on_mixture + share * on_source
            return {
                "loss": loss + config.mix_weight * mixed + _nothing(model),
                "mixed": mixed,
                "replaced": share,
            }

        mixes = max(config.begin_share, config.end_share) > 0
        stage = fitting_stage(context, trains=_PARTS + (_EXTRA_PARTS if mixes else ()))
        # Parameters are read where no part is called: by the gates, and by `_nothing`.
        return [replace(stage, objective=objective, divisible=False)]


@dataclass(frozen=True, kw_only=True)
class _Mixture:
    """Mixed tokens `[n, t, width]`, classes of their sources `[n]`, and share of the source."""

    tokens: Tensor
    labels: Tensor
    share: float


class _Mixtures:
    """Pairs target samples with source samples and mixes their tokens."""

    def __init__(self, config: Pare.Config, source: SourceTokens, seed: int, epochs: int) -> None:
        self._config = config
        self._source = source
        self._seed = seed
        self._epochs = epochs

    def of(self, model: PatchReplacementModel, tokens: Tensor, batch: Batch) -> _Mixture | None:
        """Return the mixtures of a batch with target tokens `tokens`, or None where k is 0."""
        config = self._config
        count, progress = tokens.shape[1], batch.step / batch.steps
        if config.moves == "epoch":
            progress = batch.step // (batch.steps // self._epochs) / self._epochs
        share = config.begin_share + (config.end_share - config.begin_share) * progress
        # A hair above, so that 3 written as 2.999... stays 3.
        k = int(share * min(count, self._source.tokens) + 1e-9)
        if k == 0:
            return None
        drawn = [generator("pare", self._seed, batch.step, place) for place in batch.indices]
        rows = np.array([rng.integers(len(self._source)) for rng in drawn])
        source, labels = self._source.take(rows)
        # Without noise both choose the same.
        squashed = torch.sigmoid if config.relaxation == "iterated" else functional.logsigmoid
        target_gate, source_gate = (
            squashed(model.gate(x).squeeze(2).float()) for x in (tokens, source)
        )
        relaxed = progress < config.relaxed_share
        if relaxed:
            noise = np.stack([rng.gumbel(size=count + source.shape[1]) for rng in drawn])
            on_target, on_source = to_device(noise.astype(np.float32), tokens.device).split(
                [count, source.shape[1]], dim=1
            )
            target_gate, source_gate = target_gate + on_target, source_gate + on_source
        mixed = replace_tokens(
            tokens,
            source,
            target_gate,
            source_gate,
            k,
            replaces="lowest" if relaxed else config.replaces,
            temperature=config.temperature if relaxed else None,
            relaxation=config.relaxation,
        )
        return _Mixture(tokens=mixed, labels=labels, share=k / count)


def _nothing(model: PatchReplacementModel) -> Tensor | int:
    """Return 0, with a gradient of 0 for the parts that only mixtures use.

    Workers that average their gradients expect one of every parameter that learns.
    """
    parts = (model.gate, model.source_head)
    learning = [p for part in parts for p in part.parameters() if p.requires_grad]
    return 0 * torch.stack([p.sum() for p in learning]).sum() if learning else 0
