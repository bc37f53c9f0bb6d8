"""Whether cells fit on nodes, against counting by hand and by trying everything."""

from __future__ import annotations

import itertools

import pytest

from runner.needs import Needs, fits, how_many


@pytest.mark.parametrize(
    ("nodes", "needs", "count"),
    [
        ([{"CPU": 6.0}], Needs(), 6),
        ([{"CPU": 6.0}], Needs(workers=2), 3),
        ([{"CPU": 6.0}], Needs(cpus=4), 1),
        ([{"CPU": 1.0}], Needs(workers=2), 0),
        ([{"CPU": 1.0}, {"CPU": 1.0}], Needs(workers=2), 1),
        # A worker lies on one node: two halves are no whole.
        ([{"CPU": 1.0}, {"CPU": 1.0}], Needs(cpus=2), 0),
        ([{"CPU": 8.0, "GPU": 2.0}], Needs(gpus=0.5), 4),
        ([{"CPU": 8.0, "GPU": 2.0}, {"CPU": 9.0}], Needs(gpus=1.0, cpus=4), 2),
        ([{"CPU": 8.0, "GPU": 1.0}], Needs(gpus=0.1), 8),
        ([{"CPU": 64.0, "GPU": 1.0}], Needs(gpus=0.1), 10),
        ([{"CPU": 8.0, "memory": 10.0}], Needs(memory=4), 2),
    ],
)
def test_how_many_fit(nodes: list[dict[str, float]], needs: Needs, count: int) -> None:
    assert how_many(nodes, needs) == count


@pytest.mark.parametrize("nodes", list(itertools.product(range(1, 5), repeat=2)), ids=str)
def test_what_fits_does_so_in_some_way(nodes: tuple[int, int]) -> None:
    """Against all ways to put workers of one to three cores on two nodes."""
    there = [{"CPU": float(cpus)} for cpus in nodes]
    for sizes in itertools.product((1, 2, 3), repeat=2):
        held = [Needs(cpus=sizes[0])]
        if not fits(there, (), held[0]):
            continue
        found = fits(there, held, Needs(cpus=sizes[1]))
        ways = itertools.product((0, 1), repeat=2)
        possible = any(
            all(
                sum(size for size, at in zip(sizes, way, strict=True) if at == node) <= cpus
                for node, cpus in enumerate(nodes)
            )
            for way in ways
        )
        assert found <= possible
        # With the widest first, first fit misses nothing among two.
        if sizes[0] >= sizes[1]:
            assert found == possible
