"""What methods train: embedder, pretrained encoder and head, or an operator on its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from xmft.adapters import add_adapters
from xmft.arrays import Indices
from xmft.backbones import Backbone
from xmft.canonical import canonical_of
from xmft.errors import DataError, RequestError
from xmft.heads import ClassHead, CorrectedHead, check_residual
from xmft.metrics import LOSSES
from xmft.moments import channel_mean_and_spread, moments_of, point_mean_and_channel_spread
from xmft.samples import shapes_of
from xmft.seeding import aside
from xmft.symmetries import check_shapes
from xmft.task import Recipe, TaskData

if TYPE_CHECKING:
    from xmft.closed_forms.residual import ClosedFormBase


class StandardisedModel(nn.Module):
    """A network between standardised inputs and outputs, in physical units on both ends.

    Inputs are standardised per channel and dense outputs are the training mean (per point) plus
    a multiple of the training spread (per channel), with statistics of the whole training split.
    Logits stay as they are. On a closed form (`stand_on`) dense outputs are its predictions plus a
    multiple of what it leaves. Where the recipe wants samples in their canonical form, the network
    and the statistics see them there, and nobody outside does.

    Attributes:
        canonical: The form of samples that the network sees; None: they are seen as they are.
        closed_form: What the network learns the residual of; None: the training mean.
        sees_base: Whether the network reads what the closed form says, as channels of its input.
    """

    input_mean: Tensor
    input_spread: Tensor
    output_offset: Tensor
    output_scale: Tensor
    base_scale: Tensor

    def __init__(self, data: TaskData, recipe: Recipe | None = None) -> None:
        """Take the statistics.

        Args:
            data: The task's splits.
            recipe: Says whether the network reads its base, and samples in their canonical form;
                None: neither.

        Raises:
            DataError: dense targets lie on another grid than the inputs.
        """
        super().__init__()
        self.closed_form: ClosedFormBase | None = None
        self.sees_base = recipe is not None and recipe.sees_base
        self.canonical = canonical_of(data, recipe)
        inputs, targets = shapes_of(data)
        fields = data.task.kind == "dense"
        if fields and targets[1:] != inputs[1:]:
            raise DataError(
                f"{data.task.name}: targets lie on a grid of {targets[1:]} points, inputs on "
                f"{inputs[1:]}; a model needs the same grid."
            )
        of_inputs, of_targets = moments_of(data, self.canonical)
        mean, spread = channel_mean_and_spread(of_inputs)
        if fields and not LOSSES[data.task.loss].logits:
            windows = data.train.windows
            if windows is not None and windows.random:
                # A point of a window that may lie anywhere is no place of its own.
                offset, scale = channel_mean_and_spread(of_targets)
            else:
                offset, scale = point_mean_and_channel_spread(of_targets)
        else:
            offset, scale = torch.zeros(1), torch.ones(1)
        for name, value in {
            "input_mean": mean,
            "input_spread": spread,
            "output_offset": offset,
            "output_scale": scale,
        }.items():
            self.register_buffer(name, value)
        if self.sees_base:
            # On a base the scale of the outputs becomes that of what it leaves.
            self.register_buffer("base_scale", scale.clone())

    def standardised(self, inputs: Tensor) -> Tensor:
        """Bring inputs `[n, channels, *grid]` in physical units to mean 0 and spread 1."""
        return (self.in_form(inputs) - self.input_mean) / self.input_spread

    def in_form(self, inputs: Tensor) -> Tensor:
        """Return inputs in physical units as the network sees them, before they are scaled."""
        if self.canonical is None:
            return inputs
        return self.canonical.inputs(inputs, self.canonical.motion(inputs))

    def targets_in_form(self, targets: Tensor, inputs: Tensor) -> Tensor:
        """Return targets, or predictions, of `inputs` as the network would have to give them."""
        if self.canonical is None:
            return targets
        return self.canonical.targets(targets, self.canonical.motion(inputs))

    def seen(self, inputs: Tensor, base: Tensor | None = None) -> Tensor:
        """Return what the network reads: standardised inputs, and its base behind them if it does.

        Args:
            inputs: `[n, channels, *grid]` in physical units.
            base: Of these inputs, `[n, channels, *grid]`: in training `Batch.base`.

        Raises:
            RequestError: the network reads its base and was given nothing of it.
        """
        fields = self.standardised(inputs)
        if not self.sees_base:
            return fields
        if base is None or self.closed_form is None:
            raise RequestError(
                "The network reads its base, which the method leaves out where it embeds inputs: "
                "`embed(inputs, batch.base)` in training, `embed(inputs, model.base(inputs))` "
                "elsewhere. Mend that, or use `base_seen: false`."
            )
        base = self.targets_in_form(base, inputs)
        return torch.cat([fields, (base - self.output_offset) / self.base_scale], dim=1)

    def stand_on(self, closed_form: ClosedFormBase) -> None:
        """Learn what a closed form leaves from now on; it lies where the model does.

        It is no part of the model's state: fitted anew to the same data it is the same.
        """
        self.closed_form = closed_form
        self.output_scale.copy_(closed_form.spread)

    def base(self, inputs: Tensor) -> Tensor | None:
        """Return what the closed form says of new inputs, in physical units; None without one."""
        return None if self.closed_form is None else self.closed_form(inputs)

    def training_base(self, rows: Indices) -> Tensor | None:
        """Return the same for rows of the training split, of one that did not see them."""
        return None if self.closed_form is None else self.closed_form.of_training(rows)

    def physical(
        self, output: Tensor, base: Tensor | None = None, inputs: Tensor | None = None
    ) -> Tensor:
        """Bring what a network gives `[n, channels, *grid]` to physical units.

        Args:
            output: Of the network.
            base: What it is added to, `[n, channels, *grid]`: in training `Batch.base`; None: the
                training mean.
            inputs: What it was given, in physical units, which tell where predictions belong.

        Raises:
            RequestError: the model stands on a closed form, or sees samples in their canonical
                form, and was given nothing of it.
        """
        if (base is None and self.closed_form is not None) or (
            inputs is None and self.canonical is not None
        ):
            raise RequestError(
                "The method puts its model's parts together itself and leaves out the base, or the "
                "inputs: `physical(output, batch.base, batch.inputs)` in training, "
                "`physical(output, model.base(inputs), inputs)` elsewhere. Mend that, or use "
                "`base: mean` and `canonical: false`."
            )
        if inputs is None or self.canonical is None:
            return output * self.output_scale + (self.output_offset if base is None else base)
        motion = self.canonical.motion(inputs)
        offset = self.output_offset if base is None else self.canonical.targets(base, motion)
        return self.canonical.back(output * self.output_scale + offset, motion)

    def _apply(self, *arguments: Any, **options: Any) -> Any:
        super()._apply(*arguments, **options)
        if self.closed_form is not None:
            self.closed_form.to(self.output_scale.device)
        return self


class CrossModalModel(StandardisedModel):
    """embedder -> encoder -> head, in physical units on both ends.

    Attributes:
        embedder: The target embedder (phi).
        encoder: The pretrained body.
        head: The target predictor.
    """

    def __init__(self, backbone: Backbone, data: TaskData, recipe: Recipe) -> None:
        """Build.

        Raises:
            DataError: labels are not those of the task's classes.
            RequestError: the backbone cannot read inputs of this shape, or the recipe asks for
                what they or the backbone do not allow.
        """
        super().__init__(data, recipe)
        task, (inputs, targets) = data.task, shapes_seen(data, recipe)
        periodic = periodic_axes(data) if recipe.wraps else ()
        self.embedder = backbone.target_embedder(inputs, recipe, periodic=periodic)
        self.encoder = backbone.encoder
        self.head: nn.Module
        if task.kind == "dense":
            self.head = backbone.dense_head(self.embedder, targets, kind=recipe.dense_head)
            check_residual(task, recipe)
            if recipe.refine or recipe.residual:
                self.head = CorrectedHead(self.head, inputs, targets[0], recipe, periodic=periodic)
        else:
            data.check_labels()
            assert task.classes is not None  # the data have looked
            self.head = ClassHead(backbone.encoded_width, task.classes)
        if recipe.encoder == "lora":
            with aside("adapters"):
                add_adapters(self.encoder, recipe.lora_rank)

    def embed(self, inputs: Tensor, base: Tensor | None = None) -> Float[Tensor, "n tokens width"]:
        """Return the target token features phi(x) of inputs in physical units; see `seen`."""
        features: Tensor = self.embedder(self.seen(inputs, base))
        return features

    def forward(self, inputs: Tensor, base: Tensor | None = None) -> Tensor:
        """Predict fields in physical units, or logits; with a `base` other than that of inputs."""
        base = self.base(inputs) if base is None else base
        return self.decode(self.encoder(self.embed(inputs, base)), inputs, base)

    def decode(
        self, encoded: Float[Tensor, "n t width"], inputs: Tensor, base: Tensor | None = None
    ) -> Tensor:
        """Predict from encoded tokens of inputs, which are in physical units; see `physical`."""
        if not isinstance(self.head, CorrectedHead):
            return self.physical(self.head(encoded), base, inputs)
        frame = None
        if self.head.last is not None:
            # In units of the outputs, so that a head that writes nothing returns it as it is.
            frame = self.in_form(inputs)[:, -self.head.last :]
            frame = (frame - self.output_offset) / self.output_scale
        return self.physical(self.head(encoded, self.seen(inputs, base), frame), base, inputs)


class OperatorModel(StandardisedModel):
    """A network from fields to fields on the same grid, without a pretrained part.

    Attributes:
        operator: From what is `seen` of inputs to standardised outputs, `[n, channels, *grid]`.
    """

    def __init__(self, operator: nn.Module, data: TaskData, recipe: Recipe | None = None) -> None:
        super().__init__(data, recipe)
        self.operator = operator

    def forward(self, inputs: Tensor, base: Tensor | None = None) -> Tensor:
        """Predict fields in physical units; with a `base` other than that of inputs."""
        base = self.base(inputs) if base is None else base
        return self.physical(self.operator(self.seen(inputs, base)), base, inputs)


def shapes_seen(data: TaskData, recipe: Recipe) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the shapes of what a network reads of a sample, and of what it writes."""
    inputs, targets = shapes_of(data)
    if recipe.sees_base:
        inputs = (inputs[0] + targets[0], *inputs[1:])
    return inputs, targets


def periodic_axes(data: TaskData) -> tuple[int, ...]:
    """Return the axes on which samples go on from their other end; of windows there are none.

    Raises:
        DataError: the task names axes that its samples do not have.
    """
    known = data.task.symmetries
    if known is None or any(split.windows is not None for split in data.splits.values()):
        return ()
    check_shapes(data.task.name, known, *shapes_of(data))
    return known.periodic
