"""Alignment and uniformity of labelled features on the unit sphere."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from xmft.alignment.wasserstein import at_least_float32


def alignment(features: Float[Tensor, "n d"], labels: Int64[Tensor, " n"]) -> Float[Tensor, ""]:
    """Return the mean of |z_i - z_j|^2 over the pairs of different samples of one class.

    Args:
        features: Features of any length; z is their direction.
        labels: Class of each sample.

    Returns:
        A scalar in [0, 4]; 0 if no two samples are of one class.

    Source: L_align of Wang and Isola (ICML 2020), with the same class for a positive pair.
    """
    pairs = (labels[:, None] == labels) & _different(features)
    return (_squared_distances(features) * pairs).sum() / pairs.sum().clamp_min(1)


def uniformity(features: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """Return log of the mean of exp(-2 |z_i - z_j|^2) over all pairs of different samples.

    Args:
        features: Features of any length, at least two; z is their direction.

    Returns:
        A scalar in [-8, 0]; 0 if all have one direction.

    Source: L_uniform of Wang and Isola (ICML 2020).
    """
    n = len(features)
    exponents = -2 * _squared_distances(features)
    exponents = exponents.masked_fill(~_different(features), -torch.inf)
    return exponents.flatten().logsumexp(dim=0) - torch.log(exponents.new_tensor(n * (n - 1)))


def _squared_distances(features: Tensor) -> Tensor:
    z = torch.nn.functional.normalize(at_least_float32(features), dim=1)
    with torch.autocast(z.device.type, enabled=False):
        return 2 - 2 * z @ z.T


def _different(features: Tensor) -> Tensor:
    return ~torch.eye(len(features), dtype=torch.bool, device=features.device)
