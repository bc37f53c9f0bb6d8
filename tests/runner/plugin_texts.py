"""Texts of plug-ins."""

from __future__ import annotations

TASK = """
from dataclasses import replace

from benchmarks import catalog

_entry = catalog.get("pdebench/advection")
catalog.add(replace(_entry, task=replace(_entry.task, name="{name}", metrics=({metrics}))))
"""
METHOD = """
from xmft.methods.nft import NaiveFineTuning
from xmft.methods import register


@register
class Mine(NaiveFineTuning):
    name = "mine"
    version = 1
    title = "the same under a name of one's own"
"""
METRIC = """
import torch
from xmft.metrics import METRICS, Metric

METRICS.add("largest", Metric(
    name="largest", version=1, kinds=("dense",), reduction="max",
    per_sample=lambda predictions, targets: (predictions - targets).abs().flatten(1).amax(1)))
"""
# A BERT under another name, for plans: nothing takes it apart.
FAMILY = """
from transformers import BertConfig

from xmft.backbones.family import Family, register
from xmft.backbones.weights import Named


class PondConfig(BertConfig):
    model_type = "pond"


def _tiny():
    return PondConfig(hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
                      max_position_embeddings=32)


@register
class Pond(Family):
    name, modality, title = "pond", "text", "a Pond"
    names = {"tiny-pond": Named(title="Pond, 16 x 2", build=_tiny)}

    def matches(self, config):
        return config.model_type == "pond"

    def layers(self, config):
        return config.num_hidden_layers

    def take_apart(self, body, name, fingerprint):
        raise NotImplementedError
"""
ALL = TASK.format(name="lab/waves", metrics='"nrmse", "largest"') + METHOD + METRIC
