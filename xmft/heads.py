"""Target predictors on top of the encoder's tokens."""

from __future__ import annotations

from collections.abc import Collection

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from xmft.convolutions import ResidualConvolution
from xmft.errors import RequestError
from xmft.metrics import LOSSES
from xmft.patches import from_patches
from xmft.recipe import Recipe
from xmft.seeding import aside
from xmft.task import Task


class PatchHead(nn.Module):
    """Dense head: every token writes the patch it stands for, by one learned linear map.

    It starts near zero, so that the untrained model predicts the training mean. How it does beside
    the published head is in docs/study-methods.md.
    """

    def __init__(self, width: int, side: int, shape: tuple[int, ...]) -> None:
        """Build for outputs of `shape` = `(channels, *grid)` cut into patches of `side`."""
        super().__init__()
        self.side = side
        self.shape = shape
        self.project = nn.Linear(width, shape[0] * side ** (len(shape) - 1))
        nn.init.trunc_normal_(self.project.weight, std=0.02)
        nn.init.zeros_(self.project.bias)

    def forward(self, tokens: Float[Tensor, "n tokens width"]) -> Tensor:
        """Return fields `[n, channels, *grid]`."""
        return from_patches(self.project(tokens), self.side, self.shape)


class UnitMeansHead(nn.Module):
    """Published dense head of text encoders: means over hidden units, no parameters.

    The hidden units of a token are cut into as many bins as its patch has values, and each value
    is the mean of a bin (adaptive average pooling over the hidden axis). ORCA (arXiv 2302.05738),
    on one axis; on two the values of a patch are in row-major order, as `to_patches` has them.
    """

    def __init__(self, side: int, shape: tuple[int, ...]) -> None:
        """Build for outputs of `shape` = `(channels, *grid)` cut into patches of `side`."""
        super().__init__()
        self.side = side
        self.shape = shape
        self.values = shape[0] * side ** (len(shape) - 1)

    def forward(self, tokens: Float[Tensor, "n tokens width"]) -> Tensor:
        """Return fields `[n, channels, *grid]`."""
        values = functional.adaptive_avg_pool1d(tokens, self.values)
        return from_patches(values, self.side, self.shape)


class ImageHead(nn.Module):
    """Dense head of vision encoders: tokens write the patches of an image, pooled to the grid.

    One learned linear map (a 1x1 convolution and a pixel shuffle), then adaptive average pooling.
    The published head draws the three channels of the decoder that the encoder is pretrained with
    and pools those too (ORCA, arXiv 2302.05738): one output is their mean, four are c0,
    (c0 + c1) / 2, (c1 + c2) / 2 and c2, fields in a space of three dimensions.
    """

    def __init__(
        self,
        width: int,
        side: int,
        image: tuple[int, int],
        shape: tuple[int, ...],
        *,
        channels: int | None = None,
    ) -> None:
        """Build.

        Args:
            width: Size of an encoded token.
            side: Side of the square of pixels that a token stands for.
            image: Height and width of the image.
            shape: Channels and grid of one output.
            channels: Channels of the image; None: those of the output.
        """
        super().__init__()
        self.shape = shape
        self.draw = PatchHead(width, side, (channels or shape[0], *image))

    def forward(self, tokens: Float[Tensor, "n tokens width"]) -> Tensor:
        """Return fields `[n, channels, height, width]`."""
        channels, height, width = self.shape
        fields = functional.adaptive_avg_pool2d(self.draw(tokens), (height, width))
        if fields.shape[1] == channels:
            return fields
        last = functional.adaptive_avg_pool1d(fields.flatten(2).transpose(1, 2), channels)
        return last.transpose(1, 2).unflatten(2, (height, width))


def check_residual(task: Task, recipe: Recipe) -> None:
    """Make sure that inputs of a task are something that a network can be added to.

    Raises:
        RequestError: the recipe adds it, and they are another quantity, or targets are logits.
    """
    if not recipe.residual or task.kind != "dense":
        return
    if LOSSES[task.loss].logits or not task.continues:
        what = "targets are logits" if LOSSES[task.loss].logits else "they are another quantity"
        raise RequestError(
            f"{task.name}: residual=true adds the network to the input, or to its last frame, but "
            f"{what}. Leave residual out for this task (per_task)."
        )


class CorrectedHead(nn.Module):
    """A dense head whose fields correct the input, or are themselves corrected on the whole grid.

    With `Recipe.residual` what the head writes is added to the input: channel by channel, or to
    the last frame of an input that holds several. With `Recipe.refine` a small convolution that
    sees the input mends what is decoded patch by patch.

    Attributes:
        head: From tokens to fields.
        last: Channels of the frame that is added to, the last ones of the input; None: to nothing.
        refine: The convolution, or None.
    """

    def __init__(
        self,
        head: nn.Module,
        inputs: tuple[int, ...],
        outputs: int,
        recipe: Recipe,
        *,
        periodic: Collection[int] = (),
    ) -> None:
        """Build.

        Args:
            head: From tokens to fields.
            inputs: Channels and grid of one input.
            outputs: Channels of one output.
            recipe: Says how.
            periodic: Axes on which what comes round is seen beyond the edges; else zeros.

        Raises:
            RequestError: the input holds no field that corresponds to the output.
        """
        super().__init__()
        channels, *grid = inputs
        if recipe.residual and channels % outputs:
            raise RequestError(
                f"residual=true adds the network to the input, but inputs have {channels} channels "
                f"and targets {outputs}: there is no frame of the targets' channels in them. Leave "
                "residual out for this task (per_task)."
            )
        self.head = head
        self.last = outputs if recipe.residual else None
        self.refine: ResidualConvolution | None = None
        if recipe.refine:
            with aside("refine"):
                self.refine = ResidualConvolution(
                    outputs, len(grid), beside=channels, periodic=periodic
                )

    def forward(
        self,
        tokens: Float[Tensor, "n tokens width"],
        inputs: Tensor,
        frame: Tensor | None = None,
    ) -> Tensor:
        """Return fields `[n, channels, *grid]` in units of the outputs.

        Args:
            tokens: Encoded.
            inputs: Standardised, `[n, channels, *grid]`.
            frame: The frame that fields are added to, in units of the outputs; None: to nothing.
        """
        fields: Tensor = self.head(tokens)
        if frame is not None:
            fields = fields + frame
        return fields if self.refine is None else self.refine(fields, inputs)


class ClassHead(nn.Module):
    """Mean over tokens, then a linear classifier."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        self.project = nn.Linear(width, classes)
        nn.init.trunc_normal_(self.project.weight, std=0.02)
        nn.init.zeros_(self.project.bias)

    def forward(self, tokens: Float[Tensor, "n tokens width"]) -> Float[Tensor, "n classes"]:
        """Return logits."""
        logits: Tensor = self.project(tokens.mean(dim=1))
        return logits
