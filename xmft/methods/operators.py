"""Neural operators trained from nothing: what a task takes without a pretrained model."""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal

from pydantic import Field
from torch import nn

from xmft.methods.method import Context, Method, MethodConfig, fitting_stage, register
from xmft.model import OperatorModel, periodic_axes, shapes_seen
from xmft.operators import fno
from xmft.operators.unet import UNet
from xmft.recipe import OF_ENCODERS
from xmft.stages import Stage


class Operator(Method):
    """A network built for the task's grid and fitted like the target model of every method."""

    uses_backbone = False
    kinds = ("dense",)
    ignores = OF_ENCODERS

    @abstractmethod
    def operator(
        self, channels: tuple[int, int], grid: tuple[int, ...], periodic: tuple[int, ...]
    ) -> nn.Module:
        """Return the network.

        Args:
            channels: Of inputs and outputs.
            grid: Points on each axis.
            periodic: Axes on which fields go on from their other end.
        """

    def model(self, context: Context) -> nn.Module:
        """Return the network between standardised inputs and outputs."""
        inputs, targets = shapes_seen(context.data, context.recipe)
        periodic = periodic_axes(context.data)
        operator = self.operator((inputs[0], targets[0]), inputs[1:], periodic)
        return OperatorModel(operator, context.data, context.recipe)

    def stages(self, context: Context) -> list[Stage]:
        """Return target fitting of the whole network."""
        return [fitting_stage(context, trains=("operator",))]


@register
class FNO(Operator):
    """Fourier neural operator with the sizes that PDEBench gives it."""

    name = "fno"
    version = 2
    title = "neural operator in Fourier space (FNO) from random weights, for dense tasks"
    # The code of neuraloperator cannot be compiled as a whole.
    ignores = Operator.ignores | {"compile"}

    class Config(MethodConfig):
        """Options of the FNO; PDEBench trains 16 modes and width 64 on diffusion-sorption."""

        modes: int = Field(12, ge=1, description="frequencies kept per axis and sign")
        width: int = Field(20, ge=2, description="channels of the hidden fields")
        depth: int = Field(4, ge=1, description="Fourier layers")

    @classmethod
    def check_installed(cls) -> None:
        """Look for neuraloperator."""
        fno.check_installed()

    def operator(
        self, channels: tuple[int, int], grid: tuple[int, ...], periodic: tuple[int, ...]
    ) -> nn.Module:
        """Return the operator."""
        config = self.config
        return fno.FourierOperator(
            channels, grid, modes=config.modes, width=config.width, layers=config.depth
        )


@register
class UNetMethod(Operator):
    """U-Net with the sizes that PDEBench gives it; normalises groups, not batches.

    Since version 3 with a path past the norm.
    """

    name = "unet"
    version = 3
    title = "convolutional U-Net from random weights, for dense tasks"

    class Config(MethodConfig):
        """Options of the U-Net."""

        features: int = Field(32, ge=1, description="features on the finest level")
        levels: int = Field(4, ge=0, description="how often the grid is halved, at most")
        padding: Literal["zeros", "periodic", "circular"] = Field(
            "zeros",
            description="what convolutions see beyond the edges: zeros, what comes round on axes "
            "that are periodic in the equation (after they are lengthened, if they do not halve "
            "evenly), or that on all axes, whatever they are",
        )

    def operator(
        self, channels: tuple[int, int], grid: tuple[int, ...], periodic: tuple[int, ...]
    ) -> nn.Module:
        """Return the U-Net."""
        config = self.config
        around = {"zeros": (), "periodic": periodic, "circular": range(len(grid))}
        return UNet(
            channels,
            grid,
            features=config.features,
            levels=config.levels,
            periodic=around[config.padding],
        )
