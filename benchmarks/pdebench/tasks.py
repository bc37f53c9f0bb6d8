"""The tasks of PDEBench, as data.

Default resolutions are those of the published results. The released pairs are what the public
code trains and scores: its targets in training and test lie at unequal times where its frame
numbers do (29 and 99, or 100 and 99), it maps the first channel of the 2-D diffusion-reaction
equation to the second, and scales the fields of the compressible equations. Error floors are those
measured on released files, or on files made with their recipes.

Symmetries are those of equation, walls and constants alike: the advection has a direction; on the
interval of the sorption the two walls differ; and the dam is round, so that a reflection leaves
each sample as it is. `tests/benchmarks/test_symmetries.py` has the solvers say so. Frames of
reference are taken as fast as the mean velocity of few samples is.
"""

from __future__ import annotations

import math

from benchmarks.pdebench.layout import DATA, Field
from benchmarks.pdebench.problem import Floor, Pairs, Problem
from benchmarks.pdebench.values import Possible
from xmft.task import Galilean, Symmetries

_TENSOR = Field(datasets=("tensor",))
_FIRST, _SECOND = (Field(datasets=(DATA,), channels=(channel,)) for channel in (0, 1))
_BOTH = Field(datasets=(DATA,), channels=(0, 1))
_FLUID = ("density", "pressure", "Vx")
_FLOW = ("density", "pressure", "velocity x")
_POSITIVE = (0.0, math.inf)
_GAS = Possible(limits={"density": _POSITIVE, "pressure": _POSITIVE})
# A share or a concentration, to within the step errors of the released solvers: those of sorption
# are 6e-3, and far below 0 its equation has no values.
_SHARE = (-5e-3, 1.01)
_FLUID_1D, _FLUID_2D = (Field(datasets=names) for names in (_FLUID, (*_FLUID, "Vy")))

