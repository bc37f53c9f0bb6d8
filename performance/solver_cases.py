"""What `solvers` measures: PDEs and parameters, with what is known of the released files.

The parameters are those of the published results and those of the small grid. The costs are of
PDEBench's own generator. The floors are what a perfect solver scores on released files, or on files
made with their recipes: the final frame at the released resolution.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks import catalog
from benchmarks.pdebench.entry import PdeEntry
from benchmarks.pdebench.generate import GENERATORS, Generator
from benchmarks.pdebench.problem import Floor
from performance import references, released_scheme
from performance.references import Reference


@dataclass(frozen=True, kw_only=True)
class Published:
    """Seconds per sample of PDEBench's own generator, one core of an AMD EPYC.

    Attributes:
        seconds: User CPU time.
        setting: What they were measured on, if that is not the very file; other figures.
    """

    seconds: float
    setting: str = ""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One line.

    Attributes:
        name: Task or variant.
        published: Cost of PDEBench's generator.
        reference: Converged solution.
        samples: Samples whose error is measured.
        timed: Samples solved at once for the timing; None: a full batch.
        here: The released scheme, run beside ours: from a number of samples to its CPU seconds per
            sample, all frames; None: only the cost on another machine is known.
        quick: Points per axis of the variant that the small grid generates, None for others.
        target: How many times cheaper than PDEBench's generator this is to be.
    """

    name: str
    published: Published
    reference: Reference
    samples: int
    timed: int | None = None
    here: Callable[[int], float] | None = None
    quick: int | None = None
    target: float = 10.0

    @property
    def entry(self) -> PdeEntry:
        """The entry of the catalogue."""
        entry = catalog.get(self.name)
        if not isinstance(entry, PdeEntry):
            raise TypeError(f"{self.name} is no task of PDEBench.")
        return entry

    @property
    def label(self) -> str:
        """Task and parameters."""
        values = [f"{name}={value:g}" for name, value in self.parameters.items()]
        return " ".join([self.entry.problem.name.partition("/")[2], *values])

    @property
    def parameters(self) -> dict[str, float]:
        """Values of the equation's parameters."""
        return self.entry.parameters

    @property
    def generator(self) -> Generator:
        """What makes the samples."""
        return GENERATORS[self.entry.problem.name]

    @property
    def floor(self) -> Floor | None:
        """What a perfect solver scores on the released file, None where nobody measured it."""
        return self.entry.released_floor(self.generator.solver.RELEASED_POINTS)


def _advection(samples: int) -> float:
    return released_scheme.advect(0.4, samples, _END).seconds


def _burgers(samples: int) -> float:
    # A twentieth of the time, whose steps are as short as any: the fields steepen and then decay.
    return 20 * released_scheme.steepen(0.001, samples, _END / 20).seconds


_END = 2.0

CASES = (
    Case(
        name="pdebench/advection",
        here=_advection,
        published=Published(seconds=0.040, setting="in batches of 256"),
        reference=references.advection_reference,
        samples=32,
        quick=256,
        target=1.0,
    ),
    Case(
        name="pdebench/burgers",
        published=Published(seconds=102, setting="extrapolated from t = 0.5"),
        reference=references.burgers_reference,
        samples=32,
    ),
    Case(
        name="pdebench/burgers:Nu0.001",
        here=_burgers,
        published=Published(seconds=0.45, setting="in batches of 256"),
        reference=references.burgers_reference,
        samples=32,
        quick=256,
    ),
    Case(
        name="pdebench/diffusion_reaction_1d",
        published=Published(seconds=11.3, setting="8.8 in a batch of 4"),
        reference=references.diffusion_reaction_reference,
        samples=32,
        quick=256,
    ),
    Case(
        name="pdebench/diffusion_sorption",
        published=Published(seconds=20.7),
        reference=references.diffusion_sorption_reference,
        samples=16,
        quick=256,
    ),
    Case(
        name="pdebench/compressible_ns_1d",
        published=Published(seconds=194, setting="eta=zeta=0.01; cut to one axis 3.5"),
        reference=references.compressible_ns_1d_reference,
        samples=2,
        timed=4,
    ),
    Case(
        name="pdebench/compressible_ns_1d:Eta1.e-8_Zeta1.e-8",
        published=Published(seconds=230, setting="cut to one axis 0.80"),
        reference=references.compressible_ns_1d_reference,
        samples=2,
        timed=8,
        quick=256,
    ),
    Case(
        name="pdebench/darcy",
        published=Published(seconds=15.7, setting="9.7 in a batch of 4"),
        reference=references.darcy_reference,
        samples=8,
    ),
    Case(
        name="pdebench/darcy:beta1.0",
        published=Published(seconds=15.7, setting="9.7 in a batch of 4"),
        reference=references.darcy_reference,
        samples=8,
        quick=32,
    ),
    Case(
        name="pdebench/shallow_water",
        published=Published(seconds=0.18, setting="all frames, the same scheme in C"),
        reference=references.shallow_water_reference,
        samples=8,
        quick=64,
        target=1.0,
    ),
    Case(
        name="pdebench/diffusion_reaction_2d",
        published=Published(seconds=2.45, setting="all frames"),
        reference=references.diffusion_reaction_2d_reference,
        samples=2,
        quick=32,
    ),
    Case(
        name="pdebench/compressible_ns_2d",
        published=Published(seconds=10.7, setting="M=0.1, eta=zeta=0.01, cut to two axes"),
        reference=references.compressible_ns_2d_reference,
        samples=1,
    ),
    Case(
        name="pdebench/compressible_ns_2d:M0.1_Eta0.01_Zeta0.01",
        published=Published(seconds=10.7, setting="cut to two axes"),
        reference=references.compressible_ns_2d_reference,
        samples=1,
        quick=32,
    ),
)
