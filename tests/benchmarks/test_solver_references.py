"""The errors that `make bench` prints, where they are quick to find."""

import numpy as np
import pytest

from performance.solver_cases import CASES
from performance.solvers import errors

# Those of the others take seconds.
QUICK = (
    "advection",
    "burgers",
    "diffusion_reaction_1d",
    "diffusion_sorption",
    "darcy",
)


@pytest.mark.parametrize(
    "case", [case for case in CASES if case.label.split()[0] in QUICK], ids=lambda case: case.label
)
def test_the_error_against_the_reference_is_within_the_stated_tolerance(case):
    points = 32
    found = errors(case, points, samples=8)
    stated = case.generator.solver.tolerance(case.parameters, points)
    rounding = np.finfo(np.float32).eps / 2
    assert 0 < found.mean() <= stated + rounding


def test_every_task_has_one_case_in_the_estimate_for_a_thousand_samples():
    quick = [case.entry.problem.name for case in CASES if case.quick is not None]
    assert sorted(quick) == sorted({case.entry.problem.name for case in CASES})
    assert len(quick) == 9
