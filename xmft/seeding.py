"""Random streams that depend on what they are for, not on what ran before."""

from __future__ import annotations

import hashlib
import random

import numpy as np
import torch


def derive_seed(*parts: object) -> int:
    """Return a 63-bit seed from names and numbers; equal parts give equal seeds everywhere."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def seed_everything(*parts: object) -> None:
    """Seed Python, NumPy and torch from `parts`.

    The loop calls this at the start of every epoch, so a resumed run needs no saved generator
    state to draw what an uninterrupted one would have drawn.
    """
    seed = derive_seed(*parts)
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def generator(*parts: object) -> np.random.Generator:
    """Return an independent NumPy generator for `parts`."""
    return np.random.default_rng(derive_seed(*parts))
