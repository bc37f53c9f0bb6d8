"""The ways to fine-tune across modalities, by name."""

import importlib
import pkgutil

from xmft.methods.method import METHODS, Context, Method, MethodConfig, fitting_stage, register

# Importing a module registers the methods in it, so that a new one is a file and nothing else.
for _module in pkgutil.iter_modules(__path__):
    importlib.import_module(f"{__name__}.{_module.name}")

__all__ = ["METHODS", "Context", "Method", "MethodConfig", "fitting_stage", "register"]
