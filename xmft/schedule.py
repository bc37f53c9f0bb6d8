"""Learning rate schedules."""

from __future__ import annotations

from collections.abc import Callable


def warmup_then_linear(warmup: float, steps: int) -> Callable[[int], float]:
    """Linear warm-up to the peak (the first step is not wasted on rate 0), then linear decay to 0.

    Args:
        warmup: Share of the steps that rise.
        steps: All steps.
    """
    rising = max(1, round(warmup * steps))

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        return max(0.0, (steps - step) / max(1, steps - rising))

    return factor


def in_three_parts(steps: int) -> Callable[[int], float]:
    """The peak for a third of the steps, then 1/5 and 1/25 of it, as in the published alignment.

    Args:
        steps: All steps.
    """

    def factor(step: int) -> float:
        return 0.2 ** min(3 * step // steps, 2)

    return factor


def constant(steps: int) -> Callable[[int], float]:
    """The peak at each of the steps."""

    def factor(step: int) -> float:
        return 1.0

    return factor
