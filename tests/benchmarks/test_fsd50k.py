"""Clips of sound: both layouts, chunks of a second, wrong files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import data as task_data
from benchmarks.nasbench360 import sound_chunks
from benchmarks.nasbench360.miniatures import fsd50k as miniature
from benchmarks.nasbench360.sound_chunks import RATE
from benchmarks.nasbench360.wav_files import read_wav, resampled
from tests.benchmarks.sounds import NAME, raw_release, save
from xmft.errors import DataError
from xmft.recipe import Recipe
from xmft.samples import Samples

CPU = torch.device("cpu")
RNG = np.random.default_rng(5)


@pytest.fixture
def root(data_root: Path) -> Path:
    miniature.write(data_root / "data")
    return data_root / "data" / "chunks"


def said(root: Path) -> str:
    with pytest.raises(DataError) as caught:
        task_data.load(NAME, data_root=root.parents[1])
    return str(caught.value)


def test_chunks_of_the_benchmark_are_scored_as_they_are(root: Path) -> None:
    found = task_data.load(NAME, data_root=root.parents[1])
    assert [len(part.inputs) for part in (found.train, found.val, found.test)] == [36, 8, 14]
    windows, stored = found.test.windows, found.test.inputs
    assert windows is not None and len(windows) == 14 + 3  # one clip of 1.6 seconds has four
    numbers = dict.fromkeys(range(14), 0)
    for sample, start in windows.table.tolist():
        _, chunk = read_wav(root / f"3{sample:04d}_{numbers[sample]:04d}.wav")
        np.testing.assert_array_equal(stored[sample][start : start + RATE], chunk)
        numbers[sample] += 1
    labels = np.asarray(found.test.targets)
    assert labels.shape == (14, 200) and labels.dtype == np.uint8
    assert labels[5].nonzero()[0].tolist() == [0, 2] and labels[0].nonzero()[0].tolist() == [0]


def test_training_hears_a_clip_anywhere(root: Path) -> None:
    found = task_data.load(NAME, data_root=root.parents[1])
    sound = found.train.inputs[1]
    chunks = np.stack([read_wav(root / f"10001_{number:04d}.wav")[1] for number in range(4)])
    np.testing.assert_array_equal(
        sound[: int(1.5 * RATE)], np.concatenate([*chunks[:3, : RATE // 2]])
    )
    np.testing.assert_array_equal(sound[-RATE:], chunks[3])
    assert found.train.windows is not None and found.train.windows.random


@pytest.mark.parametrize("rate", [RATE, 44_100])
def test_the_release_itself_is_resampled_and_cut_here(rate: int, data_root: Path) -> None:
    sounds = raw_release(data_root, rate)
    found = task_data.load(NAME, data_root=data_root)
    assert [len(part.inputs) for part in (found.train, found.val, found.test)] == [6, 3, 4]
    windows = found.test.windows
    assert windows is not None
    for number in range(4):
        sound = resampled(sounds[f"eval{number}"], rate, RATE)
        expected = []
        start = 0
        while start < len(sound) or not expected:
            piece = sound[start : start + RATE]
            while len(piece) < RATE:
                piece = np.concatenate([piece, sound[start : start + RATE]])[:RATE]
            expected.append(piece)
            start += RATE // 2
            if len(sound) < RATE:
                break
        starts = windows.table[windows.table[:, 0] == number, 1]
        stored = [found.test.inputs[number][start : start + RATE] for start in starts]
        np.testing.assert_array_equal(stored, expected)
    assert np.asarray(found.test.targets)[2].nonzero()[0].tolist() == [2, 199]


def test_resampling_keeps_a_tone() -> None:
    time = np.arange(44_100) / 44_100
    tone = (9000 * np.sin(2 * np.pi * 700 * time)).astype(np.int16)
    half = resampled(tone, 44_100, RATE)
    exact = 9000 * np.sin(2 * np.pi * 700 * np.arange(RATE) / RATE)
    assert len(half) == RATE and np.abs(half - exact)[100:-100].max() < 20


@pytest.mark.parametrize("samples", [1, 9000, RATE - 1, RATE, RATE + 1, 33_075, 33_076, 70_000])
def test_packed_chunks_are_found_as_they_are(samples: int) -> None:
    chunks = sound_chunks.cut(RNG.integers(-9, 9, samples).astype(np.int16))
    stored, starts = sound_chunks.packed(chunks)
    for chunk, start in zip(chunks, starts, strict=True):
        np.testing.assert_array_equal(stored[start : start + RATE], chunk)
    assert len(starts) == (-(-samples // (RATE // 2)) if samples >= RATE else 1)
    # Half a second for each chunk, and at most a second and a half for the ends.
    assert len(stored) <= (len(chunks) + 3) * RATE // 2
    # Chunks of anything else are found again as well.
    strange = RNG.integers(-9, 9, (4, RATE)).astype(np.int16)
    stored, starts = sound_chunks.packed(strange)
    assert starts == [0, RATE, 2 * RATE, 3 * RATE] and (stored == strange.ravel()).all()


def test_scoring_averages_the_logits_of_chunks(root: Path) -> None:
    found = task_data.load(NAME, data_root=root.parents[1])
    assert found.task.pool == "mean"
    samples = Samples(found.test, CPU, decode=found.decode)
    batch = samples.take(np.arange(len(samples)))
    assert batch.inputs.shape == (17, 1, 96, 101) and batch.targets.dtype == torch.float32
    assert batch.inputs.mean(dim=(1, 2, 3)).abs().max() < 1e-3


def replace(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


WRONG: list[tuple[Callable[[Path], Any], str]] = [
    (
        lambda r: replace(r / "tr.csv", "files,labels,ext", "files,labels,clip"),
        "there is no column ext among files, labels, clip, expected the",
    ),
    (
        lambda r: replace(r / "tr.csv", "Sound_000", "Noise"),
        "tr.csv, line 2: found the label 'Noise'",
    ),
    (
        lambda r: replace(r / "tr.csv", "data/chunks/1", "data/../../1"),
        "may lead out of the folder",
    ),
    (
        lambda r: replace(r / "tr.csv", "data/chunks/1", "/etc/1"),
        "the path '/etc/10000_0000.wav' may lead out",
    ),
    (
        lambda r: replace(r / "val.csv", ",20000", ",10000"),
        "clip 10000 is for val, and in tr.csv for train",
    ),
    (lambda r: (r / "10000_0000.wav").unlink(), "10000_0000.wav"),
    (lambda r: save(r / "10000_0000.wav", [], RATE), "there is no sound in it"),
    (
        lambda r: save(r / "10000_0000.wav", np.zeros(2 * RATE), channels=2),
        "found 2 channels of 16",
    ),
    (lambda r: save(r / "10000_0000.wav", np.zeros(RATE), width=4), "found 1 channel of 32 bits"),
    (lambda r: (r / "10000_0000.wav").write_bytes(b"RIFF"), "is no wav file"),
    (
        lambda r: (r / "10000_0000.wav").write_bytes((r / "10000_0000.wav").read_bytes()[:-99]),
        "truncated or damaged",
    ),
    (
        lambda r: (r / "lbl_map.json").write_text(json.dumps({"a": 0})),
        "found 1 labels with 1 different numbers, expected 200 labels",
    ),
    (lambda r: (r / "lbl_map.json").write_text("{"), "is no JSON"),
    (
        lambda r: (r / "val.csv").write_text("files,labels,ext\n"),
        "val.csv: found no clip, expected at least one",
    ),
]


@pytest.mark.parametrize("spoil, message", WRONG, ids=[message[:24] for _, message in WRONG])
def test_spoilt_files_are_told(spoil: Callable[[Path], Any], message: str, root: Path) -> None:
    spoil(root)
    assert message in said(root)


def test_columns_in_another_order_and_silence_are_taken(root: Path) -> None:
    lines = [line.rsplit(",", 1) for line in (root / "tr.csv").read_text().splitlines()]
    (root / "tr.csv").write_text("\n".join(f"{clip},{rest}" for rest, clip in lines))
    save(root / "10003_0000.wav", np.zeros(RATE))
    found = task_data.load(NAME, data_root=root.parents[1])
    samples = Samples(found.train, CPU, decode=found.decode)
    assert not samples.take(np.array([3])).inputs.any()
    fewer = task_data.load(NAME, data_root=root.parents[1], recipe=Recipe(samples=20))
    assert [len(p.inputs) for p in (fewer.train, fewer.val, fewer.test)] == [16, 2, 2]
