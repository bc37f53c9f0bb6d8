"""Ray itself: start it or join it, share it out, know where results may go."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from runner.ledger import Ledger
from runner.needs import Needs, Node, how_many
from xmft.cores import Cores, usable_cores
from xmft.errors import RequestError

# Ray reads these when it is imported. Workers keep the working directory, signals are left to us,
# many slots may be on their way at once, and nothing phones home.
_ENVIRONMENT = {
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_WARN_THRESHOLD_S": "30",
    "TUNE_MAX_PENDING_TRIALS_PG": "64",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
}
for _key, _value in _ENVIRONMENT.items():
    os.environ.setdefault(_key, _value)

import ray  # noqa: E402

from runner.local_ray import started  # noqa: E402


@contextmanager
def connected(
    address: str | None, *, cpus: int | None, verbose: bool, folder: Path
) -> Iterator[Cores]:
    """Start Ray on this machine, or join the cluster at `address`; leave it at the end.

    Args:
        address: The cluster; None: this machine.
        cpus: Most CPU cores to use; None: all that there are for us.
        verbose: Whether to show what Ray says.
        folder: Where Ray's own files go if it is started here, see `run_folder`.

    Yields:
        The cores to share out.

    Raises:
        RequestError: no cluster answers at `address` or lets us in, or Ray does not start here.
    """
    # What goes wrong in a cell is a row of the ledger and a line of ours.
    level = logging.INFO if verbose else logging.CRITICAL
    options: dict[str, Any] = {"log_to_driver": verbose, "logging_level": level}
    if address is None:
        cores = _at_most(usable_cores(), cpus)
        with started(cores.count, folder=folder, **options):
            yield cores
        return
    # Imported here: most runs join nothing.
    from runner.joining import joined

    with joined(address, **options):
        total = int(ray.cluster_resources().get("CPU", 0))
        yield _at_most(Cores(count=total, machine=total), cpus)


def _at_most(cores: Cores, cpus: int | None) -> Cores:
    return (
        cores if cpus is None or cpus >= cores.count else replace(cores, count=cpus, limit="--cpus")
    )


def alive_nodes(cores: Cores) -> list[Node]:
    """Return the resources of the nodes that are there, no more than the cores to share out.

    Where nothing limits these, nodes that joined later count as those that were there.
    """
    left = float(cores.count) if cores.limit else float("inf")
    nodes: list[Node] = []
    for node in ray.nodes():
        if not node["Alive"]:
            continue
        granted = min(left, node["Resources"].get("CPU", 0.0))
        left -= granted
        nodes.append({**node["Resources"], "CPU": granted})
    return nodes


def check_fits(needs: Needs, nodes: Sequence[Node], cores: Cores) -> None:
    """Refuse a cell that no node there is has room for.

    Raises:
        RequestError: it is too large.
    """
    if not how_many(nodes, needs):
        gpus = sum(node.get("GPU", 0.0) for node in nodes)
        raise RequestError(
            f"A cell needs {needs.workers} workers with {needs.cpus} CPU cores"
            + (f" and {needs.gpus:g} GPUs" if needs.gpus else "")
            + (f" and {needs.memory / 2**30:.1f} GiB" if needs.memory else "")
            + f" each, but there are {cores} and {gpus:g} GPUs on {len(nodes)} node(s). "
            "Lower --workers, --threads or --gpus-per-worker, or the resources of the grid."
        )


def ask_for(wanted: Mapping[Needs, int]) -> None:
    """Tell an autoscaler, where there is one, what the run could use; nothing: no more than it has.

    Slots are opened where there is room, and room is made where slots are asked for.
    """
    from ray.autoscaler.sdk import request_resources

    bundles = [
        needs.bundle for needs, count in wanted.items() for _ in range(count * needs.workers)
    ]
    # A cluster that cannot scale, or is joined as a client, is used as it is.
    with contextlib.suppress(Exception):
        request_resources(bundles=bundles)


def check_storage(ledger: Ledger, address: str | None, *, shared: bool) -> None:
    """Refuse a folder of one machine when others would write to it.

    Raises:
        RequestError: it is one.
    """
    if shared or not ledger.is_local:
        return
    if (address or "").startswith("ray://") and not _is_here(str(address)):
        raise RequestError(
            f"The cluster at {address} is another machine, but results go to the folder "
            f"{ledger.shown} of this one. Use a URI (--results s3://bucket/results), or say "
            "--shared-results if both see that folder."
        )
    if (nodes := node_count()) > 1:
        raise RequestError(
            f"The cluster has {nodes} nodes, but results go to the local folder "
            f"{ledger.shown}. Use a URI (--results s3://bucket/results), or say --shared-results "
            "if that folder is on a file system that all nodes share."
        )


def node_count() -> int:
    """Return how many nodes the cluster has."""
    return sum(bool(node["Alive"]) for node in ray.nodes())


def _is_here(address: str) -> bool:
    host = address.rpartition("//")[2].rpartition(":")[0]
    return host in ("localhost", "127.0.0.1", socket.gethostname())


@contextmanager
def scratch_folder(ledger: Ledger, folder: Path, run: str) -> Iterator[str]:
    """Give Ray a place for its own files, which nobody reads: gone afterwards.

    On several nodes Ray insists on one that all of them share.

    Args:
        ledger: The results, in whose folder it is on several nodes.
        folder: That of the run, on one node.
        run: Name of the run: others may run on the same results.
    """
    if node_count() == 1:
        yield str(folder / "scratch")
    else:
        try:
            yield ledger.scratch(run)
        finally:
            ledger.drop_scratch(run)
