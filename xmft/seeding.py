"""Random streams that depend on what they are for, not on what ran before."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager

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


@contextmanager
def aside(*parts: object) -> Iterator[None]:
    """Draw from numbers of torch of their own, on the CPU; the others go on as if nothing were.

    What an option adds to a model is drawn like this, so that all else starts as without it. The
    numbers follow from `parts` and the seed that was set last.
    """
    with torch.random.fork_rng(devices=[]):
        # The generator of the CPU alone: torch.manual_seed would set those of GPUs as well.
        torch.default_generator.manual_seed(derive_seed(*parts, torch.initial_seed()))
        yield


class GeneratorStates:
    """Where torch's random generators stand, to draw the same once more."""

    def __init__(self, device: torch.device) -> None:
        """Look at those of the CPU and of `device`."""
        self._device = device
        self._state = torch.get_rng_state()
        self._on_device = torch.cuda.get_rng_state(device) if device.type == "cuda" else None

    @contextmanager
    def again(self) -> Iterator[None]:
        """Go back there, and forward to where they stand now behind."""
        devices = [] if self._on_device is None else [self._device]
        with torch.random.fork_rng(devices=devices):
            torch.set_rng_state(self._state)
            if self._on_device is not None:
                torch.cuda.set_rng_state(self._on_device, self._device)
            yield
