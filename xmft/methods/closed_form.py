"""Closed forms: what a task takes without any network, in seconds of one core.

What does not beat them has learned less than a linear map, or than a smooth one. Both are
deterministic: a seed decides nothing but which samples there are (`Recipe.train_samples`).
"""

from __future__ import annotations

from pydantic import Field
from torch import nn

from xmft.closed_forms.fitting import PENALTIES, WIDTHS, Setting, fit_closed_form
from xmft.methods.method import Context, Method, MethodConfig, register
from xmft.recipe import OF_SAMPLES, Recipe
from xmft.stages import Stage


class ClosedForm(Method):
    """Penalised least squares from standardised inputs to standardised outputs.

    Classes are one-hot targets. Targets of weight 0 count as the training mean, of logits as 0.
    """

    uses_backbone = False
    ignores = frozenset(Recipe.model_fields) - OF_SAMPLES - {"canonical"}

    class Config(MethodConfig):
        """Options of the closed forms."""

        penalties: tuple[float, ...] = Field(
            PENALTIES,
            strict=False,
            min_length=1,
            description="to choose from on validation, relative to the mean of k(x, x)",
        )
        exact: int = Field(10_000, ge=2, description="most samples in one system of equations")
        landmarks: int = Field(
            2_000, ge=2, description="samples of the choice, and of the map beyond `exact`"
        )

    def widths(self) -> tuple[float, ...]:
        """Return the widths to choose from; none: the map is linear."""
        return ()

    def model(self, context: Context) -> nn.Module:
        """Fit on the training split and return the fitted model.

        Raises:
            RequestError: the samples do not fit into memory.
        """
        config = self.config
        setting = Setting(
            penalties=config.penalties,
            widths=self.widths(),
            exact=config.exact,
            landmarks=config.landmarks,
        )
        called = f"method '{self.name}'"
        return fit_closed_form(context.data, context.recipe, setting, context.device, called=called)

    def stages(self, context: Context) -> list[Stage]:
        """Return no stage: the model is fitted as soon as it is made."""
        return []


@register
class Ridge(ClosedForm):
    """Ridge regression: the best linear map, with the penalty that validation prefers."""

    name = "ridge"
    version = 1
    title = "linear map in closed form (ridge regression), penalty chosen on validation"


@register
class KernelRidge(ClosedForm):
    """Kernel ridge regression with a Gaussian kernel, width and penalty chosen on validation."""

    name = "kernel"
    version = 1
    title = "kernel ridge regression with a Gaussian, width and penalty chosen on validation"

    class Config(ClosedForm.Config):
        """Options of kernel ridge regression."""

        widths: tuple[float, ...] = Field(
            WIDTHS,
            strict=False,
            min_length=1,
            description="to choose from on validation, relative to the median distance of samples",
        )

    def widths(self) -> tuple[float, ...]:
        """Return the widths of the options."""
        widths: tuple[float, ...] = self.config.widths
        return widths