PROBLEMS = (
    Problem(
        name="pdebench/advection",
        title="1-D advection, beta {beta}: the field at t=2 from that at t=0",
        file="1D_Advection_Sols_beta{beta}.hdf5",
        label="beta{beta}",
        published={"beta": "0.4"},
        configured={},
        axes=("x",),
        domain=(0.0, 1.0),
        clean=Pairs(inputs=_TENSOR, targets=_TENSOR, time=2.0),
        resolution=256,
        test="first",
        symmetries=Symmetries(periodic=(0,)),
        floors={"beta0.4": (Floor(score=4.1e-3),)},
        moves=True,
    ),
    Problem(
        name="pdebench/burgers",
        title="1-D Burgers, nu {Nu}: the field at t=2 from that at t=0",
        file="1D_Burgers_Sols_Nu{Nu}.hdf5",
        label="Nu{Nu}",
        published={"Nu": "1.0"},
        configured={},
        axes=("x",),
        domain=(0.0, 1.0),
        domain_note="Files uploaded before November 2023 have the domain (-1, 1) and are others.",
        clean=Pairs(inputs=_TENSOR, targets=_TENSOR, time=2.0),
        resolution=1024,
        test="first",
        loss="rmse",
        possible=Possible(settles=True),
        # The field is the velocity.
        symmetries=Symmetries(
            periodic=(0,),
            mirrored=(0,),
            inputs=(0,),
            targets=(0,),
            galilean=Galilean(crossing=0.5, most=0.1),
        ),
        floors={"Nu0.001": (Floor(score=5.3e-4),), "Nu1.0": (Floor(score=4e-4),)},
    ),
    Problem(
        name="pdebench/diffusion_reaction_1d",
        title="1-D diffusion-reaction, nu {Nu}, rho {rho}: the field at t=1 from that at t=0",
        file="ReacDiff_Nu{Nu}_Rho{rho}.hdf5",
        label="Nu{Nu}_Rho{rho}",
        published={"Nu": "0.5", "rho": "1.0"},
        configured={},
        axes=("x",),
        domain=(0.0, 1.0),
        clean=Pairs(inputs=_TENSOR, targets=_TENSOR, time=1.0),
        released=Pairs(inputs=_TENSOR, targets=_TENSOR, time=0.29, test_time=0.99),
        resolution=1024,
        test="first",
        possible=Possible(limits={"tensor": _SHARE}, settles=True),
        symmetries=Symmetries(periodic=(0,), mirrored=(0,)),
        # On 1024 points the released solver's single-precision steps are lost to rounding.
        floors={
            "Nu0.5_Rho1.0": (
                Floor(score=0.306, off=0.234, points=1024),
                Floor(score=9.0e-5, points=256),
            )
        },
        version=2,
    ),
    Problem(
        name="pdebench/diffusion_sorption",
        title="1-D diffusion-sorption: the field at t=500 from that at t=0",
        file="1D_diff-sorp_NA_NA.h5",
        published={},
        configured={"D": 5e-4, "por": 0.29, "rho_s": 2880, "k_f": 3.5e-4, "n_f": 0.874},
        axes=("x",),
        domain=(0.0, 1.0),
        clean=Pairs(inputs=_FIRST, targets=_FIRST, time=500.0),
        released=Pairs(inputs=_FIRST, targets=_FIRST, time=500.0, test_time=495.0),
        resolution=1024,
        test="last",
        # One number tells the initial concentration, the same everywhere. Of ten thousand, two or
        # three are alike in single precision.
        possible=Possible(limits={"data": _SHARE}, constant=True, repeats=1e-3),
        floors={"": (Floor(score=1.55e-2, points=1024), Floor(score=2.9e-3, points=256))},
    ),
    Problem(
        name="pdebench/compressible_ns_1d",
        title="1-D compressible Navier-Stokes, eta {eta}, zeta {zeta}: density, pressure and "
        "velocity at t=1 from those at t=0",
        file="1D_CFD_Rand_Eta{eta}_Zeta{zeta}_periodic_Train.hdf5",
        label="Eta{eta}_Zeta{zeta}",
        published={"eta": "0.1", "zeta": "0.1"},
        configured={},
        channels=_FLOW,
        possible=_GAS,
        unlike=True,
        axes=("x",),
        domain=(-1.0, 1.0),
        clean=Pairs(inputs=_FLUID_1D, targets=_FLUID_1D, time=1.0),
        # The public code strings the three fields together to one of length 3072. As channels they
        # are the same numbers, and errors over all points and channels are the same.
        released=Pairs(inputs=_FLUID_1D, targets=_FLUID_1D, time=1.0, scaling="inputs"),
        resolution=1024,
        test="first",
        loss="rmse",
        symmetries=Symmetries(
            periodic=(0,),
            mirrored=(0,),
            inputs=(None, None, 0),
            targets=(None, None, 0),
            galilean=Galilean(crossing=2.0, most=0.1, density=0),
        ),
        # Of the released scheme against our solver; the viscous ones by its published recipe alone.
        floors={
            "Eta1.e-8_Zeta1.e-8": (Floor(score=4.8e-3),),
            "Eta0.01_Zeta0.01": (Floor(score=2e-4),),
            "Eta0.1_Zeta0.1": (Floor(score=2e-4),),
        },
        # Version 1 was trained and ranked over all channels at once.
        version=2,
        released_version=1,
    ),
    Problem(
        name="pdebench/darcy",
        title="2-D Darcy flow, beta {beta}: the solution from the coefficient",
        file="2D_DarcyFlow_beta{beta}_Train.hdf5",
        label="beta{beta}",
        published={"beta": "0.1"},
        configured={},
        axes=("x", "y"),
        domain=(0.0, 1.0),
        clean=Pairs(inputs=Field(datasets=("nu",), framed=False), targets=_TENSOR),
        resolution=64,
        test="first",
        symmetries=Symmetries(mirrored=(0, 1), exchanged=True, walls=128),
        # Of a thousand coefficients some are on one side of the threshold everywhere, and two that
        # are on the same side have the same steady solution.
        possible=Possible(limits={"nu": _POSITIVE}, constant=True, constants_repeat=True),
        # What the run that made them had left of its start, in proportion to 1 / beta, and 3e-2 of
        # the released stencil. From 256 samples on 64 x 64 cells with beta = 1: what they had left,
        # added to the steady state of the stencil on 128 x 128 cells.
        floors={
            "beta0.01": (Floor(score=0.35, off=3.9),),
            "beta0.1": (Floor(score=0.165, off=0.42),),
            "beta1.0": (Floor(score=5.8e-2, off=6.7e-2),),
            "beta10.0": (Floor(score=3.2e-2, off=3.3e-2),),
            "beta100.0": (Floor(score=3.0e-2),),
        },
    ),
    Problem(
        name="pdebench/shallow_water",
        title="2-D shallow water, radial dam break: the depth at t=1 from that at t=0",
        file="2D_rdb_NA_NA.h5",
        published={},
        configured={"gravity": 1.0, "dam_radius": None},
        axes=("x", "y"),
        domain=(-2.5, 2.5),
        clean=Pairs(inputs=_FIRST, targets=_FIRST, time=1.0),
        released=Pairs(inputs=_FIRST, targets=_FIRST, time=1.0, test_time=0.99),
        resolution=128,
        test="last",
        # One radius tells a sample, and a grid tells few of them apart.
        possible=Possible(limits={"data": _POSITIVE}, repeats=1.0),
        floors={"": (Floor(score=8.2e-3),)},
    ),
    Problem(
        name="pdebench/diffusion_reaction_2d",
        title="2-D diffusion-reaction: activator and inhibitor at t=5 from those at t=0",
        file="2D_diff-react_NA_NA.h5",
        published={},
        configured={"Du": 1e-3, "Dv": 5e-3, "k": 5e-3},
        channels=("activator u", "inhibitor v"),
        axes=("y", "x"),
        domain=(-1.0, 1.0),
        clean=Pairs(inputs=_BOTH, targets=_BOTH, time=5.0),
        released=Pairs(inputs=_FIRST, targets=_SECOND, time=5.0, test_time=4.95),
        resolution=128,
        test="last",
        symmetries=Symmetries(mirrored=(0, 1), exchanged=True, walls=128),
        floors={"": (Floor(score=2.8e-5),)},
        noise=True,
    ),
    Problem(
        name="pdebench/compressible_ns_2d",
        title="2-D compressible Navier-Stokes, Mach {M}, eta {eta}, zeta {zeta}: density, pressure "
        "and velocity at t=1 from those at t=0",
        file="2D_CFD_Rand_M{M}_Eta{eta}_Zeta{zeta}_periodic_{grid}_Train.hdf5",
        label="M{M}_Eta{eta}_Zeta{zeta}",
        published={"M": "1.0", "eta": "0.1", "zeta": "0.1", "grid": "128"},
        configured={},
        channels=(*_FLOW, "velocity y"),
        possible=_GAS,
        unlike=True,
        axes=("x", "y"),
        domain=(0.0, 1.0),
        clean=Pairs(inputs=_FLUID_2D, targets=_FLUID_2D, time=1.0),
        released=Pairs(inputs=_FLUID_2D, targets=_FLUID_2D, time=1.0, scaling="each"),
        resolution=64,
        test="last",
        symmetries=Symmetries(
            periodic=(0, 1),
            mirrored=(0, 1),
            exchanged=True,
            inputs=(None, None, 0, 1),
            targets=(None, None, 0, 1),
            galilean=Galilean(crossing=1.0, most=0.1, density=0),
        ),
        # At 128 x 128 of the released scheme against our solver, at 64 x 64 of such a file.
        floors={
            "M0.1_Eta0.01_Zeta0.01": (
                Floor(score=3.2e-4, points=128),
                Floor(score=2.2e-3, points=64),
            ),
            "M1.0_Eta0.01_Zeta0.01": (Floor(score=1.26e-2, points=128),),
        },
        # Shocks in two dimensions.
        downloaded=("M0.1_Eta1e-08_Zeta1e-08", "M1.0_Eta1e-08_Zeta1e-08"),
        version=2,
        released_version=1,
    ),
)
