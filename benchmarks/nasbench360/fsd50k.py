"""FSD50K: which of 200 kinds of sound are heard in a clip from Freesound, several in most.

Clips of 0.3 to 30 seconds (Fonseca et al. 2020; CC BY 4.0 and other licences of Creative Commons by
clip), 36,796 to train on, 4,170 to validate and 10,231 for the test. Read from the benchmark's own
`audio.zip` (Tu et al. 2022): `data/chunks/{tr,val,eval}.csv` with the columns `files`, `labels` and
`ext` (the clip), `lbl_map.json`, and wav files of one second at 22,050 Hz, 16 bits, mono; or from
the release itself, `FSD50K.dev_audio`, `FSD50K.eval_audio` and `FSD50K.ground_truth` side by side,
44.1 kHz, 16 bits, mono. A clip of another rate is resampled, by scipy where the benchmark has it
done by ffmpeg, and cut by the benchmark's rule, see `sound_chunks`. A chunk of another rate is
refused: nobody knows what it is a second of. Silence is sound, and its spectrogram zero.

Sound stays in 16 bits until the device makes a log-mel spectrogram `[1, 96, 101]` of each second:
frames of 30 ms every 10 ms, 96 bands, decibels, minus its own mean. In training each clip gives one
second in each epoch, from anywhere in it, and one in two has bands and times masked. No noise is
mixed in, as public code does: its recordings are of another corpus, are drawn once for all epochs
there, and are no part of the task; `released` is the same as `clean`. A clip is scored by all of
its chunks, by the mean of their logits; the score is 1 minus the mean of the average precision over
the labels that the test has.

Splits are those of the release, by clip; its makers kept clips of one uploader together, which the
tables do not show. Public code that chooses among epochs by the test clips is not followed.

The sound of a table's clips is read once when the table is seen first, and is what it is known by:
touch the tables if it is changed afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from benchmarks.download import Download
from benchmarks.nasbench360.fsd50k_entry import Fsd50kEntry, is_table
from benchmarks.nasbench360.fsd50k_tables import (
    LABELS,
    Clip,
    read_chunks,
    read_clips,
    read_map,
    read_vocabulary,
)
from benchmarks.nasbench360.miniatures import fsd50k as miniature
from benchmarks.nasbench360.sound_chunks import RATE, SIZE, Sound, cut, filled
from benchmarks.nasbench360.wav_files import read_wav, resampled
from benchmarks.origin import origin_of
from xmft.errors import FileError
from xmft.task import Origin, Task

_ZENODO = "https://zenodo.org/records/4060432/files"

_MD5 = {
    "dev_audio.z01": "faa7cf4cc076fc34a44a479a5ed862a3",
    "dev_audio.z02": "8f9b66153e68571164fb1315d00bc7bc",
    "dev_audio.z03": "1196ef47d267a993d30fa98af54b7159",
    "dev_audio.z04": "d088ac4e11ba53daf9f7574c11cccac9",
    "dev_audio.z05": "81356521aa159accd3c35de22da28c7f",
    "dev_audio.zip": "c480d119b8f7a7e32fdb58f3ea4d6c5a",
    "eval_audio.z01": "3090670eaeecc013ca1ff84fe4442aeb",
    "eval_audio.zip": "6fa47636c3a3ad5c7dfeba99f2637982",
    "ground_truth.zip": "ca27382c195e37d2269c4c866dd73485",
}


@dataclass(frozen=True, kw_only=True)
class ChunksEntry(Fsd50kEntry):
    """The benchmark's chunks."""

    def inspect(self, path: Path) -> Origin:
        """See `Entry.inspect`."""
        if path.suffix == ".json":
            read_map(path)
        return origin_of(path)

    def clips(self, path: Path) -> dict[str, list[Clip]]:
        """See `Fsd50kEntry.clips`."""
        split = {"tr.csv": "train", "val.csv": "val"}.get(path.name, "test")
        return {split: read_chunks(path, read_map(path.with_name("lbl_map.json")))}

    def sounds(self, path: Path, clip: Clip) -> list[tuple[int, Sound]]:
        """See `Fsd50kEntry.sounds`."""
        found = []
        for file in clip.files:
            place = path.parent.parent / file
            rate, sound = read_wav(place)
            if rate != RATE or len(sound) > SIZE:
                raise FileError(
                    place,
                    f"found {len(sound)} samples at {rate} Hz",
                    f"a chunk of at most {SIZE} samples at {RATE} Hz",
                )
            found.append((rate, sound))
        return found

    def chunks(self, sounds: list[tuple[int, Sound]]) -> Sound:
        """See `Fsd50kEntry.chunks`."""
        return np.stack([filled(sound) for _, sound in sounds])

    def miniature(self, folder: Path) -> None:
        """See `Entry.miniature`."""
        miniature.write(folder / "data")


