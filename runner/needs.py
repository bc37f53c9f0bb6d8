"""What a cell needs of a cluster, and whether that fits on its nodes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Sharding = Literal["ddp", "fsdp"]
Node = Mapping[str, float]

# Sums of fractions of GPUs come out a little above or below whole numbers.
_TOLERANCE = 1e-6


@dataclass(frozen=True, kw_only=True)
class Needs:
    """Resources of one cell; nothing here is part of a cell id.

    Attributes:
        workers: Processes that train the cell together.
        cpus: CPU cores, and torch threads, of each.
        gpus: GPUs of each, or a fraction of one.
        memory: Bytes of main memory of each that are set aside; 0: not looked at.
        sharding: How several workers share the model.
    """

    workers: int = 1
    cpus: int = 1
    gpus: float = 0.0
    memory: int = 0
    sharding: Sharding = "ddp"

    @property
    def bundle(self) -> dict[str, float]:
        """What Ray sets aside for one worker."""
        wanted = {"CPU": float(self.cpus), "GPU": self.gpus, "memory": float(self.memory)}
        return {name: amount for name, amount in wanted.items() if amount}

    @property
    def size(self) -> tuple[float, int, int]:
        """GPUs, cores and bytes of all workers, by which the widest cells are told."""
        return self.gpus * self.workers, self.cpus * self.workers, self.memory * self.workers

    def __str__(self) -> str:
        workers = "1 worker" if self.workers == 1 else f"{self.workers} workers"
        each = [f"{self.cpus} thread" + ("s" if self.cpus > 1 else "")]
        each += [f"{self.gpus:g} GPU"] if self.gpus else []
        each += [f"{self.memory / 2**30:.1f} GiB"] if self.memory else []
        return f"{workers}, {' and '.join(each)} each"


def fits(nodes: Sequence[Node], held: Iterable[Needs], more: Needs) -> bool:
    """Tell whether one more cell fits beside those that hold their resources already.

    Every worker lies on one node. The widest workers are placed first, each on the first node with
    room: what this calls fitting does, and what it calls full may be so by an unlucky packing.

    Args:
        nodes: Resources of each node by Ray's names.
        held: What is held by others.
        more: What is to be placed.
    """
    free = [dict(node) for node in nodes]
    workers = sorted(
        (needs for needs in held for _ in range(needs.workers)),
        key=lambda needs: (needs.gpus, needs.cpus),
        reverse=True,
    )
    for needs in workers:
        # One that lies on a node which has left takes no room of the others.
        _place(free, needs.bundle)
    return all(_place(free, more.bundle) for _ in range(more.workers))


def how_many(nodes: Sequence[Node], needs: Needs) -> int:
    """Return how many cells fit at once where nothing else runs."""
    free = [dict(node) for node in nodes]
    count = 0
    while all(_place(free, needs.bundle) for _ in range(needs.workers)):
        count += 1
    return count


def _place(free: list[dict[str, float]], bundle: Mapping[str, float]) -> bool:
    for node in free:
        if all(node.get(name, 0.0) + _TOLERANCE >= amount for name, amount in bundle.items()):
            for name, amount in bundle.items():
                node[name] -= amount
            return True
    return False
