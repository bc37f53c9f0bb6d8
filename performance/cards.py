"""What graphics cards can do at most, and how long they take."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import torch

# TFLOP/s of dense bfloat16 products, by the maker's data sheets.
_PEAKS = {
    r"A100\b": 312,
    r"H100 80GB HBM3$": 989,
    r"H100 PCIe$": 756,
    r"H200$": 989,
    r"L4$": 121,
    r"L40S$": 362,
    r"RTX 4090$": 165,
}


def peak_tflops(card: str) -> int | None:
    """Return the dense bf16 peak of a card by the name it gives itself; None: not known."""
    return next((peak for name, peak in _PEAKS.items() if re.search(name, card)), None)


def seconds_of(work: Callable[[int], object], times: int, device: torch.device) -> float:
    """Return the seconds that `work` takes `times` times, until the device is done."""
    _wait(device)
    start = time.perf_counter()
    for number in range(times):
        work(number)
    _wait(device)
    return time.perf_counter() - start


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
