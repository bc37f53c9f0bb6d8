"""Naive fine-tuning, the same from random weights, and the same with the encoder frozen."""

from __future__ import annotations

from xmft.methods.method import Context, Method, fitting_stage, register
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
