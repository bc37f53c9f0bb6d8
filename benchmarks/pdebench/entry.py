"""One entry class for all tasks of PDEBench."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks import files
from benchmarks.download import Say
from benchmarks.entry import Entry, Frames, Generation
from benchmarks.files import Progress
from benchmarks.pdebench import download, frames
from benchmarks.pdebench.fitting import check_fit, facts_of, found_of
from benchmarks.pdebench.layout import Found, Layout, frame_at
from benchmarks.pdebench.pairing import OpenFile, pair_up
from benchmarks.pdebench.problem import GRID, Floor, Pairs, Problem
from benchmarks.pdebench.scores import learned
from benchmarks.pdebench.speed import check_speed
from benchmarks.pdebench.tasks import PROBLEMS
from benchmarks.prepare import Reading
from benchmarks.splits import LEAST, first_tenth_is_test, last_tenth_is_test
from xmft import cache
from xmft.errors import DataError, FileError, RequestError
from xmft.registry import nearest
from xmft.task import Origin, Protocol, Recipe, Task

GENERATED_SAMPLES = 1000
"""Samples that are generated where the recipe names no number."""


@dataclass(frozen=True, kw_only=True)
class PdeEntry(Entry):
    """One released file of one equation.

    Attributes:
        problem: The equation.
        values: Its parameter values, as spelled in the file's name.
    """

    problem: Problem
    values: Mapping[str, str]

    @property
    def parameters(self) -> dict[str, float]:
        """The equation's parameters."""
        return {name: float(value) for name, value in self.values.items() if name != GRID}

    @property
    def labels(self) -> list[str]:
        """The released variants, the published one among them."""
        return list(self.problem.variants()) if self.problem.published else []

    def task_under(self, protocol: Protocol) -> Task:
        """See `Entry.task_under`."""
        if protocol == "clean":
            return self.task
        return replace(self.task, **learned(self.problem, protocol))

    def cut(self, protocol: Protocol) -> Mapping[str, Any]:
        """Default resolution, datasets, times and scaling."""
        return {
            "resolution": self.resolution,
            "pairs": self.problem.pairs(protocol).identity(),
            "test": self.problem.test,
        }

    def candidates(self, data_root: Path) -> dict[str, list[Path]]:
        """Find the file; where its name tells the grid, one on another grid does too."""
        found = super().candidates(data_root)
        if found or self.problem.any_grid(self.values) is None:
            return found
        ((name, pattern),) = self.names().items()
        others = files.find_like(data_root, pattern)
        return {name: others} if others else {}

    def names(self) -> dict[str, re.Pattern[str]]:
        """See `Entry.names`."""
        pattern = self.problem.any_grid(self.values)
        return {self.files[0]: pattern} if pattern else super().names()

    def variant(self, label: str) -> Entry:
        """Return the entry of a released variant; the published one has the plain name."""
        released = self.problem.variants()
        if not self.problem.published:
            return super().variant(label)
        if label not in released:
            raise RequestError(
                f"Unknown variant '{label}' of task '{self.problem.name}'. "
                f"{nearest(label, released)}"
            )
        return entry(self.problem, released[label])

    def inspect(self, path: Path) -> Origin:
        """See `Entry.inspect`."""
        return self._inspected(path, self._layout).origin

    def read(self, paths: tuple[Path, ...], recipe: Recipe, protocol: Protocol) -> Reading:
        """See `Entry.read`."""
        (path,) = paths
        layout, pairs = self._layout, self.problem.pairs(protocol)
        found = self._inspected(path, layout)
        strides = check_fit(path, layout, found, pairs, recipe, self.problem.resolution)
        cut_of = first_tenth_is_test if self.problem.test == "first" else last_tenth_is_test
        source = OpenFile(path=path, layout=layout, found=found, strides=strides)
        cut = cut_of(found.samples, recipe.samples)
        reading = pair_up(source, pairs, cut)
        # Its solvers are not needed where prepared arrays are at hand.
        from benchmarks.pdebench import perfect

        solved = perfect.solutions(self.problem.name, source, pairs, self.parameters, cut.test)
        if solved is not None:
            return replace(reading, perfect=solved, floor_note=perfect.NOTE)
        floor, floor_note = self._floor(found, pairs, found.points[0] // strides[0])
        return replace(reading, floor=floor, floor_note=floor_note)

    def facts(self, path: Path) -> dict[str, Any]:
        """See `Entry.facts`."""
        return facts_of(frames.inspect(path, self._layout))

    def fit(self, path: Path, facts: Mapping[str, Any], recipe: Recipe, protocol: Protocol) -> None:
        """See `Entry.fit`."""
        pairs = self.problem.pairs(protocol)
        own = self.problem.resolution
        check_fit(path, self._layout, found_of(facts), pairs, recipe, own)

    def verify(self, path: Path) -> list[str]:
        """See `Entry.verify`; a file with too few samples or frames is reported as an excerpt."""
        layout = self._layout
        found = self._inspected(path, layout)
        grid = " x ".join(map(str, found.points))
        size = files.size_text(path.stat().st_size)
        times = "" if found.times is None else f" at {len(found.times)} times"
        lines = [f"{path}: {found.origin}, {found.samples} samples on {grid} points{times}, {size}"]
        frames.check_values(path, layout, found)
        lines.append(
            "  layout, parameters and coordinates as expected; all values were written and are "
            "finite and possible"
        )
        if found.samples < LEAST:
            lines.append(f"  an excerpt: at least {LEAST} samples are needed to train")
        last = self.problem.clean.time
        try:
            frame_at(path, layout, found, last)
        except DataError:
            end = 0.0 if found.times is None else found.times[-1]
            lines.append(
                f"  an excerpt that ends at t={end:g}; the task needs the frame at t={last:g}"
            )
        if found.origin == "official":
            lines.append(f"  {self._check_sum(path, found.samples)}")
        return lines

    def fetch(
        self, data_root: Path, progress: Progress | None = None, say: Say | None = None
    ) -> list[Path]:
        """See `Entry.fetch`."""
        return [download.fetch(self.files[0], data_root, progress=progress, say=say)]

    def generations(self, recipe: Recipe, protocol: Protocol) -> tuple[Generation, ...]:
        """See `Entry.generations`."""
        ends = {None, self.problem.clean.time}
        kinds: tuple[Frames, ...] = ("ends", "all")
        if not set(self.problem.pairs(protocol).times()) <= ends:
            kinds = ("all",)
        return tuple(
            Generation(samples=recipe.samples, resolution=recipe.resolution, frames=frames)
            for frames in kinds
        )

    def signature(self, generation: Generation) -> str:
        """See `Entry.signature`."""
        if not self.generatable:
            raise self._not_generatable()
        from benchmarks.pdebench import generate

        return generate.signature(self.problem.name, self.parameters, **self._arguments(generation))

    def generate(self, generation: Generation, path: Path, progress: Progress | None) -> None:
        """See `Entry.generate`."""
        from benchmarks.pdebench import generate

        generate.write(
            self.problem.name,
            self.parameters,
            path,
            progress=progress,
            **self._arguments(generation),
        )

    def _arguments(self, generation: Generation) -> dict[str, Any]:
        return {
            "samples": generation.samples or GENERATED_SAMPLES,
            "resolution": generation.resolution or self.problem.resolution,
            "seed": generation.seed,
            "frames": generation.frames,
        }

    def _inspected(self, path: Path, layout: Layout) -> Found:
        found = frames.inspect(path, layout)
        if self.problem.moves and found.origin == "official":
            check_speed(path, layout, found)
        return found

    def _floor(self, found: Found, pairs: Pairs, points: int) -> tuple[float | None, str]:
        """Return the error floor and where it comes from; it holds for the clean pairs alone.

        Args:
            found: The file.
            pairs: What is made of it.
            points: Points per axis that are left of it.
        """
        if pairs is not self.problem.clean or (self.problem.noise and points < found.native):
            return None, ""
        if found.origin == "generated" and found.tolerance is not None:
            return found.tolerance, "tolerance of this project's solver, as stated in the file"
        floor = self.released_floor(found.native)
        if found.origin == "official" and floor is not None:
            return floor.score, "measured on samples of other files"
        return None, ""

    def released_floor(self, points: int) -> Floor | None:
        """Return what a perfect solver scores on the official file, None if unknown.

        Args:
            points: Points per axis that its solutions were computed on.
        """
        floors = self.problem.floors.get(self.problem.label.format(**self.values), ())
        return next((floor for floor in floors if floor.points in (None, points)), None)

    @property
    def _layout(self) -> Layout:
        problem = self.problem
        parameters = {**self.parameters, **problem.configured}
        every = {name for other in PROBLEMS for name in (*other.published, *other.configured)}
        return Layout(
            style=problem.style,
            fields=(problem.clean.inputs, problem.clean.targets),
            channels=len(problem.clean.inputs.channels),
            axes=problem.axes,
            domain=problem.domain,
            domain_note=problem.domain_note,
            last_time=problem.clean.time,
            parameters=parameters,
            foreign=frozenset(every - {GRID} - parameters.keys()),
            possible=problem.possible,
        )

    def _check_sum(self, path: Path, samples: int) -> str:
        release = download.releases().get(path.name)
        if release is None:
            return "not one of the released files: no checksum is published"
        if samples != release.samples:
            return (
                f"not the released file as a whole, which holds {release.samples} samples: "
                "its checksum says nothing about this one"
            )
        found = cache.digest(path, "md5")
        if found != release.md5:
            wanted = f"{release.md5} as published; the file was damaged or changed"
            raise FileError(path, f"the md5 is {found}", wanted)
        return f"md5 {found} as published"


def entry(problem: Problem, values: Mapping[str, str]) -> PdeEntry:
    """Return the entry of an equation with the given parameter values."""
    suffix = "" if values == problem.published else ":" + problem.label.format(**values)
    task = Task(
        name=problem.name + suffix,
        title=problem.title.format(**values),
        kind="dense",
        channels=problem.channels,
        continues=problem.clean.inputs.framed,
        **learned(problem, "clean"),
    )
    release = download.releases().get(file := problem.file.format(**values))
    return PdeEntry(
        task=task,
        resolution=problem.resolution,
        axes=len(problem.axes),
        files=(file,),
        released_samples=release.samples if release else None,
        resizable=True,
        generatable=problem.label.format(**values) not in problem.downloaded,
        protocols=("clean", "released"),
        problem=problem,
        values=values,
    )


def entries() -> list[PdeEntry]:
    """Return the entries with the published parameter values."""
    return [entry(problem, problem.published) for problem in PROBLEMS]
