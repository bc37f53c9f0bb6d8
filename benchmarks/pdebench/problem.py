"""What a task of PDEBench is made of; the tasks themselves are in `tasks`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from benchmarks.pdebench import download
from benchmarks.pdebench.layout import Field, Style
from benchmarks.pdebench.scaling import Scaling
from benchmarks.pdebench.values import Possible
from xmft.task import Protocol, Symmetries

GRID = "grid"
"""A part of some file names that is no parameter: points per axis."""

_NUMBER = r"[-+.e\d]+"


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """What becomes inputs and targets under one protocol.

    The time of the inputs is 0. Times, not frame numbers: files keep every frame or only some.

    Attributes:
        inputs: What the model sees.
        targets: What it has to predict.
        time: Of the targets in train and val; None: the data have no time.
        test_time: Of the targets in test; None: the same.
        scaling: Of inputs and targets.
    """

    inputs: Field
    targets: Field
    time: float | None = None
    test_time: float | None = None
    scaling: Scaling = "none"

    def times(self) -> tuple[float | None, float | None]:
        """Return the target times of train and test."""
        return self.time, self.time if self.test_time is None else self.test_time

    def identity(self) -> list[Any]:
        """Return what distinguishes these pairs from others of the same file."""
        fields = [[f.datasets, f.channels] for f in (self.inputs, self.targets)]
        return [fields, self.times(), self.scaling]


@dataclass(frozen=True, kw_only=True)
class Floor:
    """What a perfect solver would score on released solutions, measured on samples of a file.

    Attributes:
        score: nrmse of the solution of the equation at the target time of the clean protocol: its
            distance to the file over the norm of the file, mean over samples.
        points: Points per axis of the grid that was solved on; None: any.
        off: How far the file is off: the same distance over the norm of the solution. None: the
            same number, as where both are small.
    """

    score: float
    points: int | None = None
    off: float | None = None


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One equation of PDEBench and the files that hold its samples.

    Attributes:
        name: Name of the task.
        title: One line for people; braces stand for parameter values.
        file: Official file name; braces stand for parameter values, as spelled in the release.
        label: What names a variant; empty where there is one file alone.
        published: Parameter values of the published results. The names are those of the file's
            root attributes and of the generator's parameters, and `GRID`.
        configured: Parameters that each sample's configuration has instead (group style).
        axes: Names of the grid axes in the order of the file.
        domain: Limits of every axis.
        domain_note: See `Layout`.
        clean: Pairs of the clean protocol.
        released: Pairs of the public code; None: the same.
        resolution: Points per axis unless the recipe says otherwise.
        test: Which tenth of the file is for the test, under both protocols.
        loss: See `Task.loss`; under the clean protocol, of fields that are not `unlike`.
        unlike: The channels are fields of unlike size, which are trained on and ranked one by one
            under the clean protocol, see `scores`.
        floors: Known error floors by label, for where none can be computed, see `perfect`.
        downloaded: Labels of the variants that our solver cannot make.
        noise: The initial field is drawn cell by cell: on fewer points than were solved on it does
            not tell the solution, and no floor is known.
        moves: The solution is the initial field moved at the speed `beta`, see `speed`.
        possible: What values can be data.
        channels: See `Task.channels`.
        symmetries: See `Task.symmetries`; None where there are none that would change a sample.
        version: See `Task.version`.
        released_version: The same under the released protocol; None: the same number.
    """

    name: str
    title: str
    file: str
    label: str = ""
    published: Mapping[str, str]
    configured: Mapping[str, float | None]
    axes: tuple[str, ...]
    domain: tuple[float, float]
    domain_note: str = ""
    clean: Pairs
    released: Pairs | None = None
    resolution: int
    test: Literal["first", "last"]
    loss: str = "nrmse"
    unlike: bool = False
    floors: Mapping[str, tuple[Floor, ...]]
    downloaded: tuple[str, ...] = ()
    noise: bool = False
    moves: bool = False
    possible: Possible = field(default_factory=Possible)
    channels: tuple[str, ...] = ()
    symmetries: Symmetries | None = None
    version: int = 1
    released_version: int | None = None

    @property
    def style(self) -> Style:
        """The layout of the file, which its suffix tells."""
        return "group" if self.file.endswith(".h5") else "tensor"

    def pairs(self, protocol: Protocol) -> Pairs:
        """Return what becomes inputs and targets."""
        return self.released if protocol == "released" and self.released else self.clean

    def variants(self) -> dict[str, dict[str, str]]:
        """Return the labels of the released files with their parameter values, in rising order."""
        pattern = self.pattern(dict.fromkeys(self.published, _NUMBER))
        matches = filter(None, (pattern.fullmatch(file) for file in download.releases()))
        values = [match.groupdict() for match in matches]
        values.sort(key=lambda value: tuple(map(float, value.values())))
        return {self.label.format(**value): value for value in values}

    def any_grid(self, values: Mapping[str, str]) -> re.Pattern[str] | None:
        """Return the pattern of a file's name on any grid; None: the name says nothing of it."""
        if GRID not in values:
            return None
        fixed = {name: re.escape(value) for name, value in values.items()}
        return self.pattern({**fixed, GRID: r"\d+"})

    def pattern(self, values: Mapping[str, str]) -> re.Pattern[str]:
        """Return the pattern of the file's name with a pattern for each value."""
        text = re.escape(self.file)
        for name, value in values.items():
            text = text.replace(rf"\{{{name}\}}", f"(?P<{name}>{value})")
        return re.compile(text)
