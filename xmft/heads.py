"""Target predictors on top of the encoder's tokens."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from xmft.embedders import from_patches


class PatchHead(nn.Module):
    """Dense head: every token writes the patch it stands for, by one learned linear map.

    The published dense heads have no parameters (means over hidden units); this one starts near
    zero, so that the untrained model predicts the training mean.
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
