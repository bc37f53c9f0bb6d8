"""What the catalogue knows about one task, and what it asks of each suite."""

from __future__ import annotations

import shlex
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.files import Progress
from benchmarks.prepare import Reading
from xmft.errors import RequestError
from xmft.task import Origin, Recipe, Task


@dataclass(frozen=True, kw_only=True)
class Entry(ABC):
    """One task of the catalogue.

    Attributes:
        task: What has to be learned.
        resolution: Points per axis unless the recipe says otherwise; None: the data fix it.
        files: Official names of the files that are needed, all of them.
        generatable: The samples can be computed where no file is there.
    """

    task: Task
    resolution: int | None
    files: tuple[str, ...]
    generatable: bool = False

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
    def read(self, paths: tuple[Path, ...], recipe: Recipe, *, mend: str) -> Reading:
        """Cut the files into splits under the clean protocol and start to read them.

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

    @property
    def cut(self) -> Mapping[str, Any]:
        """What decides, beside the recipe, which numbers are taken from the files."""
        return {"resolution": self.resolution}

    def variant(self, label: str) -> Entry:
        """Return the entry of a released variant.

        Raises:
            RequestError: there is none of that name.
        """
        raise RequestError(f"Task '{self.task.name}' has no variants; leave out ':{label}'.")

    def signature(self, recipe: Recipe) -> str:
        """Return the identity of what `generate` would write.

        Raises:
            RequestError: the task cannot be generated.
        """
        raise RequestError(f"Task '{self.task.name}' cannot be generated.")

    def generate(self, recipe: Recipe, path: Path, progress: Progress | None) -> None:
        """Compute the samples and write them in the official layout.

        Raises:
            RequestError: the task cannot be generated.
        """
        raise RequestError(f"Task '{self.task.name}' cannot be generated.")

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
