"""The number format of the forward pass; weights, losses and metrics stay in float32."""

from __future__ import annotations

import torch

from xmft.task import Precision


def forward_pass(device: torch.device, precision: Precision) -> torch.autocast:
    """Return the context for a forward pass on `device`.

    In `bfloat16` matrix products are computed in half the digits; parameters, their gradients and
    the optimizer's state stay in float32, and so do operations that need the digits (norms,
    softmax, losses).
    """
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")
