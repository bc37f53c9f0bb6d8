"""How to run, as opposed to what."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from runner.needs import Sharding


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How to run, as opposed to what: nothing here is part of a cell id.

    Attributes:
        workers: Processes that train one cell; None: what the grid says of its resources, or one.
        threads: CPU cores of each of them; None likewise.
        gpus_per_worker: GPUs of each of them; None likewise, or one where there are GPUs.
        sharding: How several workers share the model; None likewise, or `ddp`.
        cpus: Most CPU cores to use; None: all that the system grants.
        max_concurrent: Most cells at a time; None: as many as fit.
        address: Ray cluster to join; None: this machine.
        log: Loggers, see `runner.loggers`; `none` for none.
    """

    workers: int | None = None
    threads: int | None = None
    gpus_per_worker: float | None = None
    sharding: Sharding | None = None
    cpus: int | None = None
    max_concurrent: int | None = None
    address: str | None = None
    retry_failed: bool = False
    fail_fast: bool = False
    force: bool = False
    keep_checkpoints: bool = False
    shared_results: bool = False
    timeout_s: float | None = None
    stall_timeout_s: float | None = 1800.0
    cluster_wait_s: float = 600.0
    max_infra_retries: int = 2
    verbose: bool = False
    log: tuple[str, ...] = ("tensorboard",)

    @property
    def resources(self) -> dict[str, Any]:
        """What is said of the resources of all cells, fields of `Resources`."""
        return {
            "workers": self.workers,
            "cpus": self.threads,
            "gpus": self.gpus_per_worker,
            "sharding": self.sharding,
        }
