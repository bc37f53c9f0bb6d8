"""The configurations of the trials of a study."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from runner.search.space import Domain, Search
from xmft.errors import RequestError
from xmft.seeding import derive_seed, generator

Values = dict[str, Any]
# The scores of trials by number, None of those that failed; not all of them, if some are to come.
Told = Callable[[Mapping[int, Values]], Mapping[int, float | None]]


def proposals(
    search: Search,
    space: Mapping[str, Domain],
    *,
    place: tuple[Any, ...],
    direction: str,
    told: Told,
) -> list[Values]:
    """Return the configurations that are known by now, by number of the trial.

    Args:
        search: How to propose, and how many.
        space: What may be chosen, by field.
        place: What the study is of: seed, task and method.
        direction: `min` or `max` of the scores.
        told: Gives the scores of trials at their first rung.

    Raises:
        RequestError: Optuna is not installed.
    """
    if search.algorithm == "random":
        return [draw(space, *place, number) for number in range(search.trials)]
    return _by_optuna(search, space, place, direction, told)


def draw(space: Mapping[str, Domain], *parts: Any) -> Values:
    """Draw a configuration; each field has a generator of its own, so that none moves another."""
    return {
        name: _drawn(domain, generator("search", *parts, name)) for name, domain in space.items()
    }


def _drawn(domain: Domain, rng: Any) -> Any:
    values = domain.values
    if domain.kind == "choice":
        return values[int(rng.integers(len(values)))]
    if domain.kind == "int_uniform":
        return int(rng.integers(values[0], values[1], endpoint=True))
    if domain.kind == "uniform":
        return float(rng.uniform(values[0], values[1]))
    found = math.exp(rng.uniform(math.log(values[0]), math.log(values[1])))
    return min(max(found, float(values[0])), float(values[1]))


def _by_optuna(
    search: Search,
    space: Mapping[str, Domain],
    place: tuple[Any, ...],
    direction: str,
    told: Told,
) -> list[Values]:
    """Ask Optuna's TPE in batches, and tell it the results of each before the next.

    It is asked and told again from the first trial on whenever a plan is made: with its own seed
    and the scores of the ledger it says the same again.
    """
    searcher = _searcher(space, derive_seed("search", *place) % 2**32, direction)
    found: list[Values] = []
    while len(found) < search.trials:
        first = len(found)
        for number in range(first, min(first + search.batch, search.trials)):
            asked = searcher.suggest(str(number))
            found.append(
                {
                    name: domain.values[asked[name]] if domain.kind == "choice" else asked[name]
                    for name, domain in space.items()
                }
            )
        batch = dict(enumerate(found[first:], start=first))
        scores = told(batch)
        if len(scores) < len(batch):
            break
        for number in batch:
            value = scores[number]
            result = None if value is None else {"score": value}
            searcher.on_trial_complete(str(number), result, error=value is None)
    return found


def _searcher(space: Mapping[str, Domain], seed: int, direction: str) -> Any:
    try:
        import optuna
    except ImportError:
        raise RequestError(
            "search.algorithm is optuna, which is not installed. Install the extra: pip install "
            "'xmft[search]', or say random."
        ) from None
    # Imported here: Ray takes seconds, and only these plans need it.
    from runner import cluster  # noqa: F401  (sets Ray's environment before it is imported)

    # isort: split
    from ray.tune.search.optuna import OptunaSearch

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = {
        name: _distribution(domain, optuna.distributions) for name, domain in space.items()
    }
    return OptunaSearch(
        space=distributions,
        metric="score",
        mode=direction,
        sampler=optuna.samplers.TPESampler(seed=seed),
    )


def _distribution(domain: Domain, of: Any) -> Any:
    values = domain.values
    if domain.kind == "choice":
        # By place: choices may be lists or mappings.
        return of.CategoricalDistribution(range(len(values)))
    if domain.kind == "int_uniform":
        return of.IntDistribution(values[0], values[1])
    return of.FloatDistribution(values[0], values[1], log=domain.kind == "log_uniform")
