"""The labelled source features as a set of Gaussians."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from xmft.alignment.wasserstein import Points


class SourceClasses(Points):
    """The labelled source features, prepared once for many distances to them.

    Each class is a Gaussian whose covariance is shrunk towards a multiple of the identity by the
    rule of Ledoit and Wolf (2004), because classes have fewer samples than dimensions. The
    covariance is kept as its factor, `D_c^T D_c + ridge_c I`: no `d x d` matrix is ever needed.
    A class with one sample has zero covariance.

    Attributes:
        features: `[n, d]`, sorted by class and moved by `-center`.
        labels: `[n]`, contiguous class numbers of the rows of `features`.
        means: Class means `[c, d]`, moved like `features`.
        deviations: `[n, d]`; the rows of class c are the factor D_c.
        ridge: `[c]`, the part of each covariance along the identity.
        traces: `[c]`, traces of the covariances.
        counts: Samples of each class.
        shares: Share of each class `[c]`.
    """

    def __init__(self, features: Float[Tensor, "n d"], labels: Int64[Tensor, " n"]) -> None:
        """Prepare source features `[n, d]` with labels `[n]`; any integers will do as labels.

        Raises:
            ValueError: the shapes do not fit, or there is no sample.
        """
        check_labels(features, labels)
        _, labels = labels.to(features.device).unique(return_inverse=True)
        self.labels, order = labels.sort(stable=True)
        super().__init__(features.detach()[order])
        self.counts: list[int] = torch.bincount(self.labels).tolist()
        self.shares = self.features.new_tensor(self.counts) / len(self.labels)
        groups = self.features.split(self.counts)
        self.means = torch.stack([group.mean(0) for group in groups])
        deviations, ridge = [], []
        for group, mean in zip(groups, self.means, strict=True):
            factor, level = _shrunk_factor(group - mean)
            deviations.append(factor)
            ridge.append(level)
        self.deviations = torch.cat(deviations)
        self.ridge = self.features.new_tensor(ridge)
        spread = torch.stack([d.square().sum() for d in self.deviations.split(self.counts)])
        self.traces = spread + self.features.shape[1] * self.ridge


def check_labels(features: Tensor, labels: Tensor) -> None:
    """Make sure that these are features `[n, d]` and labels `[n]` of at least one sample.

    Raises:
        ValueError: they are not.
    """
    if features.ndim != 2 or labels.shape != features.shape[:1] or len(features) == 0:
        raise ValueError(
            "Expected features [n, d] and labels [n] with n > 0, found "
            f"{tuple(features.shape)} and {tuple(labels.shape)}."
        )


def _shrunk_factor(deviations: Float[Tensor, "n d"]) -> tuple[Float[Tensor, "n d"], float]:
    """Return (D, r) with shrunk covariance D^T D + r I, for samples minus their mean."""
    # Imported here: scikit-learn takes seconds, and plans need nothing of it.
    from sklearn.covariance import ledoit_wolf_shrinkage

    n, d = deviations.shape
    if n < 2:
        return torch.zeros_like(deviations), 0.0
    array = deviations.cpu().double().numpy()
    shrinkage = float(ledoit_wolf_shrinkage(array, assume_centered=True))
    level = float(np.square(array).sum()) / (n - 1) / d
    return deviations * ((1 - shrinkage) / (n - 1)) ** 0.5, shrinkage * level
