"""A backbone by its name."""

from __future__ import annotations

import copy
import functools
from dataclasses import replace

from xmft.backbones.backbone import Backbone
from xmft.backbones.reading import read_encoder
from xmft.backbones.weights import weights_fingerprint
from xmft.seeding import seed_everything


def load_backbone(
    name: str, *, layers: int | None = None, pretrained: bool = True, seed: int = 0
) -> Backbone:
    """Return a trainable copy of a backbone; files that stay as they are are read once per process.

    Args:
        name: A name of `NAMED`, a hub id or a folder of an encoder of one of the `FAMILIES`.
        layers: Encoder layers kept, from the bottom; None keeps all.
        pretrained: False draws the same architecture at random, all of it that a target starts
            from.
        seed: Seed of that draw.

    Raises:
        RequestError: the backbone is unknown, has no weights, or weights and architecture are
            not ones that can be used.
    """
    backbone = copy.deepcopy(_pristine(name, weights_fingerprint(name)))
    if layers is not None:
        backbone.keep_layers(layers)
    return backbone if pretrained else drawn_at_random(backbone, seed)


def drawn_at_random(backbone: Backbone, seed: int) -> Backbone:
    """Draw a backbone anew, in place; what is kept of it must not pass for the pretrained one's.

    Returns:
        The same parts under a fingerprint of the draw.
    """
    seed_everything("backbone", seed)
    backbone.draw_at_random()
    return replace(backbone, fingerprint=f"{backbone.fingerprint}-random-{seed}")


@functools.lru_cache(maxsize=2)
def _pristine(name: str, fingerprint: str) -> Backbone:
    """Read a backbone once per process, as long as its files stay; callers get copies."""
    body, family = read_encoder(name)
    return family.take_apart(body, name, fingerprint)
