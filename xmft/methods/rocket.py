"""ROCKET: random convolutions of series and a ridge on what they give (Dempster et al. 2020)."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from xmft import flops
from xmft.closed_forms.choosing import Fitting
from xmft.closed_forms.fitting import ClosedFormModel
from xmft.closed_forms.scaled import Scaled
from xmft.errors import RequestError
from xmft.methods.method import Context, Method, MethodConfig, register
from xmft.recipe import OF_SAMPLES, Recipe
from xmft.regression import Choice, Rows, fitted
from xmft.seeding import derive_seed
from xmft.stages import Stage
from xmft.task import TaskData

# Points that the kernels see, as published.
_SIZES = (7, 9, 11)
# Features of a kernel: its largest value, and the share of values above zero.
_FEATURES = 2
_ROWS = 256


@register
class Rocket(Method):
    """Random convolution kernels by pyts, and ridge regression on their features.

    Each kernel gives its largest value and its share of positive values; what they are worth for
    each class or label is a linear map with the penalty that scores best on validation. Kernels
    are drawn by the seed. Several channels have kernels of their own, an equal number each
    (published kernels see several at once).
    """

    name = "rocket"
    version = 1
    title = "random convolutions of series (ROCKET) and a ridge, penalty chosen on validation"
    uses_backbone = False
    kinds = ("classification", "multilabel")
    axes = (1,)
    ignores = frozenset(Recipe.model_fields) - OF_SAMPLES
    # Series of some fifty points, and half as many again that are scored.
    seconds_per_sample = 0.012

    class Config(MethodConfig):
        """Options of ROCKET."""

        kernels: int = Field(10_000, ge=1, description="random kernels, of all channels together")
        normalise: bool = Field(
            True, description="bring each channel of each series to mean 0 and deviation 1"
        )
        rows: int = Field(
            20_000, ge=2, description="most training series that it learns from, evenly spread"
        )
        penalties: tuple[float, ...] = Field(
            tuple(10.0**power for power in range(-8, 2)),
            strict=False,
            min_length=1,
            description="to choose from on validation, relative to the features' mean square",
        )
        landmarks: int = Field(2_000, ge=2, description="series that the penalty is chosen on")

    @classmethod
    def check_installed(cls) -> None:
        """Look for pyts."""
        if importlib.util.find_spec("pyts") is None:
            raise RequestError(
                "Method 'rocket' takes its random kernels from the package pyts, which is not "
                "installed. Install it with: pip install 'xmft[series]'"
            )

    def model(self, context: Context) -> nn.Module:
        """Fit on the training split and return the fitted model.

        Raises:
            RequestError: the samples are no series, or too many for the memory.
        """
        data, config = context.data, self.config
        scaled = Convolved(data, config.kernels, normalise=config.normalise, seed=context.seed)
        fitting = Fitting(data=data, scaled=scaled.to(context.device), device=context.device)
        features, outputs = fitting.sizes
        count, asked = min(len(data.train), config.rows), len(data.val)
        # float32 as they are made, float64 where they are used, with a centred copy; two systems.
        needed = 20 * (count + asked) * features + 16 * count**2 + 12 * (count + asked) * outputs
        fitting.check_memory(
            needed, f"method '{self.name}'", advice="Or set fewer `kernels` or `rows`."
        )
        x, y = fitting.train_rows(count)
        scaled.set_units(x)

        def read(rows: Tensor) -> Any:
            for part in rows.to(x.device).split(_ROWS):
                yield scaled.in_units(x[part]).double(), y[part].double()

        regression = fitted(
            Rows(count=count, read=read),
            Choice(
                penalties=config.penalties,
                inputs=fitting.val_rows()[0].double(),
                score=fitting.scorer(scaled.predictions),
                exact=count,
                landmarks=config.landmarks,
            ),
        )
        return ClosedFormModel(scaled, regression)

    def stages(self, context: Context) -> list[Stage]:
        """Return no stage: the model is fitted as soon as it is made."""
        return []


class Convolved(Scaled):
    """Series as rows of the features of random kernels, in units of the training spread."""

    feature_mean: Tensor
    feature_spread: Tensor

    def __init__(self, data: TaskData, kernels: int, *, normalise: bool, seed: int) -> None:
        """Draw the kernels.

        Raises:
            RequestError: the samples are no series that kernels fit into.
        """
        super().__init__(data)
        inputs, targets = self.shapes
        if len(inputs) != 2 or inputs[1] < min(_SIZES):
            raise RequestError(
                f"{data.task.name}: method 'rocket' is for series of {min(_SIZES)} points or more; "
                f"found samples of the shape {inputs}. Leave the method out for this task."
            )
        channels, length = inputs
        self._normalise = normalise
        self._kernels = [
            _pyts()
            .ROCKET(
                n_kernels=max(1, kernels // channels + (channel < kernels % channels)),
                kernel_sizes=[size for size in _SIZES if size <= length],
                random_state=derive_seed("rocket", seed, channel) % 2**32,
            )
            .fit(np.zeros((1, length)))
            for channel in range(channels)
        ]
        features = _FEATURES * sum(one.n_kernels for one in self._kernels)
        self.shapes = (features,), targets
        self.register_buffer("feature_mean", torch.zeros(features))
        self.register_buffer("feature_spread", torch.ones(features))

    def set_units(self, features: Tensor) -> None:
        """Take mean and spread `[f]` of the features `[n, f]` of training."""
        # In float64, where the mean of equal values is that value.
        parts = [
            torch.stack([part.mean(dim=0), part.std(dim=0, correction=0)])
            for part in map(Tensor.double, features.split(_ROWS, dim=1))
        ]
        self.feature_mean, spread = torch.cat(parts, dim=1).float()
        # A kernel that is never positive says nothing.
        self.feature_spread = torch.where(spread > 0, spread, 1.0)

    def in_units(self, features: Tensor) -> Tensor:
        """Return features with mean 0 and spread 1 over the training split."""
        return (features - self.feature_mean) / self.feature_spread

    def inputs(self, batch: Tensor) -> Tensor:
        """Return the features of a batch `[n, channels, length]` as rows."""
        series = self.standardised(batch).double()
        if self._normalise:
            spread = series.std(dim=2, correction=0, keepdim=True)
            series = series - series.mean(dim=2, keepdim=True)
            series = series / torch.where(spread > 0, spread, 1.0)
        taps = sum(int(kernels.length_.sum()) for kernels in self._kernels)
        flops.add(2 * len(series) * taps * series.shape[2])
        found = [
            torch.from_numpy(kernels.transform(series[:, channel].cpu().numpy())).float()
            for channel, kernels in enumerate(self._kernels)
        ]
        return self.in_units(torch.cat(found, dim=1).to(batch.device)).double()


@cache
def _pyts() -> ModuleType:
    """Import the module of ROCKET alone; what it compiles is kept beside it for the next process.

    That takes twenty seconds, and the package beside it compiles other transformations as well.
    """
    numba: Any = importlib.import_module("numba")
    package = importlib.util.find_spec("pyts")
    assert package is not None and package.submodule_search_locations  # it was looked for
    path = Path(package.submodule_search_locations[0]) / "transformation" / "_rocket.py"
    spec = importlib.util.spec_from_file_location("pyts_rocket", path)
    assert spec is not None and spec.loader is not None  # of a Python file
    module = importlib.util.module_from_spec(spec)
    # numba finds what it has compiled by the name of the module.
    sys.modules[spec.name] = module
    compiled = numba.njit
    numba.njit = partial(compiled, cache=True)
    try:
        spec.loader.exec_module(module)
    finally:
        numba.njit = compiled
    return module
