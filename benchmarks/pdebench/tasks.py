"""The tasks of PDEBench, as data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.pdebench import download
from benchmarks.pdebench.hdf5 import Field


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One equation of PDEBench and the file that holds its samples.

    Attributes:
        name: Name of the task.
        title: One line for people; braces stand for parameter values.
        file: Official file name; braces stand for parameter values, as spelled in the release.
        label: What names a variant.
        published: Parameter values of the published results. The names are those of the file's
            root attributes and of the generator's parameters.
        inputs: What the model sees.
        targets: What it has to predict.
        axes: Names of the grid axes.
        resolution: Points per axis unless the recipe says otherwise.
        version: See `Task.version`.
    """

    name: str
    title: str
    file: str
    label: str
    published: Mapping[str, str]
    inputs: Field
    targets: Field
    axes: tuple[str, ...]
    resolution: int
    version: int = 1

    def released(self) -> dict[str, dict[str, str]]:
        """Return the labels of the released files with their parameter values, in rising order."""
        pattern = re.escape(self.file)
        for name in self.published:
            pattern = pattern.replace(rf"\{{{name}\}}", rf"(?P<{name}>[-+.e\d]+)")
        matches = filter(None, (re.fullmatch(pattern, file) for file in download.releases()))
        values = [match.groupdict() for match in matches]
        values.sort(key=lambda value: tuple(map(float, value.values())))
        return {self.label.format(**value): value for value in values}


PROBLEMS = (
    Problem(
        name="pdebench/advection",
        title="1-D advection, beta {beta}: the field at t=2 from the field at t=0",
        file="1D_Advection_Sols_beta{beta}.hdf5",
        label="beta{beta}",
        published={"beta": "0.4"},
        inputs=Field(dataset="tensor", time=0.0),
        targets=Field(dataset="tensor", time=2.0),
        axes=("x",),
        resolution=256,
    ),
    Problem(
        name="pdebench/diffusion_reaction_1d",
        title="1-D diffusion-reaction, nu {Nu}, rho {rho}: the field at t=1 from that at t=0",
        file="ReacDiff_Nu{Nu}_Rho{rho}.hdf5",
        label="Nu{Nu}_Rho{rho}",
        published={"Nu": "0.5", "rho": "1.0"},
        inputs=Field(dataset="tensor", time=0.0),
        targets=Field(dataset="tensor", time=1.0),
        axes=("x",),
        resolution=256,
    ),
    Problem(
        name="pdebench/darcy",
        title="2-D Darcy flow, beta {beta}: the solution from the coefficient",
        file="2D_DarcyFlow_beta{beta}_Train.hdf5",
        label="beta{beta}",
        published={"beta": "0.1"},
        inputs=Field(dataset="nu", framed=False),
        targets=Field(dataset="tensor"),
        axes=("x", "y"),
        resolution=64,
    ),
)
