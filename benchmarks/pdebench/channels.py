"""What the channels of the tasks with several fields are called."""

from __future__ import annotations

_FLOW = ("density", "pressure", "velocity x")
_CHANNELS = {
    "pdebench/compressible_ns_1d": _FLOW,
    "pdebench/compressible_ns_2d": (*_FLOW, "velocity y"),
    "pdebench/diffusion_reaction_2d": ("activator u", "inhibitor v"),
}


def channel_names(task: str) -> tuple[str, ...]:
    """Return the names of a task's channels in their order; empty where there is but one.

    Args:
        task: Name of the task, with or without a variant.
    """
    return _CHANNELS.get(task.partition(":")[0], ())
