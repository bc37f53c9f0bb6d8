"""Logistic regression: what a linear map of the raw inputs tells of classes and labels."""

from __future__ import annotations

import math
import warnings
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Bool, Float
from pydantic import Field
from torch import Tensor, nn

from xmft import flops
from xmft.closed_forms.choosing import Fitting
from xmft.closed_forms.scaled import Scaled
from xmft.methods.method import Context, Method, MethodConfig, register
from xmft.recipe import OF_SAMPLES, Recipe
from xmft.stages import Stage

Array = npt.NDArray[np.float64]


@register
class Logistic(Method):
    """Multinomial logistic regression; for several labels, each label against its absence.

    The sum of all cross-entropies plus half the penalty times the squares of the weights (not of
    the intercepts) is least, with the penalty that scores best on validation. Beyond `chosen_on`
    samples the penalty is chosen on some of them, and the map is fitted to all. Whether it has
    converged is written down as `fitting_converged`, 1 or 0.
    """

    name = "logistic"
    version = 1
    title = "logistic regression on the raw inputs, penalty chosen on validation"
    uses_backbone = False
    kinds = ("classification", "multilabel")
    ignores = frozenset(Recipe.model_fields) - OF_SAMPLES
    seconds_per_sample = 0.002

    class Config(MethodConfig):
        """Options of logistic regression."""

        penalties: tuple[Annotated[float, Field(gt=0)], ...] = Field(
            tuple(10.0**power for power in range(-2, 6)),
            strict=False,
            min_length=1,
            description="to choose from on validation",
        )
        chosen_on: int = Field(10_000, ge=2, description="most samples of the choice")
        iterations: int = Field(1_000, ge=1, description="most iterations of L-BFGS for one map")

    def model(self, context: Context) -> nn.Module:
        """Fit on the training split and return the fitted model.

        Raises:
            RequestError: the samples do not fit into memory.
        """
        data, config = context.data, self.config
        fitting = Fitting(data=data, scaled=Scaled(data).to(context.device), device=context.device)
        inputs, outputs = fitting.sizes
        count = len(data.train)
        # float32 as they are read, float64 as they are fitted to, and what the solver copies.
        needed = 20 * count * inputs + 4 * len(data.val) * inputs + 12 * count * outputs
        fitting.check_memory(needed, f"method '{self.name}'")
        multinomial = data.task.kind == "classification"
        solver = _Solver(multinomial, config.iterations)
        x, y = _arrays(fitting, config.chosen_on)
        asked = fitting.val_rows()[0]
        score = fitting.scorer(lambda logits, inputs: logits)
        best: tuple[float, LinearLogits] | None = None
        # The strongest first: each starts from the one before.
        for penalty in sorted(set(config.penalties), reverse=True):
            tried = LinearLogits(fitting.scaled, **solver.fit(x, y, penalty)).to(context.device)
            value = score(tried.logits(asked.double()))
            if best is None or value < best[0]:
                best = value, tried
        assert best is not None  # there is at least one penalty
        _, chosen = best
        if count > config.chosen_on:
            x, y = _arrays(fitting, None)
            solver = _Solver(multinomial, config.iterations)
            chosen = LinearLogits(fitting.scaled, **solver.fit(x, y, chosen.measured["penalty"]))
        return chosen

    def stages(self, context: Context) -> list[Stage]:
        """Return no stage: the model is fitted as soon as it is made."""
        return []


class LinearLogits(nn.Module):
    """Logits that are a linear map of standardised inputs.

    Attributes:
        measured: The penalty, whether the fit has converged, and in how many iterations.
    """

    coefficients: nn.Parameter
    intercept: nn.Parameter
    known: Tensor

    def __init__(
        self,
        scaled: Scaled,
        coefficients: Float[Array, "m d"],
        intercept: Float[Array, " m"],
        known: Bool[npt.NDArray[np.bool_], " m"],
        measured: dict[str, float],
    ) -> None:
        """Create; classes that are not `known`, as no sample was of them, come last."""
        super().__init__()
        self.scaled, self.measured = scaled, measured
        self.coefficients, self.intercept = (
            nn.Parameter(torch.from_numpy(value), requires_grad=False)
            for value in (coefficients, intercept)
        )
        self.register_buffer("known", torch.from_numpy(known))

    def forward(self, inputs: Tensor) -> Tensor:
        """Predict logits `[n, m]`."""
        return self.logits(self.scaled.inputs(inputs))

    def logits(self, rows: Float[Tensor, "n d"]) -> Float[Tensor, "n m"]:
        """Return the logits of standardised rows."""
        logits = rows @ self.coefficients.T + self.intercept
        least = logits[:, self.known].amin(dim=1, keepdim=True)
        return torch.where(self.known, logits, least - 1).float()


class _Solver:
    """Maps for one penalty after the other, by scikit-learn."""

    def __init__(self, multinomial: bool, iterations: int) -> None:
        self._multinomial, self._iterations = multinomial, iterations
        self._models: dict[int, Any] = {}

    def fit(self, x: Array, y: Array, penalty: float) -> dict[str, Any]:
        """Return what `LinearLogits` is made of.

        Args:
            x: Inputs `[n, d]`.
            y: Classes as `[n, m]` with a single one in each row, or labels of 0 and 1.
            penalty: Of the squares of the weights.
        """
        count, outputs = y.shape
        coefficients, intercept = np.zeros((outputs, x.shape[1])), np.zeros(outputs)
        known, used = np.ones(outputs, dtype=bool), [0]
        if self._multinomial:
            labels = y.argmax(axis=1)
            classes = np.unique(labels)
            known = np.isin(np.arange(outputs), classes)
            if len(classes) > 1:
                model = self._fitted(0, x, labels, penalty)
                # Two classes have one map: that of the second against the first.
                places = classes[1:] if len(classes) == 2 else classes
                coefficients[places], intercept[places] = model.coef_, model.intercept_
                used.append(int(model.n_iter_.max()))
        else:
            for label, column in enumerate(y.T > 0.5):
                if 0 < column.sum() < count:
                    model = self._fitted(label, x, column, penalty)
                    coefficients[label], intercept[label] = model.coef_[0], model.intercept_[0]
                    used.append(int(model.n_iter_.max()))
                else:
                    # All samples have it or none: the odds with half a sample more of each.
                    intercept[label] = math.log((column.sum() + 0.5) / (count - column.sum() + 0.5))
        most = max(used)
        return {
            "coefficients": coefficients,
            "intercept": intercept,
            "known": known,
            "measured": {
                "penalty": penalty,
                "iterations": most,
                "converged": most < self._iterations,
            },
        }

    def _fitted(self, place: int, x: Array, labels: Any, penalty: float) -> Any:
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.linear_model import LogisticRegression

        model = self._models.setdefault(
            place, LogisticRegression(max_iter=self._iterations, warm_start=True)
        )
        model.set_params(C=1 / penalty)
        with warnings.catch_warnings():
            # It is written down instead.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(x, labels)
        # Logits and their gradient, once for each iteration; what a search along a line looks at
        # beside that is not known.
        looks = int(model.n_iter_.max()) + 1
        flops.add(4 * x.size * len(model.coef_) * looks)
        return model


def _arrays(fitting: Fitting, most: int | None) -> tuple[Array, Array]:
    x, y = (part.cpu().double().numpy() for part in fitting.train_rows(most))
    return x, y
