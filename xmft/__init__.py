"""Cross-modal fine-tuning: one pretrained transformer, one task of another modality.

    from xmft import Recipe, TaskData, train

    data = TaskData.from_arrays("mylab/waves", train=(x, y), test=(x_test, y_test))
    trained = train(data, "recraft", backbone="minilm", recipe=Recipe(epochs=20))
    trained.scores

The package knows how to train; it knows no task by name, no Ray and no Arrow. Names are imported
when they are used: the package itself starts at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xmft.arrays import Ragged, Windows
    from xmft.backbones import load_backbone
    from xmft.methods import METHODS, Method, fitting_stage, register
    from xmft.metrics import LOSSES, METRICS, Loss, Metric
    from xmft.recipe import Recipe
    from xmft.samples import Decoded, Draws, Pieces
    from xmft.split import Split
    from xmft.task import Task, TaskData
    from xmft.trained import Trained
    from xmft.training import train

__version__ = "0.1.0"

_HOMES = {
    "xmft.arrays": ("Ragged", "Windows"),
    "xmft.backbones": ("load_backbone",),
    "xmft.methods": ("METHODS", "Method", "fitting_stage", "register"),
    "xmft.metrics": ("LOSSES", "METRICS", "Loss", "Metric"),
    "xmft.recipe": ("Recipe",),
    "xmft.samples": ("Decoded", "Draws", "Pieces"),
    "xmft.split": ("Split",),
    "xmft.task": ("Task", "TaskData"),
    "xmft.trained": ("Trained",),
    "xmft.training": ("train",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "LOSSES",
    "METHODS",
    "METRICS",
    "Decoded",
    "Draws",
    "Loss",
    "Method",
    "Metric",
    "Pieces",
    "Ragged",
    "Recipe",
    "Split",
    "Task",
    "TaskData",
    "Trained",
    "Windows",
    "fitting_stage",
    "load_backbone",
    "register",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'xmft' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOME_OF[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
