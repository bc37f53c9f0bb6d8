"""Pretrained encoders, all read from a local folder in the Hugging Face layout."""

import importlib
import pkgutil

from xmft.backbones.backbone import Backbone
from xmft.backbones.family import FAMILIES
from xmft.backbones.loading import drawn_at_random, load_backbone
from xmft.backbones.swin import VisionBackbone
from xmft.backbones.text import TextBackbone

# Importing a module registers the family in it, so that a new one is a file and nothing else.
for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = [
    "FAMILIES",
    "Backbone",
    "TextBackbone",
    "VisionBackbone",
    "drawn_at_random",
    "load_backbone",
]
