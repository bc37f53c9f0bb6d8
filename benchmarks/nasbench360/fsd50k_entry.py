"""The task FSD50K, whatever files its clips are in: splits, chunks and what is told of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import files
from benchmarks.entry import Entry
from benchmarks.nasbench360.fsd50k_tables import LABELS, Clip, check_disjoint
from benchmarks.nasbench360.sound_chunks import RATE, SIZE, Sound, as_one, packed
from benchmarks.prepare import Block, Reading
from benchmarks.splits import TEST_SHARE
from xmft.errors import FileError
from xmft.task import Protocol, Ragged, Recipe, Windows

SPLITS = ("test", "val", "train")

_BLOCK = 32


@dataclass(frozen=True, kw_only=True)
class Fsd50kEntry(Entry):
    """The task, whatever files its clips are in.

    Attributes:
        folder: Name of the folder that the tables are in.
    """

    folder: str

    @property
    def decode(self) -> Callable[..., Any]:
        """From int16 seconds to spectrograms `[n, 1, 96, 101]`."""
        from xmft.decoding.audio import spectrograms
        from xmft.decoding.log_mel import MelSettings

        settings = MelSettings(rate=RATE, transform=1920, window=661, hop=220, bands=96)
        return partial(spectrograms, settings=settings)

    @property
    def augment(self) -> Callable[..., Any]:
        """Masks in every second spectrogram."""
        from xmft.decoding.audio import masked

        return partial(masked, chance=0.5, rounds=2, bands=0.15, times=0.2)

    @abstractmethod
    def clips(self, path: Path) -> dict[str, list[Clip]]:
        """Return the clips of a table by split.

        Raises:
            FileError: something is wrong with it.
        """

    @abstractmethod
    def sounds(self, path: Path, clip: Clip) -> list[tuple[int, Sound]]:
        """Return rate and samples of each file of a clip.

        Args:
            path: The table.
            clip: One of its clips.

        Raises:
            FileError: something is wrong with a file.
        """

    @abstractmethod
    def chunks(self, sounds: list[tuple[int, Sound]]) -> Sound:
        """Return the chunks `[n, SIZE]` of what `sounds` gave."""

    def candidates(self, data_root: Path) -> dict[str, list[Path]]:
        """See `Entry.candidates`; tables from one folder, of several the one with the largest."""
        there = files.find_every(data_root, self.files)
        within = {
            name: [path for path in paths if path.parent.name == self.folder]
            for name, paths in there.items()
        }
        folders = {path.parent for path in within.get(self.files[0], ())}
        whole = [
            one for one in folders if all(one / name in within.get(name, ()) for name in self.files)
        ]
        if whole:
            best = max(sorted(whole), key=lambda one: (one / self.files[0]).stat().st_size)
            return {name: [best / name] for name in self.files}
        return {name: paths for name, paths in within.items() if paths}

    def facts(self, path: Path) -> dict[str, Any]:
        """See `Entry.facts`; reads all sound of a table."""
        return _Looked(self, path).facts if is_table(path) else {}

    def fit(self, path: Path, facts: Mapping[str, Any], recipe: Recipe, protocol: Protocol) -> None:
        """See `Entry.fit`."""
        for split, count in facts.get("splits", {}).items():
            if not count:
                raise FileError(path, f"found no clip for {split}", "at least one")

    def read(self, paths: tuple[Path, ...], recipe: Recipe, protocol: Protocol) -> Reading:
        """Take the splits of the tables; of a cap one clip in ten is for the test."""
        places: dict[str, Path] = {}
        parts: dict[str, list[Clip]] = {}
        for path in filter(is_table, paths):
            for split, clips in self.clips(path).items():
                places[split], parts[split] = path, clips
        check_disjoint(places, parts)
        for split in SPLITS:
            if not parts[split]:
                raise FileError(places[split], f"found no clip for {split}", "at least one")
        if recipe.samples is not None:
            few = max(1, recipe.samples // TEST_SHARE)
            parts["test"], parts["val"] = _some(parts["test"], few), _some(parts["val"], few)
            rest = recipe.samples - len(parts["test"]) - len(parts["val"])
            parts["train"] = _some(parts["train"], rest)
        windows: dict[str, Windows] = {}
        return Reading(
            counts={split: len(parts[split]) for split in SPLITS},
            blocks=self._blocks(places, parts, windows),
            windows=windows,
        )

    def verify(self, path: Path) -> list[str]:
        """See `Entry.verify`."""
        origin = self.inspect(path)
        if not is_table(path):
            return [f"{path}: {origin}"] if path.suffix != ".wav" else []
        seen = _Looked(self, path)
        shown = ", ".join(f"{count} for {split}" for split, count in seen.splits.items())
        lines = [
            f"{path}: {origin}, clips: {shown}, {seen.seconds / 3600:.2f} hours in {seen.count} "
            f"wav files; {len(seen.labels)} of {LABELS} labels"
        ]
        if seen.silent:
            lines.append(f"  {seen.silent} of the wav files silent from start to end")
        return lines

    def _blocks(
        self,
        places: Mapping[str, Path],
        parts: Mapping[str, list[Clip]],
        windows: dict[str, Windows],
    ) -> Iterator[Block]:
        """Yield the clips, and say which windows each split has when all of it is read."""
        position = 0
        for split in SPLITS:
            clips, table = parts[split], list[tuple[int, int]]()
            for first in range(0, len(clips), _BLOCK):
                chosen = clips[first : first + _BLOCK]
                samples = []
                targets = np.zeros((len(chosen), LABELS), dtype=np.uint8)
                for place, clip in enumerate(chosen):
                    chunks = self.chunks(self.sounds(places[split], clip))
                    sample, starts = (as_one(chunks), [0]) if split == "train" else packed(chunks)
                    samples.append(sample)
                    table += [(first + place, start) for start in starts]
                    targets[place, list(clip.labels)] = 1
                numbers = np.arange(position, position + len(chosen))
                yield Block(numbers, Ragged.of(samples), targets)
                position += len(chosen)
            windows[split] = Windows(
                table=np.array(table, dtype=np.int64), size=(SIZE,), random=split == "train"
            )


class _Looked:
    """What is found when all sound of a table is read."""

    def __init__(self, entry: Fsd50kEntry, path: Path) -> None:
        parts = entry.clips(path)
        self.count, self.silent, self.seconds = 0, 0, 0.0
        self.labels: set[int] = set()
        content = sha256()
        for clip in (clip for clips in parts.values() for clip in clips):
            self.labels.update(clip.labels)
            for rate, sound in entry.sounds(path, clip):
                content.update(f"{rate} {len(sound)} ".encode())
                content.update(sound.tobytes())
                self.count += 1
                self.silent += not sound.any()
                self.seconds += len(sound) / rate
        self.splits = {split: len(clips) for split, clips in parts.items()}
        self.facts: dict[str, Any] = {
            "samples": sum(self.splits.values()),
            "splits": self.splits,
            "content": content.hexdigest(),
        }


def is_table(path: Path) -> bool:
    """Tell a table of clips from the other files of the task."""
    return path.suffix == ".csv" and path.name != "vocabulary.csv"


def _some(clips: list[Clip], count: int) -> list[Clip]:
    """Return so many clips in their order: tables are sorted by label, so not the first ones."""
    chosen = np.random.RandomState(360).permutation(len(clips))[: max(count, 0)]
    return [clips[number] for number in np.sort(chosen)]
