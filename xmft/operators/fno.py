"""The Fourier neural operator of the package neuraloperator."""

from __future__ import annotations

import importlib.util
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from xmft.errors import RequestError
from xmft.padding import cut, pad_to_multiple

# Channels of the projection's hidden layer, as in PDEBench.
_PROJECTION = 128


def check_installed() -> None:
    """Make sure that neuraloperator can be imported, without importing it.

    Raises:
        RequestError: it is not installed.
    """
    if importlib.util.find_spec("neuralop") is None:
        raise RequestError(
            "Method 'fno' is the Fourier neural operator of the package neuraloperator, which is "
            "not installed. Install it with: pip install 'xmft[operators]'"
        )


class FourierOperator(nn.Module):
    """Fourier neural operator (Li et al., 2021) that sees the coordinates of its grid.

    Coordinates in [0, 1) of each axis are appended to the input channels. Axes with an odd number
    of points get one more, a copy of their last, that is cut off afterwards: neuraloperator 2.0
    puts the spectrum of an odd axis back one mode beside where it was.
    """

    coordinates: Tensor

    def __init__(
        self,
        channels: tuple[int, int],
        grid: tuple[int, ...],
        *,
        modes: int,
        width: int,
        layers: int,
    ) -> None:
        """Build.

        Args:
            channels: Channels of inputs and outputs.
            grid: Points per axis, one or two axes.
            modes: Frequencies kept per axis and sign; all, where the grid has fewer.
            width: Channels of the hidden fields.
            layers: Fourier layers.

        Raises:
            RequestError: neuraloperator is not installed.
        """
        super().__init__()
        even = [length + length % 2 for length in grid]
        self.network: nn.Module = _fno()(
            n_modes=tuple(min(2 * modes, length) for length in even),
            in_channels=channels[0] + len(grid),
            out_channels=channels[1],
            hidden_channels=width,
            n_layers=layers,
            projection_channel_ratio=_PROJECTION / width,
            positional_embedding=None,
        )
        # The package adds its own arguments, which are no tensors, to the state.
        self.register_state_dict_post_hook(_drop_arguments)
        axes = [torch.arange(length) / length for length in even]
        self.register_buffer(
            "coordinates", torch.stack(torch.meshgrid(*axes, indexing="ij")), persistent=False
        )

    def forward(self, fields: Tensor) -> Tensor:
        """Return `[n, channels, *grid]`, in float32 also under autocast."""
        # Fourier transforms know no bfloat16.
        with torch.autocast(fields.device.type, enabled=False):
            padded = pad_to_multiple(fields.float(), 2)
            places = self.coordinates.expand(len(fields), *self.coordinates.shape)
            output: Tensor = self.network(torch.cat([padded, places], dim=1))
        return cut(output, fields.shape[2:])


def _fno() -> Any:
    check_installed()
    # The package changes the warnings filters of whoever imports it.
    with warnings.catch_warnings():
        from neuralop.models import FNO
    return FNO


def _drop_arguments(_: nn.Module, state: dict[str, Any], prefix: str, __: Any) -> None:
    state.pop("_metadata", None)
