"""Token features of source samples, batch by batch, for methods that mix or compare tokens."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from xmft.arrays import Indices
from xmft.backbones import Backbone
from xmft.source import SourceSamples
from xmft.stored import to_device


class SourceTokens:
    """What the frozen pretrained embedding makes of source samples, on one device.

    Embedding is a table look-up or one convolution, so tokens are made anew when they are needed
    instead of being kept: 5,000 samples would take 0.25 GB for minilm and 8 GB for swin-base. The
    samples themselves stay on the device, 15 MB for as many images of 32 x 32.

    Attributes:
        tokens: Length of the token sequence of a sample.
    """

    def __init__(self, backbone: Backbone, samples: SourceSamples, device: torch.device) -> None:
        """Move the pretrained embedding and the samples to `device`.

        Args:
            backbone: Where the samples are embedded; no part of what is trained.
            samples: The source.
            device: Where the tokens are wanted.
        """
        backbone.source_embedder.to(device)
        self._backbone = backbone
        self._inputs = samples.inputs.to(device)
        self._labels = samples.labels.to(device)
        self.tokens = self.take(np.zeros(1, dtype=np.int64))[0].shape[1]

    def __len__(self) -> int:
        return len(self._labels)

    def take(self, rows: Indices) -> tuple[Float[Tensor, "n t width"], Int[Tensor, " n"]]:
        """Return tokens, without gradient, and labels of the samples at `rows`."""
        chosen = to_device(rows, self._labels.device)
        with torch.no_grad():
            tokens = self._backbone.embed_source(self._inputs[chosen])
        return tokens, self._labels[chosen]
