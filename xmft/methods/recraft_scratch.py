"""RECRAFT without pretraining: the control that tells what its encoder's weights are worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from xmft.methods.method import register
from xmft.methods.recraft import Recraft


@register
class RecraftScratch(Recraft):
    """RECRAFT with the encoder drawn at random: what pretraining gives is the difference to it.

    `scratch` has no stage 1, and so sees fewer samples than `recraft` and begins with another head.
    Here everything is as in `recraft` but for the weights that the target starts from: encoder,
    positions and LayerNorm of a text model, whose source stays embedded as pretrained; encoder and
    patch embedding of Swin, which embeds the source with them as well.
    """

    name = "recraft-scratch"
    version = 1
    title = "all that recraft does, from random weights"
    pretrained = False
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    preset_recipes: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
