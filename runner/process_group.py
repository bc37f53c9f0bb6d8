"""Ray Train's set-up of a process group, whose store listens where its address says."""

from __future__ import annotations

import importlib
import ipaddress
import socket
from datetime import timedelta
from typing import Any

import torch.distributed as dist
from ray.train.torch import TorchConfig

# The module: torch.distributed has a function of that name.
_rendezvous: Any = importlib.import_module("torch.distributed.rendezvous")
# What torch does, which lets the store of the first worker listen on all interfaces.
_everywhere = _rendezvous._create_c10d_store


class ProcessGroup(TorchConfig):
    """As Ray Train's own, but that workers on the loopback listen there alone."""

    @property
    def backend_cls(self) -> Any:
        """What sets up the workers."""
        return type("Backend", (_Loopback, super().backend_cls), {})


class _Loopback:
    """Mixed into Ray Train's set-up of the workers."""

    def on_start(self, worker_group: Any, backend_config: Any) -> None:
        worker_group.execute(listen_on_loopback)
        super().on_start(worker_group, backend_config)  # type: ignore[misc]


def listen_on_loopback() -> None:
    """Let this process open stores on the loopback where they are for it; others as ever."""
    _rendezvous._create_c10d_store = _store


def _store(
    hostname: str, port: int, rank: int, world_size: int, timeout: timedelta, use_libuv: bool = True
) -> Any:
    if rank or not _is_loopback(hostname):
        return _everywhere(hostname, port, rank, world_size, timeout, use_libuv)
    listening = socket.create_server((hostname, port))
    return dist.TCPStore(
        hostname,
        port,
        world_size,
        is_master=True,
        timeout=timeout,
        multi_tenant=True,
        master_listen_fd=listening.detach(),
        use_libuv=use_libuv,
    )


def _is_loopback(hostname: str) -> bool:
    try:
        return ipaddress.ip_address(hostname).is_loopback
    except ValueError:
        return False
