"""Time of one alignment step: exact transport against entropic transport of the published code.

    python -m performance.alignment [--runs 7] [--threads 1]

A step is the distance between 5000 source and 132 target samples of 768 channels, forward and
backward to the target. The entropic side is the debiased divergence of the reference settings
(cost |x - y|^2 / 2, eps = 0.1 absolute, 100 iterations) by POT's solver on torch tensors; at this
eps it has not converged by then. It is given every advantage that keeps its value: the term
source-source, which has no gradient, is left out, and gradients come from the envelope theorem,
not through the iterations.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
import warnings
from collections.abc import Callable

import ot
import torch
from torch import Tensor

from xmft.alignment.otdd import SourceClasses, otdd
from xmft.alignment.wasserstein import wasserstein

_SOURCE, _TARGET, _CHANNELS, _CLASSES = 5000, 132, 768, 10
_EPS, _ITERATIONS = 0.1, 100


def entropic(x: Tensor, y: Tensor) -> Tensor:
    """Return the debiased entropic cost up to the constant source term."""
    return _sinkhorn(x, y) - _sinkhorn(y, y) / 2


def _sinkhorn(x: Tensor, y: Tensor) -> Tensor:
    cost = (x.square().sum(1)[:, None] + y.square().sum(1) - 2 * x @ y.T) / 2
    solved = ot.solve(
        cost, reg=_EPS, reg_type="entropy", max_iter=_ITERATIONS, tol=0, grad="envelope"
    )
    return solved.value


def entropic_by_class(x: Tensor, y: Tensor, labels: Tensor) -> Tensor:
    """Return the sum over target classes; the label term of the reference has no gradient."""
    parts = [y[labels == k] for k in range(_CLASSES)]
    return torch.stack([len(part) / len(y) * entropic(x, part) for part in parts]).sum()


def median_seconds(step: Callable[[Tensor], Tensor], target: Tensor, runs: int) -> float:
    """Return the median wall time of `step` with its backward, after one step to warm up."""
    times = []
    for _ in range(runs + 1):
        features = target.clone().requires_grad_()
        start = time.perf_counter()
        step(features).backward()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def main() -> None:
    """Print the medians and their ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.filterwarnings("ignore", message="Sinkhorn did not converge")
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(_SOURCE, _CHANNELS, generator=generator)
    y = torch.randn(_TARGET, _CHANNELS, generator=generator) + 0.1
    labels = torch.arange(_TARGET) % _CLASSES
    start = time.perf_counter()
    source = SourceClasses(x, torch.arange(_SOURCE) % _CLASSES)
    prepared = time.perf_counter() - start

    print(
        f"{platform.machine()}, {os.cpu_count()} cores, {options.threads} thread(s), "
        f"torch {torch.__version__}, POT {ot.__version__}, median of {options.runs} runs"
    )
    print(f"source classes prepared once in {prepared:.3f} s")
    pairs: list[tuple[str, Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = [
        ("W2, one class", lambda f: wasserstein(x, f), lambda f: entropic(x, f)),
        (
            "dataset distance, 10 classes",
            lambda f: otdd(source, f, labels),
            lambda f: entropic_by_class(x, f, labels),
        ),
    ]
    for name, ours, theirs in pairs:
        exact = median_seconds(ours, y, options.runs)
        regularised = median_seconds(theirs, y, options.runs)
        print(
            f"{name}: exact {exact:.3f} s, entropic {regularised:.3f} s, "
            f"ratio {regularised / exact:.1f}"
        )


if __name__ == "__main__":
    main()
