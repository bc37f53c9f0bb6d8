"""A model whose parameters are divided among the workers of a cell (FSDP2)."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor


def divide(model: nn.Module, device: torch.device) -> bool:
    """Divide the parameters of a model's parts among the workers, in place.

    Each part, and each layer of a stack within it, is put together when it is called and divided
    again behind. The parts are independent, so that objectives can call them one by one.

    Returns:
        Whether it was done. Complex parameters, which collectives do not take, and those that are
        of no part, which nothing would put together, leave the model as it is.
    """
    of_parts = sum(len(list(part.parameters())) for part in model.children())
    parameters = list(model.parameters())
    if len(parameters) != of_parts or any(p.is_complex() for p in parameters):
        return False
    # True of dense heads; nothing here changes what a part returns in place.
    warnings.filterwarnings("ignore", message=r"FSDP2-wrapped module .* returned a view")
    mesh = _mesh(device.type, dist.get_world_size())
    for part in model.children():
        for module in (*_layers(part), part):
            if any(True for _ in module.parameters()):
                fully_shard(module, mesh=mesh, reshard_after_forward=True)
    for found in _divided_modules(model):
        # Buffers made in inference mode, by a first evaluation, could not be used in training.
        found.unshard()
        found.reshard()
    return True


def whole(state: Any, *, keep: bool) -> Any:
    """Put the divided tensors in a nest together, on the CPU; all workers call it alike.

    Args:
        state: Dictionaries, lists and tuples of anything.
        keep: Whether this worker wants them; it gets None in their place otherwise.
    """
    if isinstance(state, DTensor):
        full = state.full_tensor()
        return full.detach().cpu() if keep else None
    if isinstance(state, dict):
        return {key: whole(value, keep=keep) for key, value in state.items()}
    if isinstance(state, (list, tuple)):
        return type(state)(whole(value, keep=keep) for value in state)
    return state


def divided(tensor: Tensor, like: Tensor) -> Tensor:
    """Return this worker's part of `tensor`, which each of them has, where `like` is divided."""
    if not isinstance(like, DTensor):
        return tensor
    mesh = like.device_mesh
    full = tensor.to(device=like.to_local().device, dtype=like.dtype)
    return distribute_tensor(full, mesh, like.placements, src_data_rank=None)


@contextmanager
def local_gradients(module: nn.Module) -> Iterator[None]:
    """Backward passes inside keep their gradients whole and local."""
    parts = list(_divided_modules(module))
    for part in parts:
        part.set_requires_gradient_sync(False, recurse=False)
    try:
        yield
    finally:
        for part in parts:
            part.set_requires_gradient_sync(True, recurse=False)


@cache
def _mesh(device: str, workers: int) -> DeviceMesh:
    return init_device_mesh(device, (workers,))


def _divided_modules(module: nn.Module) -> Iterator[FSDPModule]:
    return (found for found in module.modules() if isinstance(found, FSDPModule))


def _layers(part: nn.Module) -> Iterator[nn.Module]:
    """Yield the members of the innermost stacks: layers, of a Swin the blocks of its stages."""
    for stack in part.modules():
        if isinstance(stack, nn.ModuleList) and len(stack) > 1:
            inner = (m for layer in stack for m in layer.modules())
            if not any(isinstance(m, nn.ModuleList) and len(m) > 1 for m in inner):
                yield from stack
