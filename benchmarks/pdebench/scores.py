"""What the tasks of PDEBench are scored by.

One field is ranked by its relative L2 error. The compressible equations have fields of unlike size,
and over all of them at once the error is that of the pressure: the velocity is some 1e-4 of the
norm. There every channel weighs the same, as in PDEBench's own definition, and the relative error
of each one is stored beside the mean.
"""

from __future__ import annotations

from benchmarks.pdebench.problem import Problem
from benchmarks.pdebench.tasks import PROBLEMS
from xmft.metrics import METRICS, channel_metric
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
    return _BY_CHANNEL, (_BY_CHANNEL, _WHOLE, *map(_metric_of, problem.channels), *_OTHERS)


def _metric_of(channel: str) -> str:
    return f"{_WHOLE}_{channel.replace(' ', '_')}"


for _problem in PROBLEMS:
    for _place, _channel in enumerate(_problem.channels if _problem.unlike else ()):
        # Fields of one name stand in the same place of both equations.
        if _metric_of(_channel) not in METRICS:
            METRICS.add(_metric_of(_channel), channel_metric(_metric_of(_channel), _place))
