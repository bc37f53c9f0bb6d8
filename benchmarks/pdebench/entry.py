"""One entry class for all tasks of PDEBench."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import files
from benchmarks.entry import Entry
from benchmarks.files import Progress
from benchmarks.pdebench import download, frames
from benchmarks.pdebench.hdf5 import Layout, inspect
from benchmarks.pdebench.tasks import PROBLEMS, Problem
from benchmarks.prepare import Reading
from benchmarks.splits import LEAST, first_tenth_is_test
from xmft.errors import DataError, RequestError
from xmft.registry import nearest
from xmft.task import Origin, Recipe, Task

GENERATED_SAMPLES = 1000
"""Samples that are generated where the recipe names no number."""

GENERATED_SEED = 0
"""Apart from the seeds of training: every run sees the same samples."""

RELEASED_SAMPLES = 10_000
"""Samples in each of the released files below."""


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
        return {name: float(value) for name, value in self.values.items()}

    @property
    def labels(self) -> list[str]:
        """The released variants, the published one among them."""
        return list(self.problem.released())

    @property
    def cut(self) -> Mapping[str, Any]:
        """Default resolution, datasets and times."""
        fields = (self.problem.inputs, self.problem.targets)
        return {"resolution": self.resolution, "fields": [[f.dataset, f.time] for f in fields]}

    def variant(self, label: str) -> Entry:
        """Return the entry of a released variant; the published one has the plain name."""
        released = self.problem.released()
        if label not in released:
            raise RequestError(
                f"Unknown variant '{label}' of task '{self.problem.name}'. "
                f"{nearest(label, released)}"
            )
        return entry(self.problem, released[label])

    def inspect(self, path: Path, *, mend: str) -> Origin:
        """See `Entry.inspect`."""
        return inspect(path, self._layout(mend)).origin

    def read(self, paths: tuple[Path, ...], recipe: Recipe, *, mend: str) -> Reading:
        """See `Entry.read`."""
        (path,) = paths
        layout = self._layout(mend)
        found = inspect(path, layout)
        if found.samples < LEAST:
            raise DataError(
                f"{path}: found {found.samples} samples, expected at least {LEAST} (1 for test, "
                f"1 for validation, 2 for training). {mend}"
            )
        strides = tuple(self._stride(points, recipe, path) for points in found.points)
        cut = first_tenth_is_test(found.samples, recipe.samples)
        positions = cut.positions(found.samples)
        blocks = frames.read(path, layout, found, positions=positions, strides=strides)
        return Reading(counts=cut.counts, blocks=blocks)

    def verify(self, path: Path, *, mend: str) -> list[str]:
        """See `Entry.verify`."""
        layout = self._layout(mend)
        found = inspect(path, layout)
        grid = " x ".join(map(str, found.points))
        size = files.size_text(path.stat().st_size)
        lines = [f"{path}: {found.origin}, {found.samples} samples on {grid} points, {size}"]
        frames.check_finite(path, layout, found)
        lines.append("  layout, parameters and coordinates as expected; all values finite")
        if found.origin == "official":
            lines.append(f"  {self._check_sum(path, found.samples, mend)}")
        return lines

    def fetch(self, data_root: Path) -> list[Path]:
        """See `Entry.fetch`."""
        return [download.fetch(self.files[0], data_root)]

    def signature(self, recipe: Recipe) -> str:
        """See `Entry.signature`."""
        from benchmarks.pdebench import generate

        return generate.signature(self.problem.name, self.parameters, **self._amount(recipe))

    def generate(self, recipe: Recipe, path: Path, progress: Progress | None) -> None:
        """See `Entry.generate`."""
        from benchmarks.pdebench import generate

        generate.write(
            self.problem.name, self.parameters, path, progress=progress, **self._amount(recipe)
        )

    def _amount(self, recipe: Recipe) -> dict[str, int]:
        return {
            "samples": recipe.samples or GENERATED_SAMPLES,
            "resolution": recipe.resolution or self.problem.resolution,
            "seed": GENERATED_SEED,
        }

    def _layout(self, mend: str) -> Layout:
        return Layout(
            inputs=self.problem.inputs,
            targets=self.problem.targets,
            axes=self.problem.axes,
            attributes=self.parameters,
            mend=mend,
        )

    def _stride(self, points: int, recipe: Recipe, path: Path) -> int:
        """Return how many points of the file one point of the task stands for."""
        # A file coarser than the default is used as it is, unless the recipe insists.
        wanted = recipe.resolution or min(self.problem.resolution, points)
        if points % wanted:
            raise DataError(
                f"{path}: found {points} points per axis, expected a multiple of the resolution "
                f"{wanted}. Set `resolution` in the recipe to a number that divides {points}."
            )
        return points // wanted

    def _check_sum(self, path: Path, samples: int, mend: str) -> str:
        release = download.releases()[path.name]
        if samples != RELEASED_SAMPLES:
            return (
                f"not the released file as a whole, which holds {RELEASED_SAMPLES} samples: "
                "its checksum says nothing about this one"
            )
        found = files.digest(path, "md5")
        if found != release.md5:
            raise DataError(
                f"{path}: the md5 is {found}, expected {release.md5} as published; the file was "
                f"damaged or changed. {mend}"
            )
        return f"md5 {found} as published"


def entry(problem: Problem, values: Mapping[str, str]) -> PdeEntry:
    """Return the entry of an equation with the given parameter values."""
    suffix = "" if values == problem.published else ":" + problem.label.format(**values)
    task = Task(
        name=problem.name + suffix,
        version=problem.version,
        title=problem.title.format(**values),
        kind="dense",
        loss="nrmse",
        metrics=("nrmse", "nrmse_pdebench", "rmse"),
    )
    return PdeEntry(
        task=task,
        resolution=problem.resolution,
        files=(problem.file.format(**values),),
        generatable=True,
        problem=problem,
        values=values,
    )


def entries() -> list[PdeEntry]:
    """Return the entries with the published parameter values."""
    return [entry(problem, problem.published) for problem in PROBLEMS]