@dataclass(frozen=True, kw_only=True)
class RawEntry(Fsd50kEntry):
    """The release: whole clips, with the tables in a folder beside those of the sound."""

    def members(self, data_root: Path) -> dict[str, list[list[Path]]]:
        """See `Entry.members`; of the clips the first: the tables name all, and look at them."""
        tables = self.candidates(data_root).get(self.files[0], ())
        found: dict[str, list[list[Path]]] = {pattern: [] for pattern in self.patterns}
        for table in tables:
            for pattern in self.patterns:
                folder = table.parent.parent / pattern.partition("/")[0]
                names = [path for path in folder.glob("*.wav") if not path.name.startswith(".")]
                found[pattern] += [[path] for path in sorted(names)[:1]]
        return found

    def inspect(self, path: Path) -> Origin:
        """See `Entry.inspect`."""
        if path.suffix == ".wav":
            read_wav(path)
        elif not is_table(path):
            read_vocabulary(path)
        return origin_of(path)

    def clips(self, path: Path) -> dict[str, list[Clip]]:
        """See `Fsd50kEntry.clips`."""
        folder = f"FSD50K.{path.stem}_audio"
        return read_clips(path, read_vocabulary(path.with_name("vocabulary.csv")), folder)

    def sounds(self, path: Path, clip: Clip) -> list[tuple[int, Sound]]:
        """See `Fsd50kEntry.sounds`."""
        return [read_wav(path.parent.parent / clip.files[0])]

    def chunks(self, sounds: list[tuple[int, Sound]]) -> Sound:
        """See `Fsd50kEntry.chunks`."""
        rate, sound = sounds[0]
        return cut(resampled(sound, rate, RATE))


def entries() -> list[Fsd50kEntry]:
    """Return the one entry."""
    task = Task(
        name="nasbench360/fsd50k",
        version=1,
        title="Kinds of sound that are heard in a clip",
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
    archive = Download(
        path=PurePosixPath("audio.zip"),
        urls=("https://pde-xd.s3.amazonaws.com/audio/audio.zip",),
        size=24_000_000_000,
        unpack=True,
        note="The authors' Google Drive has it as 1IDOkm7IpFfgByDZNM6daxZaVzVJVBNid.",
    )
    raw = RawEntry(
        folder="FSD50K.ground_truth",
        files=("dev.csv", "eval.csv", "vocabulary.csv"),
        patterns=("FSD50K.dev_audio/*.wav", "FSD50K.eval_audio/*.wav"),
        downloads=tuple(_zenodo_files()),
        **shared,
    )
    return [
        ChunksEntry(
            folder="chunks",
            files=("tr.csv", "val.csv", "eval.csv", "lbl_map.json"),
            alternatives=(raw,),
            downloads=(archive,),
            miniature_version=1,
            **shared,
        )
    ]


def _zenodo_files() -> Iterator[Download]:
    """Yield the files of the release: the last part of an archive behind the others, tables last.

    By the tables the task is known to be there.
    """
    for name, digest in _MD5.items():
        yield Download(
            path=PurePosixPath(f"FSD50K.{name}"),
            urls=(f"{_ZENODO}/FSD50K.{name}?download=1",),
            checksum=f"md5:{digest}",
            unpack=name.endswith(".zip"),
        )
