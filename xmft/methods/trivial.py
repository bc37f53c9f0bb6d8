"""Predictions that cost nothing; what does not beat them has learned nothing."""

from __future__ import annotations

from torch import Tensor, nn

from xmft.errors import DataError
from xmft.methods.method import Context, Method, register
from xmft.moments import training_mean
from xmft.recipe import OF_SAMPLES, Recipe
from xmft.samples import shapes_of
from xmft.stages import Stage


class Trivial(Method):
    """No training: the same for every recipe that gives it the same samples."""

    uses_backbone = False
    kinds = ("dense",)
    ignores = frozenset(Recipe.model_fields) - OF_SAMPLES - {"precision"}

    def stages(self, context: Context) -> list[Stage]:
        """Return no stage."""
        return []


@register
class Identity(Trivial):
    """Predicts the input: how far the solution has moved from where it started."""

    name = "identity"
    version = 1
    title = "predicts the input, for dense tasks; nothing is trained"
    ignores = Trivial.ignores | {"train_samples"}

    def model(self, context: Context) -> nn.Module:
        """Return the identity.

        Raises:
            DataError: inputs and targets differ in shape.
        """
        data = context.data
        inputs, targets = shapes_of(data)
        if inputs != targets:
            raise DataError(
                f"{data.task.name}: inputs have the shape {inputs}, targets {targets}; the input "
                "can be no prediction. Leave out the method 'identity' for this task."
            )
        return nn.Identity()


@register
class Mean(Trivial):
    """Predicts the mean of the training targets at each point."""

    name = "mean"
    version = 1
    title = "predicts the training mean at each point, for dense tasks"

    def model(self, context: Context) -> nn.Module:
        """Return the mean as a module."""
        return _Constant(training_mean(context.data))


class _Constant(nn.Module):
    """The same fields `[channels, *grid]` for every sample."""

    value: Tensor

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.register_buffer("value", value)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return one copy per sample, `[n, channels, *grid]`."""
        return self.value.expand(len(inputs), *self.value.shape)
