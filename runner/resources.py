"""What a grid and the command line say of the resources of cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, Field

from runner.needs import Sharding
from xmft.errors import RequestError


class Resources(BaseModel):
    """What cells of a task or a method get; what is left out follows from the run.

    No part of a cell id: how many workers share a batch does not change what is computed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    workers: int | None = Field(None, ge=1, description="processes that train one cell")
    cpus: int | None = Field(None, ge=1, description="CPU cores, and threads, of each process")
    gpus: float | None = Field(None, ge=0, description="GPUs of each process, or a fraction of one")
    memory: float | None = Field(None, gt=0, description="GiB set aside for each process")
    sharding: Sharding | None = Field(None, description="ddp or fsdp")


def merged(*parts: Mapping[str, Any]) -> dict[str, Any]:
    """Return what holds where several have a say: of each field, what the last one says."""
    fields: dict[str, Any] = {}
    for part in parts:
        fields |= {name: value for name, value in part.items() if value is not None}
    return fields


def wish(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of `Needs`; GPUs are None where nothing is said of them.

    Args:
        said: Fields of `Resources`.
    """
    return {
        "workers": said.get("workers", 1),
        "cpus": said.get("cpus", 1),
        "gpus": said.get("gpus"),
        "memory": int(said.get("memory", 0) * 2**30),
        "sharding": said.get("sharding", "ddp"),
    }


def checked_sharding(name: str | None) -> Sharding | None:
    """Return a kind of sharding by its name.

    Raises:
        RequestError: there is none of that name.
    """
    for kind in get_args(Sharding):
        if name == kind:
            return kind
    if name is None:
        return None
    raise RequestError(f"--sharding is {' or '.join(get_args(Sharding))}, found '{name}'.")
