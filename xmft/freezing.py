"""Which parameters learn in a stage."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import nn

_NORMS = "norms"


def freeze_all_but(model: nn.Module, trains: Sequence[str]) -> list[nn.Parameter]:
    """Let the named parts of a model learn and freeze the rest.

    Args:
        model: Its direct children are the parts.
        trains: Names of parts; of `name:norms` the LayerNorms alone learn.

    Returns:
        The parameters that learn, in the order of the model.

    Raises:
        ValueError: the model has no part of that name, or a name has another suffix.
    """
    parts = dict(model.named_children())
    wanted = [_split(name) for name in trains]
    if unknown := [name for name, _ in wanted if name not in parts]:
        raise ValueError(f"The model has the parts {', '.join(parts)}, not {', '.join(unknown)}.")
    model.requires_grad_(False)
    for name, only in wanted:
        for module in _learning(parts[name], only):
            module.requires_grad_(True)
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def set_modes(model: nn.Module, trains: Sequence[str]) -> None:
    """Put the parts that learn into training mode and the others into evaluation mode.

    Random depth or dropout of a frozen part would be noise.
    """
    model.train()
    learning = {_split(name)[0] for name in trains}
    for name, part in model.named_children():
        part.train(name in learning)


def _split(name: str) -> tuple[str, str]:
    part, _, only = name.partition(":")
    if only not in ("", _NORMS):
        raise ValueError(f"A stage trains a part or `part:{_NORMS}`, found '{name}'.")
    return part, only


def _learning(part: nn.Module, only: str) -> Iterator[nn.Module]:
    if not only:
        yield part
    else:
        yield from (module for module in part.modules() if isinstance(module, nn.LayerNorm))
