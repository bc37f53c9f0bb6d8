"""What the tasks of PDEBench are scored by.

One field is ranked by its relative L2 error. The compressible equations have fields of unlike size,
and over all of them at once the error is that of the pressure: the velocity is some 1e-4 of the
norm. There every channel weighs the same, as in PDEBench's own definition, and the relative error
of each one is stored beside the mean.
"""

from __future__ import annotations

from typing import Any

from benchmarks.pdebench.problem import Problem
from xmft.task import Protocol

_WHOLE, _BY_CHANNEL = "nrmse", "nrmse_pdebench"
_OTHERS = ("rmse", "max_error", "crmse", "brmse", "frmse_low", "frmse_mid", "frmse_high")


def scores_of(problem: Problem, protocol: Protocol) -> tuple[str, tuple[str, ...]]:
    """Return the loss of a task and its metrics, the one that ranks first.

    Args:
        problem: The equation.
        protocol: `released` has what the public code has, all channels at once.
    """
    if protocol == "released" or not problem.unlike:
        return problem.loss, (_WHOLE, _BY_CHANNEL, *_OTHERS)
    channels = tuple(f"{_WHOLE}_channel_{place}" for place in range(len(problem.channels)))
    return _BY_CHANNEL, (_BY_CHANNEL, _WHOLE, *channels, *_OTHERS)


def learned(problem: Problem, protocol: Protocol) -> dict[str, Any]:
    """Return what a task says of its learning under a protocol, by the names of `Task`.

    Fields that are scaled point by point have no symmetries.
    """
    loss, metrics = scores_of(problem, protocol)
    released = protocol == "released" and problem.released_version is not None
    return {
        "version": problem.released_version if released else problem.version,
        "loss": loss,
        "metrics": metrics,
        "symmetries": problem.symmetries if problem.pairs(protocol).scaling == "none" else None,
    }
