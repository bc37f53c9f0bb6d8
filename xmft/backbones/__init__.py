"""Pretrained encoders, all read from a local folder in the Hugging Face layout."""

from xmft.backbones.backbone import Backbone
from xmft.backbones.loading import load_backbone
from xmft.backbones.swin import VisionBackbone
from xmft.backbones.text import TextBackbone

__all__ = ["Backbone", "TextBackbone", "VisionBackbone", "load_backbone"]
