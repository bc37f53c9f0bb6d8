"""Files of FSD50K that are refused, what a task is known by, and how clips are scored."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import average_precision_score

from benchmarks import data as task_data
from benchmarks.nasbench360.miniatures import fsd50k as miniature
from benchmarks.nasbench360.sound_chunks import RATE
from benchmarks.nasbench360.wav_files import read_wav, resampled
from tests.benchmarks.sounds import NAME, raw_release, save
from xmft.errors import DataError, FileError
from xmft.evaluation import evaluate
from xmft.metrics import METRICS
from xmft.recipe import Recipe
from xmft.samples import Samples
from xmft.session import Session

WIDE = struct.Struct("<4sI4s4sIHHIIHH4sI")


def message(data_root: Path) -> str:
    with pytest.raises(DataError) as caught:
        task_data.load(NAME, data_root=data_root)
    return str(caught.value)


def wav(path: Path, form: int, bits: int, content: bytes) -> None:
    """A file of any form, by the fields of its header."""
    width = bits // 8
    head = (b"RIFF", 36 + len(content), b"WAVE", b"fmt ", 16, form, 1, RATE, RATE * width, width)
    path.write_bytes(WIDE.pack(*head, bits, b"data", len(content)) + content)


def test_sounds_of_other_forms_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    for form, bits, found in (
        (3, 32, "is no wav file of plain PCM samples, or a damaged one (unknown format: 3)"),
        (1, 8, "found 1 channel of 8 bits, expected mono PCM of 16 bits"),
        (1, 24, "found 1 channel of 24 bits, expected mono PCM of 16 bits"),
    ):
        wav(path, form, bits, bytes(240))
        with pytest.raises(FileError) as caught:
            read_wav(path)
        assert str(caught.value).startswith(f"{path}") and found in str(caught.value)
        assert "ffmpeg" in caught.value.mend
    wav(path, 1, 16, np.arange(-5, 5, dtype="<i2").tobytes())
    rate, sound = read_wav(path)
    assert rate == RATE and sound.dtype == np.int16 and sound.tolist() == list(range(-5, 5))
    for rate in (0, 3_999, 192_001):
        save(path, np.ones(10), max(rate, 1))
        with pytest.raises(FileError, match="samples a second, expected 4000 to 192000"):
            read_wav(path)
    with pytest.raises(FileError, match="is gone"):
        read_wav(tmp_path / "b.wav")


def test_damaged_sounds_are_told_whatever_is_left_of_them(tmp_path: Path) -> None:
    path, rng = tmp_path / "a.wav", np.random.default_rng(1)
    save(path, rng.integers(-900, 900, 500))
    whole = path.read_bytes()
    for length in range(0, len(whole) - 1, 13):
        path.write_bytes(whole[:length])
        with pytest.raises(FileError):
            read_wav(path)
    for _ in range(50):
        path.write_bytes(rng.integers(0, 256, 300, dtype=np.uint8).tobytes())
        with pytest.raises(FileError):
            read_wav(path)


def test_what_is_louder_than_16_bits_hold_is_cut_off() -> None:
    square = np.where(np.arange(4000) // 100 % 2, -32768, 32767).astype(np.int16)
    half = resampled(square, 44_100, RATE)
    # The filter rings beyond the square wave; without the limit it would turn over to -32768.
    assert half.max() == 32767 and half.min() == -32768
    assert (
        np.sign(half[10:-10].astype(int)) == np.sign(square[20:-20:2].astype(int))
    ).mean() > 0.98
    assert resampled(square, RATE, RATE) is square
    assert len(resampled(square, 48_000, RATE)) == -(-4000 * 147 // 320)


@pytest.fixture
def chunks(data_root: Path) -> Path:
    miniature.write(data_root / "data")
    return data_root / "data" / "chunks"


def test_a_chunk_of_another_rate_or_length_is_refused(chunks: Path, data_root: Path) -> None:
    path = chunks / "30002_0000.wav"
    for samples, rate in ((44_100, 44_100), (RATE, 16_000), (RATE + 1, RATE)):
        save(path, np.ones(samples), rate)
        assert (
            f"{path}: found {samples} samples at {rate} Hz, expected a chunk of at most 22050 "
            "samples at 22050 Hz" in message(data_root)
        )
    save(path, np.arange(100))  # a short one is repeated
    found = task_data.load(NAME, data_root=data_root)
    np.testing.assert_array_equal(found.test.inputs[2], np.resize(np.arange(100), RATE))


def double(path: Path) -> None:
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, lines[-1]]))


def relabel(path: Path) -> None:
    text = path.read_text()
    assert '10001_0001.wav,"Sound_001"' in text
    path.write_text(text.replace('10001_0001.wav,"Sound_001"', '10001_0001.wav,"Sound_002"'))


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (lambda c: double(c / "tr.csv"), "tr.csv: clip 10035 has a chunk twice, expected each"),
        (lambda c: relabel(c / "tr.csv"), "clip 10001 has the labels 'Sound_002', expected 'Sound"),
        (
            lambda c: (c / "tr.csv").write_text("files,labels,ext\ndata,Sound_001,7\n"),
            "line 2: found the path 'data', expected that of a wav file",
        ),
        (lambda c: (c / "tr.csv").write_text(""), "there is no column files, labels, ext among"),
        (lambda c: (c / "tr.csv").write_text("files,labels,ext\na,b\n"), "line 2: found 2 cells"),
        (
            lambda c: (c / "tr.csv").write_text("files,labels,ext\nx.wav,,7\n"),
            "line 2: found no label, expected at least one",
        ),
        (
            lambda c: (c / "tr.csv").write_text(f"files,labels,ext\n{'x' * 200_000},Sound_001,7\n"),
            "is no table (field larger than field limit",
        ),
        (
            lambda c: (c / "lbl_map.json").write_text(json.dumps([1, 2])),
            "holds a list, expected an object of labels",
        ),
        (
            lambda c: (c / "lbl_map.json").write_text(
                json.dumps({str(number): number + 1 for number in range(200)})
            ),
            "found 200 labels with 200 different numbers, expected 200 labels with the numbers 0",
        ),
        (lambda c: (c / "tr.csv").write_bytes(b"\xff\xfe\xff"), "tr.csv"),
    ],
)
def test_bad_tables_of_chunks(
    chunks: Path, data_root: Path, spoil: Callable[[Path], Any], found: str
) -> None:
    spoil(chunks)
    assert found in message(data_root)


def test_a_task_is_known_by_its_sound_too(chunks: Path, data_root: Path) -> None:
    first = task_data.locate(NAME, data_root=data_root)
    save(chunks / "10002_0000.wav", np.arange(RATE))
    table = chunks / "tr.csv"
    table.write_text(table.read_text())  # another time of change
    second = task_data.locate(NAME, data_root=data_root)
    assert first.fingerprint != second.fingerprint
    found = task_data.load(NAME, data_root=data_root)
    np.testing.assert_array_equal(found.train.inputs[2], np.arange(RATE))


def test_what_verify_tells(chunks: Path, data_root: Path) -> None:
    save(chunks / "20003_0000.wav", np.zeros(RATE))
    lines = task_data.verify(NAME, data_root=data_root)
    train, val, silent, test, table = lines
    # 35 clips of one chunk and one of four; the miniature has five kinds of sound.
    assert train.endswith("clips: 36 for train, 0.01 hours in 39 wav files; 5 of 200 labels")
    assert "8 for val" in val and "14 for test" in test and table.startswith(str(chunks))
    assert silent == "  1 of the wav files silent from start to end"
    save(chunks / "20003_0000.wav", np.zeros(RATE), rate=8_000)
    with pytest.raises(DataError, match=r"20003_0000\.wav: found 22050 samples at 8000 Hz"):
        task_data.verify(NAME, data_root=data_root)


def test_tables_are_never_of_two_folders(chunks: Path, data_root: Path) -> None:
    """Of two whole copies that of the larger table is taken; what is no `chunks` is none."""
    (data_root / "copy").mkdir()
    miniature.write(data_root / "copy" / "data")
    copy = data_root / "copy" / "data" / "chunks"
    table = copy / "tr.csv"
    table.write_text("\n".join(table.read_text().splitlines()[:20]))
    (data_root / "eval.csv").write_text("something else")
    for keep in (chunks, copy):
        located = task_data.locate(NAME, data_root=data_root)
        assert {path.parent for path in located.files} == {keep}
        (chunks / "val.csv").unlink(missing_ok=True)


def test_a_cap_does_not_take_the_first_clips_alone(chunks: Path, data_root: Path) -> None:
    """Tables of the release are sorted by label: the first clips would have one label."""
    whole = task_data.load(NAME, data_root=data_root)
    few = task_data.load(NAME, data_root=data_root, recipe=Recipe(samples=20))
    assert [len(split.inputs) for split in few.splits.values()] == [16, 2, 2]
    every = [whole.train.inputs[number].tobytes() for number in range(36)]
    taken = [every.index(few.train.inputs[number].tobytes()) for number in range(16)]
    assert taken == sorted(taken) and taken != list(range(16))
    few = task_data.load(NAME, data_root=data_root, recipe=Recipe(samples=10_000))
    assert [len(split.inputs) for split in few.splits.values()] == [36, 8, 14]


RAW: list[tuple[str, str, str, str]] = [
    ("dev", ",train", ",test", "found the split 'test', expected train or val"),
    ("dev", "dev1,", "dev2,", "found clip dev2 again, expected each clip once"),
    ("dev", "dev1,", "../dev1,", "the path 'FSD50K.dev_audio/../dev1.wav' may lead out of the"),
    ("dev", "fname", "name", "there is no column fname among name, labels, mids, split"),
    ("eval", "eval2,", "eval9,", "FSD50K.eval_audio/eval9.wav is gone"),
    ("eval", "Sound_199", "Sound_200", "found the label 'Sound_200', expected one of the 200"),
    ("vocabulary", "5,Sound_005", "5,Sound_006", "line 7: found 'Sound_006' again"),
    ("vocabulary", "5,Sound_005", "500,Sound_005", "found 200 labels with 200 different"),
    ("vocabulary", "5,Sound_005", "Sound_005", "line 6: found 'Sound_005,/m/5'"),
]


@pytest.mark.parametrize(("table", "old", "new", "found"), RAW)
def test_bad_tables_of_the_release(
    data_root: Path, table: str, old: str, new: str, found: str
) -> None:
    raw_release(data_root, RATE)
    path = data_root / "FSD50K.ground_truth" / f"{table}.csv"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    assert found in message(data_root)


def test_the_release_is_not_whole_without_its_sounds(data_root: Path) -> None:
    raw_release(data_root, RATE)
    for path in (data_root / "FSD50K.eval_audio").iterdir():
        path.unlink()
    assert "needs tr.csv, val.csv, eval.csv, lbl_map.json" in (said := message(data_root))
    assert "Instead it can be read from dev.csv, eval.csv, vocabulary.csv, FSD50K.dev_a" in said


def test_a_clip_of_both_parts_of_the_release(data_root: Path) -> None:
    sounds = raw_release(data_root, RATE)
    path = data_root / "FSD50K.ground_truth" / "eval.csv"
    path.write_text(path.read_text().replace("eval1,", "dev3,"))
    save(data_root / "FSD50K.eval_audio" / "dev3.wav", sounds["eval1"])
    assert "clip dev3 is for test, and in dev.csv for val" in message(data_root)


class Pitch(torch.nn.Module):
    """Logits that differ a lot from chunk to chunk of a clip."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs[:, 0].mean(dim=2)[:, :1] * torch.linspace(-3, 3, 200) + inputs[:, 0, 5, :1]


def test_a_clip_is_scored_by_the_mean_of_its_logits(data_root: Path) -> None:
    """By scikit-learn from a loop over clips; the mean of probabilities is another score."""
    raw_release(data_root, RATE, evaluated=24)
    found = task_data.load(NAME, data_root=data_root)
    samples = Samples(found.test, torch.device("cpu"), decode=found.decode)
    assert found.test.windows is not None
    logits = Pitch()(samples.take(np.arange(len(samples))).inputs).double().numpy()
    clip = found.test.windows.table[:, 0]
    truth = np.asarray(found.test.targets)
    known = truth.any(axis=0)
    expected = []
    for each in (lambda z: z, lambda z: 1 / (1 + np.exp(-z))):
        means = np.stack([each(logits[clip == number]).mean(axis=0) for number in range(24)])
        columns = zip(truth.T[known], means.T[known], strict=True)
        expected.append(1 - np.mean([average_precision_score(y, p) for y, p in columns]))
    score = evaluate(Pitch(), samples, [METRICS["one_minus_map"]], Session(), pool=found.task.pool)[
        "one_minus_map"
    ]
    assert score == pytest.approx(expected[0], abs=1e-6)
    assert abs(expected[0] - expected[1]) > 1e-3
