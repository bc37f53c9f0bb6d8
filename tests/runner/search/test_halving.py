"""Successive halving and random proposals against independent statements of what they are."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from runner.search.halving import promoted, rungs
from runner.search.proposals import draw
from runner.search.space import Domain, Search, check_search
from runner.validation import validated
from xmft.errors import RequestError


@pytest.mark.parametrize(
    ("epochs", "trials", "eta", "expected"),
    [
        (9, 9, 3, [1, 3, 9]),
        (27, 9, 3, [3, 9, 27]),
        (2, 9, 3, [2]),
        (1, 4, 2, [1]),
        (10, 2, 3, [10]),
        (10, 4, 2, [2, 5, 10]),
    ],
)
def test_rungs(epochs: int, trials: int, eta: int, expected: list[int]) -> None:
    assert rungs(epochs, trials, eta) == expected


@pytest.mark.parametrize("direction", ["min", "max"])
def test_the_best_go_on_and_of_equally_good_ones_the_first(direction: str) -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        drawn = rng.integers(0, 5, size=12).tolist()
        values = {n: None if value == 4 else float(value) for n, value in enumerate(drawn)}
        left, expected = {n: v for n, v in values.items() if v is not None}, []
        while left and len(expected) < 4:
            edge = (min if direction == "min" else max)(left.values())
            first = min(n for n, value in left.items() if value == edge)
            expected.append(first)
            del left[first]
        assert promoted(values, direction, 4) == expected
    assert promoted({0: math.nan, 1: None}, "min", 3) == []


@pytest.mark.parametrize(
    ("kind", "law"),
    [
        ("uniform", stats.uniform(loc=2, scale=3).cdf),
        ("log_uniform", stats.loguniform(1e-4, 1e-1).cdf),
    ],
)
def test_random_proposals_have_their_distribution(kind: str, law: Any) -> None:
    bounds = [2.0, 5.0] if kind == "uniform" else [1e-4, 1e-1]
    space = {"x": Domain(**{kind: bounds})}
    found = [draw(space, 0, "task", "nft", number)["x"] for number in range(1000)]
    assert stats.kstest(found, law).pvalue > 0.01


def test_whole_numbers_and_choices_are_equally_likely() -> None:
    space = {"n": Domain(int_uniform=[2, 5]), "c": Domain(choice=["a", [1], None, 2.0])}
    found = [draw(space, 0, "task", "nft", number) for number in range(2000)]
    for name in ("n", "c"):
        counts: dict[str, int] = {}
        for one in found:
            counts[str(one[name])] = counts.get(str(one[name]), 0) + 1
        assert len(counts) == 4
        assert stats.chisquare(list(counts.values())).pvalue > 0.01


def test_a_field_is_drawn_alike_whatever_else_is_drawn() -> None:
    one, other = Domain(uniform=[0.0, 1.0]), Domain(int_uniform=[1, 9])
    assert (
        draw({"x": one}, 0, "t", "m", 3)["x"] == draw({"a": other, "x": one}, 0, "t", "m", 3)["x"]
    )


def search(space: dict[str, Any], **changes: Any) -> Search:
    return validated(Search, {"trials": 4, "space": space, **changes}, where="search")


@pytest.mark.parametrize(
    ("space", "told"),
    [
        ({"nft": {"epochs": {"choice": [1, 2]}}}, "is the same for all trials"),
        ({"nft": {"samples": {"choice": [1, 2]}}}, "other data"),
        ({"nft": {"learning_rat": {"choice": [1]}}}, "Did you mean 'learning_rate'"),
        ({"*": {"options.rank": {"choice": [1]}}}, "is no field of the recipe"),
        ({"nft": {"learning_rate": {}}}, "has no values; it takes exactly one"),
        ({"nft": {"learning_rate": {"log_uniform": [0.0, 1.0]}}}, "above 0, in this order"),
        ({"nft": {"learning_rate": {"uniform": [1.0, 0.1]}}}, "in this order"),
        ({"nft:mine": {"learning_rate": {"choice": [0.1]}}}, "not among the methods"),
        ({"nft": {"learning_rate": {"log_uniform": ["1e-4", 1.0]}}}, "write 1.0e-4"),
        ({"nft": {"learning_rate": {"loguniform": [1.0]}}}, "Unknown key"),
    ],
)
def test_what_is_wrong_with_a_space_is_said(space: dict[str, Any], told: str) -> None:
    with pytest.raises(RequestError) as refused:
        check_search(search(space), ["nft"], where="grid mine.yaml")
    assert told in str(refused.value)


def test_asha_is_read_as_what_it_is() -> None:
    space = {"*": {"learning_rate": {"choice": [0.1]}}}
    assert search(space, scheduler="asha").scheduler == "halving"
    with pytest.raises(RequestError, match="'halving' or 'none'"):
        search(space, scheduler="hyperband")
