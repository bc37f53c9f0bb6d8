"""Naive fine-tuning, the same from random weights, and the same with the encoder frozen."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from torch import nn

from xmft.methods.method import Context, Method, MethodConfig, fitting_stage, register
from xmft.methods.starting import started_model
from xmft.source.artefacts import SourceConfig
from xmft.stages import Stage


@register
class NaiveFineTuning(Method):
    """Fine-tune everything on the target at once, without alignment (NFT of the ORCA paper)."""

    name = "nft"
    version = 2
    title = "naive fine-tuning: all parameters on the task loss, no alignment"

    def stages(self, context: Context) -> list[Stage]:
        """Return target fitting alone."""
        return [fitting_stage(context)]


@register
class Shift(NaiveFineTuning):
    """NFT whose token features start at the source's mean and spread, in closed form.

    What methods that train the embedder towards a source gain over this, they gain by more than
    moving the features to where the encoder knows them.
    """

    name = "shift"
    version = 2
    title = "naive fine-tuning from token features moved to the source's mean and spread"
    uses_source = True

    class Config(MethodConfig):
        """Options of the closed-form start."""

        start: Literal["mean", "moments"] = Field(
            "moments", description="what is made that of the source: the mean, or its spread too"
        )
        clusters: int = Field(10, ge=2, description="classes made of fields or of several labels")
        source: SourceConfig = SourceConfig()

    def model(self, context: Context) -> nn.Module:
        """Return the model, with the features that its target starts from."""
        config = self.config
        return started_model(context, config.start, config.source, config.clusters)


@register
class Scratch(NaiveFineTuning):
    """NFT with the encoder drawn at random: what pretraining gives is the difference to NFT."""

    name = "scratch"
    version = 2
    title = "the same architecture from random weights"
    pretrained = False


@register
class FrozenPretrained(NaiveFineTuning):
    """Fine-tune embedder, head and the encoder's LayerNorms; attention and MLPs stay as they are.

    The frozen pretrained transformer of Lu et al. (arXiv 2103.05247), a baseline of the ORCA paper.
    """

    name = "fpt"
    version = 1
    title = "frozen pretrained transformer: of the encoder, only the LayerNorms learn"
    ignores = frozenset({"encoder", "lora_rank"})

    def stages(self, context: Context) -> list[Stage]:
        """Return target fitting of all but the frozen weights."""
        return [fitting_stage(context, trains=("embedder", "encoder:norms", "head"))]
