"""What can be said of entries compared on tasks; knows neither the ledger nor the runner.

Everything starts from `scores`, a long frame with the columns `entry`, `task`, `seed` and `value`,
and from the direction of each task; `losses_of` makes of them the entries x tasks frame of means,
lower is better, that most functions take. Nothing here draws random numbers from a generator that
others use, and the same scores always give the same numbers.
"""

from runner.report.statistics.bayes import Bayesian, bayesian
from runner.report.statistics.friedman import (
    Friedman,
    cliques,
    critical_difference,
    friedman,
    nemenyi,
)
from runner.report.statistics.intervals import Intervals, rank_intervals
from runner.report.statistics.losses import (
    average_ranks,
    losses_of,
    means_of,
    ranks_of,
    relative,
)
from runner.report.statistics.pairs import Pair, holm, pairs
from runner.report.statistics.power import Power, power, seeds_needed, tasks_needed
from runner.report.statistics.seeds import not_worse
from runner.report.statistics.shares import normalised, win_rates
from runner.report.statistics.summary import Summary, summary

__all__ = [
    "Bayesian",
    "Friedman",
    "Intervals",
    "Pair",
    "Power",
    "Summary",
    "average_ranks",
    "bayesian",
    "cliques",
    "critical_difference",
    "friedman",
    "holm",
    "losses_of",
    "means_of",
    "nemenyi",
    "normalised",
    "not_worse",
    "pairs",
    "power",
    "rank_intervals",
    "ranks_of",
    "relative",
    "seeds_needed",
    "summary",
    "tasks_needed",
    "win_rates",
]
