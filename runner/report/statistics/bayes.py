"""How probable it is that one entry is better than another, by more than matters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from runner.report.statistics.losses import matrix_of, relative

_SAMPLES = 5_000


@dataclass(frozen=True, kw_only=True)
class Bayesian:
    """Posterior probabilities over tasks like these; they sum to 1.

    Attributes:
        first: That the first entry is better by more than the region of equivalence.
        rope: That the two are equivalent in practice.
        second: That the second entry is better by more.
        width: Of the region: relative differences up to this are none that matter.
    """

    first: float
    rope: float
    second: float
    width: float


def bayesian(
    losses: pd.DataFrame, first: str, second: str, rope: float = 0.01, *, seed: int = 0
) -> Bayesian:
    """Compare two entries by the Bayesian signed-rank test (Benavoli et al. 2017, JMLR 18).

    The prior is one pseudo-task of weight 0.5 on which the two are equal, which is baycomp's. The
    probabilities are those of 5,000 samples of the posterior: they are good to 0.02.

    Args:
        losses: Entries x tasks, lower is better.
        first: An entry.
        second: Another one.
        rope: Relative differences (see `relative`) up to this are equivalent in practice; 0.01
            is one percent of the loss.
        seed: Of the samples.

    Raises:
        ValueError: an entry or a value is missing, or the region is negative.
    """
    missing = [entry for entry in (first, second) if entry not in losses.index]
    if missing:
        raise ValueError(f"there is no entry {missing[0]} to compare")
    if not rope >= 0:
        raise ValueError(f"the region of equivalence is a width of 0 or more, not {rope}")
    from baycomp.multiple import SignedRankTest

    one, other = matrix_of(losses.loc[[first, second]], tasks=1)
    found = SignedRankTest.sample(
        np.zeros(len(one)), relative(other, one), rope, nsamples=_SAMPLES, random_state=seed
    )
    best = np.argmax(found, axis=1)
    lower, within, higher = (float((best == i).mean()) for i in range(3))
    return Bayesian(first=higher, rope=within, second=lower, width=rope)
