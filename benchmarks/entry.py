"""What the catalogue knows about one task, and what it asks of each suite."""

from __future__ import annotations

import shlex
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks import files
from benchmarks.files import Progress
from benchmarks.prepare import Reading
from xmft.errors import RequestError
from xmft.task import Origin, Protocol, Recipe, Task

Frames = Literal["ends", "all"]
"""Which frames of a file are generated: the first and the last, or all that are released."""


@dataclass(frozen=True, kw_only=True)
class Generation:
    """What is to be generated.

    Attributes:
        samples: Number of samples; None: the task's default.
        resolution: Points per axis; None: the task's default.
        seed: Seed of the samples, apart from the seeds of training.
        frames: Which frames are stored.
    """

    samples: int | None = None
    resolution: int | None = None
    seed: int = 0
    frames: Frames = "ends"


@dataclass(frozen=True, kw_only=True)
class Entry(ABC):
    """One task of the catalogue.

    Attributes:
        task: What has to be learned.
        resolution: Points per axis unless the recipe says otherwise; None: the data fix it.
        axes: Number of grid axes of the inputs, 1 for a series.
        files: Official names of the files that are needed, all of them.
        generatable: The samples can be computed where no file is there.
        protocols: Under which the task can be run.
    """

    task: Task
    resolution: int | None
    axes: int
    files: tuple[str, ...]
    generatable: bool = False
    protocols: tuple[Protocol, ...] = ("clean",)

    @abstractmethod
    def inspect(self, path: Path, *, mend: str) -> Origin:
        """Check that a file is what its name says and return its origin.

        Args:
            path: One of `files`.
            mend: What to do about a bad file; ends the error message.

        Raises:
            DataError: the file is unreadable or something else.
        """

    @abstractmethod
    def read(
        self, paths: tuple[Path, ...], recipe: Recipe, protocol: Protocol, *, mend: str
    ) -> Reading:
        """Cut the files into splits and start to read them.

        Args:
            paths: All of `files`, in that order.
            recipe: Its `samples` and `resolution` decide how the data are cut.
            protocol: One of `protocols`.
            mend: What to do about a bad file; ends the error message.

        Raises:
            DataError: the files do not give what the recipe asks for; values that are not
                finite are found while the blocks are read.
        """

    @abstractmethod
    def verify(self, path: Path, *, mend: str) -> list[str]:
        """Check a file in full and return what was found, in lines for people.

        Raises:
            DataError: something is wrong with the file.
        """

    @abstractmethod
    def fetch(self, data_root: Path) -> list[Path]:
        """Download the official files that are not there yet.

        Raises:
            DataError: the files cannot be had, or are damaged.
        """

    @property
    def labels(self) -> list[str]:
        """What may follow the colon of the name: the released variants."""
        return []

    def cut(self, protocol: Protocol) -> Mapping[str, Any]:
        """Return what decides, beside the recipe, which numbers are taken from the files."""
        return {"resolution": self.resolution}

    def find(self, data_root: Path) -> dict[str, Path]:
        """Return those of `files` that are anywhere under the data root, by official name."""
        return files.find(data_root, self.files)

    def check_protocol(self, protocol: Protocol) -> None:
        """Check that the task has a protocol.

        Raises:
            RequestError: it has not.
        """
        if protocol not in self.protocols:
            raise RequestError(
                f"The protocol '{protocol}' is not available for task '{self.task.name}'; use "
                f"{' or '.join(map(repr, self.protocols))}."
            )

    def variant(self, label: str) -> Entry:
        """Return the entry of a released variant.

        Raises:
            RequestError: there is none of that name.
        """
        raise RequestError(f"Task '{self.task.name}' has no variants; leave out ':{label}'.")

    def generations(self, recipe: Recipe, protocol: Protocol) -> tuple[Generation, ...]:
        """Return what could be generated and would do, the least first.

        Raises:
            RequestError: the task cannot be generated.
        """
        raise self._not_generatable()

    def signature(self, generation: Generation) -> str:
        """Return the identity of what `generate` would write.

        Raises:
            RequestError: the task cannot be generated, or not so.
        """
        raise self._not_generatable()

    def generate(self, generation: Generation, path: Path, progress: Progress | None) -> None:
        """Compute the samples and write them in the official layout.

        Raises:
            RequestError: the task cannot be generated, or not so.
        """
        raise self._not_generatable()

    def _not_generatable(self) -> RequestError:
        return RequestError(
            f"The data of {self.task.name} cannot be generated. Get them with `xmft data fetch "
            f"{self.task.name}`."
        )

    def mend(self, data_root: Path, *, bad: bool = False) -> str:
        """Return the sentence that says how to get good files.

        Args:
            data_root: Where they go.
            bad: A bad file is in the way.
        """
        fetch, generate = (
            f"`xmft data {verb} {self.task.name} --data {shlex.quote(str(data_root))}`"
            for verb in ("fetch", "generate")
        )
        start = "Move the file away, then get" if bad else "Get"
        other = f", or make your own with {generate}" if self.generatable else ""
        return f"{start} the official data with {fetch}{other}."
