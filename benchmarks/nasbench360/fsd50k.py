"""FSD50K: what is to be heard in a clip of sound, any of 200 labels (Fonseca et al., 2022).

40,966 clips for development, a tenth of them for validation, and 10,231 for the test, cut into
chunks of one second every half second at 22,050 Hz (`sound_chunks`). Read from the benchmark's own
chunks, folder `data/chunks`: `tr.csv`, `val.csv` and `eval.csv` with the columns `files`, `labels`
and `ext` (the clip), `lbl_map.json` with a number for each label, and the wav files that `files`
names, below `data`. Or from the release itself (zenodo 4060432): `FSD50K.ground_truth/{dev,eval,
vocabulary}.csv` beside `FSD50K.dev_audio` and `FSD50K.eval_audio`, resampled and cut here.

Sound is stored as it is, 16 bits a sample. The device makes log-mel spectrograms of 96 bands by 101
frames and takes off their mean. Training hears one second of each clip in an epoch, anywhere, with
bands and times masked in every second one (SpecAugment); no noise is mixed in, as public code does
with recordings that are no part of the release. What is scored are clips: the logits of all of
their chunks are averaged. `one_minus_map` is the mean average precision over the labels that the
test has.

The lists stand for the sounds: a run does not look whether a wav file has changed since.

Licence: CC BY 4.0 for the collection; each clip has its own Creative Commons licence.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import files
from benchmarks.download import Download
from benchmarks.entry import Entry
from benchmarks.nasbench360 import sound_chunks
from benchmarks.nasbench360.miniatures import fsd50k as miniature
from benchmarks.nasbench360.sound_chunks import RATE, SIZE, Sound
from benchmarks.nasbench360.sound_lists import (
    Clip,
    chunk_clips,
    label_numbers,
    raw_clips,
    vocabulary,
)
from benchmarks.nasbench360.wav_files import read_wav, resampled, samples_at
from benchmarks.origin import origin_of
from benchmarks.prepare import Block, Reading
from benchmarks.splits import TEST_SHARE
from xmft.errors import FileError
from xmft.task import Origin, Protocol, Ragged, Recipe, Task, Windows

LABELS = 200
_BLOCK = 64
_ZENODO = "https://zenodo.org/records/4060432/files/"
# Each archive of sounds has its last file behind its others, and the lists, by which the task is
# known to be there, come behind all.
_MD5 = {
    "FSD50K.dev_audio.z01": "faa7cf4cc076fc34a44a479a5ed862a3",
    "FSD50K.dev_audio.z02": "8f9b66153e68571164fb1315d00bc7bc",
    "FSD50K.dev_audio.z03": "1196ef47d267a993d30fa98af54b7159",
    "FSD50K.dev_audio.z04": "d088ac4e11ba53daf9f7574c11cccac9",
    "FSD50K.dev_audio.z05": "81356521aa159accd3c35de22da28c7f",
    "FSD50K.dev_audio.zip": "c480d119b8f7a7e32fdb58f3ea4d6c5a",
    "FSD50K.eval_audio.z01": "3090670eaeecc013ca1ff84fe4442aeb",
    "FSD50K.eval_audio.zip": "6fa47636c3a3ad5c7dfeba99f2637982",
    "FSD50K.ground_truth.zip": "ca27382c195e37d2269c4c866dd73485",
}
_SETTINGS = {"rate": RATE, "transform": 1920, "window": 661, "hop": 220, "bands": 96}


@dataclass(frozen=True, kw_only=True)
class Fsd50kEntry(Entry):
    """The task, whatever files its clips are in."""

    @property
    def decode(self) -> Callable[..., Any]:
        """From seconds of sound to spectrograms `[n, 1, 96, 101]`."""
        from xmft.decoding.audio import spectrograms
        from xmft.decoding.log_mel import MelSettings

        return partial(spectrograms, settings=MelSettings(**_SETTINGS))

    @property
    def augment(self) -> Callable[..., Any]:
        """Bands and times masked."""
        from xmft.decoding.audio import masked

        # SpecAugment of the public code.
        return partial(masked, chance=0.5, rounds=2, bands=0.15, times=0.2)

    def inspect(self, path: Path) -> Origin:
        """See `Entry.inspect`."""
        self.counted(path)
        return origin_of(path)

    @abstractmethod
    def counted(self, path: Path) -> str:
        """Check a list and say what is in it, for people."""

    @abstractmethod
    def clips(self, paths: tuple[Path, ...]) -> tuple[dict[str, list[Clip]], Mapping[str, int]]:
        """Return the clips of each split and the number of each label."""

    @abstractmethod
    def chunks(self, clip: Clip) -> Sound:
        """Return the chunks of a clip, `[n, 22050]`."""

    @abstractmethod
    def counts(self, clips: Sequence[Clip]) -> list[int]:
        """Return how many chunks each clip has, without reading them."""

    def read(self, paths: tuple[Path, ...], recipe: Recipe, protocol: Protocol) -> Reading:
        """Take the splits of the lists."""
        clips, numbers = self.clips(paths)
        seen: dict[str, str] = {}
        for split, several in clips.items():
            for clip in several:
                if seen.setdefault(clip.name, split) != split:
                    raise FileError(
                        clip.listed,
                        f"names the clip {clip.name}, which is for {seen[clip.name]} too",
                        "each clip in one split",
                    )
        if recipe.samples is not None:
            tenth = max(1, recipe.samples // TEST_SHARE)
            clips["test"], clips["val"] = clips["test"][:tenth], clips["val"][:tenth]
            left = recipe.samples - len(clips["test"]) - len(clips["val"])
            clips["train"] = clips["train"][:left]
        if empty := [split for split, several in clips.items() if not several]:
            raise FileError(" and ".join(map(str, paths)), f"name no clip for {empty[0]}", "some")
        counts = {split: self.counts(several) for split, several in clips.items()}
        return Reading(
            counts={split: len(several) for split, several in clips.items()},
            blocks=self._blocks(clips, counts, numbers),
            windows={split: _windows(split, several) for split, several in counts.items()},
        )

    def verify(self, path: Path) -> list[str]:
        """See `Entry.verify`."""
        size = files.size_text(path.stat().st_size)
        return [f"{path}: {origin_of(path)}, {self.counted(path)}, {size}"]

    def _blocks(
        self,
        clips: Mapping[str, list[Clip]],
        counts: Mapping[str, list[int]],
        numbers: Mapping[str, int],
    ) -> Iterator[Block]:
        place = 0
        for split, several in clips.items():
            for start in range(0, len(several), _BLOCK):
                part = several[start : start + _BLOCK]
                sounds = []
                for clip, count in zip(part, counts[split][start:], strict=False):
                    chunks = self.chunks(clip)
                    if len(chunks) != count:
                        raise FileError(
                            clip.listed, f"{clip.name} has {len(chunks)} chunks", f"{count}"
                        )
                    whole = sound_chunks.as_one(chunks) if split == "train" else chunks.ravel()
                    sounds.append(whole)
                targets = np.zeros((len(part), len(numbers)), np.uint8)
                for row, clip in enumerate(part):
                    targets[row, [numbers[label] for label in clip.labels]] = 1
                yield Block(np.arange(place, place + len(part)), Ragged.of(sounds), targets)
                place += len(part)


@dataclass(frozen=True, kw_only=True)
class ChunksEntry(Fsd50kEntry):
    """The clips as the benchmark cut them."""

    def counted(self, path: Path) -> str:
        """See `Fsd50kEntry.counted`."""
        if path.suffix == ".json":
            return f"{len(label_numbers(path, LABELS))} labels"
        found = chunk_clips(path, None)
        return f"{sum(len(clip.paths) for clip in found)} chunks of {len(found)} clips"

    def clips(self, paths: tuple[Path, ...]) -> tuple[dict[str, list[Clip]], Mapping[str, int]]:
        """See `Fsd50kEntry.clips`."""
        train, val, test, table = paths
        numbers = label_numbers(table, LABELS)
        places = {"test": test, "val": val, "train": train}
        return {split: chunk_clips(path, numbers) for split, path in places.items()}, numbers

    def chunks(self, clip: Clip) -> Sound:
        """See `Fsd50kEntry.chunks`."""
        read = (resampled(*read_wav(path)[::-1], RATE) for path in clip.paths)
        return np.stack([sound_chunks.filled(sound[:SIZE]) for sound in read])

    def counts(self, clips: Sequence[Clip]) -> list[int]:
        """See `Fsd50kEntry.counts`."""
        return [len(clip.paths) for clip in clips]

    def miniature(self, folder: Path) -> None:
        """See `Entry.miniature`."""
        miniature.write(folder / "data")


@dataclass(frozen=True, kw_only=True)
class RawEntry(Fsd50kEntry):
    """The clips as they were released."""

    def counted(self, path: Path) -> str:
        """See `Fsd50kEntry.counted`."""
        if path.name == "vocabulary.csv":
            return f"{len(vocabulary(path, LABELS))} labels"
        return f"{len(raw_clips(path, None))} clips"

    def clips(self, paths: tuple[Path, ...]) -> tuple[dict[str, list[Clip]], Mapping[str, int]]:
        """See `Fsd50kEntry.clips`."""
        development, test, table = paths
        numbers = vocabulary(table, LABELS)
        found = raw_clips(development, numbers)
        clips = {"test": raw_clips(test, numbers)}
        clips |= {split: [c for c in found if c.split == split] for split in ("val", "train")}
        return clips, numbers

    def chunks(self, clip: Clip) -> Sound:
        """See `Fsd50kEntry.chunks`."""
        rate, sound = read_wav(clip.paths[0])
        return sound_chunks.cut(resampled(sound, rate, RATE))

    def counts(self, clips: Sequence[Clip]) -> list[int]:
        """See `Fsd50kEntry.counts`."""
        return [sound_chunks.count(samples_at(clip.paths[0], RATE)) for clip in clips]


def entries() -> list[Fsd50kEntry]:
    """Return the one entry."""
    task = Task(
        name="nasbench360/fsd50k",
        version=1,
        title="What is to be heard in a clip of sound",
        kind="multilabel",
        loss="binary_cross_entropy_pos10",
        metrics=("one_minus_map", "one_minus_auroc"),
        classes=LABELS,
        pool="mean",
    )
    shared: dict[str, Any] = {
        "task": task,
        "axes": 2,
        "protocols": ("clean", "released"),
        "released_samples": 36_796,
    }
    parts = tuple(
        Download(
            path=PurePosixPath(name),
            urls=(f"{_ZENODO}{name}?download=1",),
            checksum=f"md5:{digest}",
            unpack=name.endswith(".zip"),
        )
        for name, digest in _MD5.items()
    )
    raw = RawEntry(
        patterns=tuple(f"FSD50K.ground_truth/{name}.csv" for name in ("dev", "eval", "vocabulary")),
        downloads=parts,
        **shared,
    )
    audio = Download(
        path=PurePosixPath("audio.zip"),
        urls=("https://pde-xd.s3.amazonaws.com/audio/audio.zip",),
        size=24_000_000_000,
        unpack=True,
        note="Google Drive has it as 1IDOkm7IpFfgByDZNM6daxZaVzVJVBNid.",
    )
    names = ("tr.csv", "val.csv", "eval.csv", "lbl_map.json")
    return [
        ChunksEntry(
            patterns=tuple(f"chunks/{name}" for name in names),
            alternatives=(raw,),
            downloads=(audio,),
            miniature_version=1,
            **shared,
        )
    ]


def _windows(split: str, counts: list[int]) -> Windows:
    """Lay windows over clips: every chunk of each, or one that moves from epoch to epoch."""
    if split == "train":
        table = np.column_stack([np.arange(len(counts)), np.zeros(len(counts), np.int64)])
        return Windows(table=table, size=(SIZE,), random=True)
    clip = np.repeat(np.arange(len(counts)), counts)
    number: npt.NDArray[np.int64] = np.concatenate([np.arange(count) for count in counts])
    return Windows(table=np.column_stack([clip, number * SIZE]), size=(SIZE,))
