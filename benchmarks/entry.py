"""What the catalogue knows about one task, and what it asks of each suite."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks import fetching, files
from benchmarks.download import Download, Say
from benchmarks.files import Progress
from benchmarks.prepare import Reading
from xmft.errors import RequestError
from xmft.task import Origin, Protocol, Recipe, Split, Task

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

    Who reads a file raises a `FileError` where it is bad; `benchmarks.data` adds what to do.

    Attributes:
        task: What has to be learned.
        resolution: Points per axis unless the recipe says otherwise; None: the data fix it.
        resizable: The recipe may ask for another resolution.
        points: Points per axis of data that fix it, where all samples have as many.
        axes: Number of grid axes of the inputs, 1 for a series.
        files: Official names of the files that are needed, all of them.
        patterns: Ends of the paths of further files (`training/*.mat`), where these are many; at
            least one file for each is needed.
        generatable: The samples can be computed where no file is there.
        protocols: Under which the task can be run.
        origin: Of samples whose files do not say it themselves.
        released_samples: In the released files, to train on; None: not known.
        alternatives: The same task read from other files, tried in this order where its own are
            not all there.
        downloads: What `fetch` gets.
        miniature_version: Raised whenever `miniature` writes other values; 0: there is none.
    """

    task: Task
    resolution: int | None = None
    resizable: bool = False
    points: int | None = None
    axes: int = 1
    files: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    generatable: bool = False
    protocols: tuple[Protocol, ...] = ("clean",)
    origin: Origin = "official"
    released_samples: int | None = None
    alternatives: tuple[Entry, ...] = ()
    downloads: tuple[Download, ...] = ()
    miniature_version: int = 0

    @abstractmethod
    def read(self, paths: tuple[Path, ...], recipe: Recipe, protocol: Protocol) -> Reading:
        """Cut the files into splits and start to read them.

        Args:
            paths: All of `files` in that order, and then those of `patterns`, each in sorted order.
            recipe: Its `samples` and `resolution` decide how the data are cut.
            protocol: One of `protocols`.

        Raises:
            FileError: a file is not what its name says, found here or while blocks are read.
            DataError: the files do not give what the recipe asks for.
        """

    def task_under(self, protocol: Protocol) -> Task:
        """Return what has to be learned under a protocol; `task` is that of the clean one."""
        return self.task

    @property
    def decode(self) -> Callable[..., Any] | None:
        """See `TaskData.decode`."""
        return None

    @property
    def augment(self) -> Callable[..., Any] | None:
        """See `TaskData.augment`."""
        return None

    @property
    def labels(self) -> list[str]:
        """What may follow the colon of the name: the released variants."""
        return []

    def inspect(self, path: Path) -> Origin:
        """Check that a file is what its name says and return its origin.

        Raises:
            FileError: the file is unreadable or something else.
        """
        return self.origin

    def facts(self, path: Path) -> dict[str, Any]:
        """Return what `fit` asks about a file that has passed `inspect`, as JSON has it.

        It is remembered as long as the file does not change. `samples` is what files of one name
        are compared by. `content`, of a file that names others, is the identity of these, a part of
        that of the task.
        """
        return {}

    def fit(self, path: Path, facts: Mapping[str, Any], recipe: Recipe, protocol: Protocol) -> None:
        """Check, without opening a file, that the task can be cut from it; plans ask this.

        Args:
            path: The file.
            facts: What `facts` returned.
            recipe: See `read`.
            protocol: See `read`.

        Raises:
            DataError: it has not what is needed, such as too few samples.
        """
        return None

    def verify(self, path: Path) -> list[str]:
        """Check a file in full and return what was found, in lines for people.

        Raises:
            FileError: something is wrong with the file.
        """
        origin, size = self.inspect(path), files.size_text(path.stat().st_size)
        published = any(d.checksum for d in self.downloads if d.path.name == path.name)
        return [f"{path}: {origin}, {size}" + ("" if published else "; no checksum is published")]

    def fetch(
        self, data_root: Path, progress: Progress | None = None, say: Say | None = None
    ) -> list[Path]:
        """Download the official files that are not there yet.

        Args:
            data_root: Where they are looked for; they go to `<suite>/<task>` below it.
            progress: Called with bytes done and bytes in all.
            say: Called with what is fetched, and what goes wrong on the way.

        Returns:
            The files.

        Raises:
            DataError: the files cannot be had, or are damaged.
        """
        return fetching.fetch(self, data_root, progress=progress, say=say)

    def cut(self, protocol: Protocol) -> Mapping[str, Any]:
        """Return what decides, beside the recipe, which numbers are taken from the files."""
        return {"resolution": self.resolution}

    def candidates(self, data_root: Path) -> dict[str, list[Path]]:
        """Return those of `files` that are anywhere under the data root, by official name."""
        return files.find_every(data_root, self.files)

    def names(self) -> dict[str, re.Pattern[str]]:
        """Return `files`, each with the pattern of the names that do in its stead."""
        return {name: re.compile(re.escape(name)) for name in self.files}

    def members(self, data_root: Path) -> dict[str, list[list[Path]]]:
        """Return the files of `patterns` by pattern, each with its copies, in sorted order."""
        return {pattern: files.find_copies(data_root, pattern) for pattern in self.patterns}

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

    def miniature(self, folder: Path) -> None:
        """Write the smallest valid files in the official layout below a folder.

        There is something to be learned in them, and they are the same each time.

        Raises:
            RequestError: the task has no miniature.
        """
        raise RequestError(f"There is no miniature of task '{self.task.name}'.")

    def _not_generatable(self) -> RequestError:
        return RequestError(
            f"The data of {self.task.name} cannot be generated. Get them with `xmft data fetch "
            f"{self.task.name}`."
        )


@dataclass(frozen=True, kw_only=True)
class ArrayEntry(Entry):
    """A task whose splits a function makes, of files that it names or of nothing.

    Its identity is the name and the version of the task, and the content of the files: raise the
    version whenever the function makes other numbers.

    Attributes:
        load: From the recipe (and, where there are files, their paths as in `Entry.read`) to the
            splits `train`, `val` and `test`.
    """

    load: Callable[..., Mapping[str, Split]]

    def read(self, paths: tuple[Path, ...], recipe: Recipe, protocol: Protocol) -> Reading:
        """See `Entry.read`."""
        return Reading(splits=self.load(recipe, paths) if paths else self.load(recipe))
