"""Ray itself: start it or join it, share it out, know where results may go."""

from __future__ import annotations

import logging
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from runner.ledger import Ledger
from xmft.cores import Cores, usable_cores
from xmft.errors import RequestError

# Ray reads these when it is imported. Workers keep the working directory, the SIGINT handler
# stays Python's own (Ctrl-C must end the run at once), and nothing phones home.
_ENVIRONMENT = {
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_WARN_THRESHOLD_S": "30",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
}
for _key, _value in _ENVIRONMENT.items():
    os.environ.setdefault(_key, _value)

import ray  # noqa: E402

from runner.local_ray import started  # noqa: E402


@dataclass(frozen=True, kw_only=True)
class Slots:
    """How many cells run at once, and what each of their workers gets.

    The number of threads is fixed and does not follow the number of cells: results must not
    depend on what else is running.
    """

    count: int
    workers: int
    threads: int
    gpus: float


@contextmanager
def connected(address: str | None, *, cpus: int | None, verbose: bool) -> Iterator[Cores]:
    """Start Ray on this machine, or join the cluster at `address`; leave it at the end.

    Args:
        address: The cluster; None: this machine.
        cpus: Most CPU cores to use; None: all that there are for us.
        verbose: Whether to show what Ray says.

    Yields:
        The cores to share out.

    Raises:
        RequestError: no cluster answers at `address`, or Ray does not start here, or did already.
    """
    if ray.is_initialized():
        raise RequestError(
            "Ray runs in this process already. Call ray.shutdown() first, and name its cluster "
            "with address= if the cells are to run there."
        )
    # What goes wrong in a cell is a row of the ledger and a line of ours.
    level = logging.INFO if verbose else logging.CRITICAL
    options: dict[str, Any] = {"log_to_driver": verbose, "logging_level": level}
    if address is None:
        cores = _at_most(usable_cores(), cpus)
        with started(cores.count, **options):
            yield cores
        return
    _check_answers(address)
    try:
        ray.init(address=address, **options)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise RequestError(
            f"No Ray cluster answers at {address}: {reason}. Since Ray 2.60 a "
            "cluster asks for a token: set RAY_AUTH_TOKEN, or RAY_AUTH_MODE=disabled on both sides."
        ) from None
    try:
        total = int(ray.cluster_resources().get("CPU", 0))
        yield _at_most(Cores(count=total, machine=total), cpus)
    finally:
        ray.shutdown()


def _at_most(cores: Cores, cpus: int | None) -> Cores:
    return (
        cores if cpus is None or cpus >= cores.count else replace(cores, count=cpus, limit="--cpus")
    )


def _check_answers(address: str) -> None:
    """Try the port first: Ray itself waits for minutes before it gives up."""
    host, _, port = address.rpartition("//")[2].rpartition(":")
    if not port.isdigit():  # `auto`
        return
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except OSError as error:
        raise RequestError(f"No Ray cluster answers at {address} ({error}).") from None


def slots_of(
    cells: int,
    cores: Cores,
    *,
    workers: int,
    threads: int,
    gpus_per_worker: float | None,
    max_concurrent: int | None = None,
) -> Slots:
    """Share out the cluster: whole cells only, as many at once as fit.

    Args:
        cells: How many there are.
        cores: What `connected` yielded.
        workers: Processes of a cell.
        threads: CPU cores of a worker.
        gpus_per_worker: GPUs of a worker; None: one where there are GPUs.
        max_concurrent: Most cells at once; None: as many as fit.

    Raises:
        RequestError: not even one cell fits.
    """
    total = ray.cluster_resources()
    gpus = gpus_per_worker
    if gpus is None:
        gpus = 1.0 if total.get("GPU") else 0.0
    fits = cores.count // (threads * workers)
    if gpus:
        fits = min(fits, int(total.get("GPU", 0) / (gpus * workers) + 1e-9))
    if fits < 1:
        raise RequestError(
            f"A cell needs {workers} workers with {threads} CPU cores"
            + (f" and {gpus:g} GPUs" if gpus else "")
            + f" each, but there are {cores} and {total.get('GPU', 0):g} "
            "GPUs. Lower --workers, --threads or --gpus-per-worker."
        )
    if max_concurrent is not None:
        fits = min(fits, max_concurrent)
    return Slots(count=min(fits, cells), workers=workers, threads=threads, gpus=gpus)


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
    if (nodes := _alive_nodes()) > 1:
        raise RequestError(
            f"The cluster has {nodes} nodes, but results go to the local folder "
            f"{ledger.shown}. Use a URI (--results s3://bucket/results), or say --shared-results "
            "if that folder is on a file system that all nodes share."
        )


def _alive_nodes() -> int:
    return sum(bool(node["Alive"]) for node in ray.nodes())


def _is_here(address: str) -> bool:
    host = address.rpartition("//")[2].rpartition(":")[0]
    return host in ("localhost", "127.0.0.1", socket.gethostname())


@contextmanager
def scratch_folder(ledger: Ledger) -> Iterator[str]:
    """Give Ray a place for its own files, which nobody reads: gone afterwards.

    On several nodes Ray insists on one that all of them share.
    """
    if _alive_nodes() == 1:
        with tempfile.TemporaryDirectory(prefix="xmft-ray-") as folder:
            yield folder
    else:
        try:
            yield ledger.storage.uri_of("ray")
        finally:
            ledger.drop_scratch("ray")
