"""Samples that are more than arrays: small types, ragged values, windows, augmentation."""

import itertools
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from xmft.arrays import Ragged, Windows
from xmft.errors import DataError
from xmft.recipe import Recipe
from xmft.samples import Decoded, Draw, Draws, Pieces, RaggedBatch, Samples, shapes_of
from xmft.split import Split
from xmft.task import Task, TaskData
from xmft.training import train

CPU = torch.device("cpu")
LENGTHS = (40, 25, 61, 33, 50, 28, 44, 37)
RNG = np.random.default_rng(0)
RECORDS = [RNG.integers(-2000, 2000, length).astype(np.int16) for length in LENGTHS]
DRAW = Draw(seed=3, stage="fitting", epoch=2)


def decode(pieces: Pieces) -> Decoded:
    """One channel in units of a thousand."""
    assert isinstance(pieces.inputs, torch.Tensor) and isinstance(pieces.targets, torch.Tensor)
    assert pieces.inputs.dtype == torch.int16
    return Decoded(pieces.inputs[:, None].float() / 1000, pieces.targets)


def records(*, random: bool = False, stride: int = 8) -> Split:
    windows = Windows.every(LENGTHS, (16,), stride, random=random)
    labels = np.arange(len(LENGTHS)) % 2
    return Split(inputs=Ragged.of(RECORDS), targets=labels, windows=windows)


@pytest.mark.parametrize("limit", [0, 2**20])
def test_windows_are_cut_from_ragged_records(limit: int) -> None:
    split = records()
    samples = Samples(split, CPU, limit=limit, decode=decode)
    assert split.windows is not None and len(samples) == len(split.windows)
    rows = RNG.permutation(len(samples))
    inputs, targets, _ = samples.take(rows)
    for row, got, label in zip(rows, inputs, targets, strict=True):
        sample, start = split.windows.table[row]
        expected = RECORDS[sample][start : start + 16] / 1000
        assert np.allclose(got[0].numpy(), expected) and label == sample % 2


@pytest.mark.parametrize("stride", [5, 16, 100])
def test_windows_cover_every_point(stride: int) -> None:
    windows = Windows.every(LENGTHS, (16,), stride)
    for sample, length in enumerate(LENGTHS):
        starts = windows.table[windows.table[:, 0] == sample, 1]
        assert (starts.min() == 0 and starts.max() == length - 16) or stride > 16
        seen = np.zeros(length, bool)
        for start in starts:
            seen[start : start + 16] = True
        assert seen.all() or stride > 16
    assert len(Windows.every(LENGTHS, (16,), 16, cover=False)) == sum(n // 16 for n in LENGTHS)


def test_a_stride_for_each_sample() -> None:
    windows = Windows.every([9000] * 4, (1000,), [500, 83, 250, 25], cover=False)
    # Starts 0, stride, ... up to the last whole window.
    assert np.bincount(windows.table[:, 0]).tolist() == [17, 97, 33, 321]


@pytest.mark.parametrize("limit", [0, 2**20])
def test_tiles_of_fields_and_of_their_targets_and_weights(limit: int) -> None:
    fields = RNG.standard_normal((3, 2, 20, 12)).astype(np.float32)
    mask = (RNG.random((3, 1, 20, 12)) > 0.5).astype(np.float32)
    windows = Windows.every([(20, 12)] * 3, (8, 5), targets=True)
    split = Split(inputs=fields, targets=2 * fields[:, :1], weights=mask, windows=windows)
    inputs, targets, weights = Samples(split, CPU, limit=limit).take(np.arange(len(split)))
    assert weights is not None and len(split) == 3 * 3 * 3
    for row, (sample, top, left) in enumerate(windows.table):
        tile = fields[sample, :, top : top + 8, left : left + 5]
        assert np.array_equal(inputs[row].numpy(), tile)
        assert np.array_equal(targets[row].numpy(), 2 * tile[:1])
        expected = mask[sample, :, top : top + 8, left : left + 5]
        assert np.array_equal(weights[row].numpy(), expected)


def test_random_windows_follow_from_seed_epoch_and_row_alone() -> None:
    samples = Samples(records(random=True), CPU, decode=decode)
    rows = np.arange(len(samples))
    whole = samples.take(rows, DRAW).inputs
    parts = torch.cat([samples.take(part, DRAW).inputs for part in np.array_split(rows, 3)])
    backwards = samples.take(rows[::-1].copy(), DRAW).inputs.flip(0)
    assert torch.equal(whole, parts) and torch.equal(whole, backwards)
    for other in (replace(DRAW, seed=4), replace(DRAW, epoch=3)):
        assert not torch.equal(whole, samples.take(rows, other).inputs)
    assert not torch.equal(whole, samples.take(rows).inputs)
    # Every start of a record comes up: 10 of the shortest.
    row = int(np.argmax(samples.split.sample_of_row == 1))
    seen = {
        samples.take(np.array([row]), replace(DRAW, epoch=e)).inputs.numpy().tobytes()
        for e in range(200)
    }
    assert len(seen) == 25 - 16 + 1


def test_augmentation_follows_from_seed_epoch_and_row_and_never_scores() -> None:
    def noisy(batch: Decoded, draws: Draws) -> Decoded:
        size = draws.uniform(0.5, 2, (1, 1))
        noise = draws.normal(tuple(batch.inputs.shape[1:]))
        return batch._replace(inputs=batch.inputs * size + noise)

    samples = Samples(records(), CPU, decode=decode, augment=noisy)
    rows = np.arange(len(samples))
    plain, whole = samples.take(rows).inputs, samples.take(rows, DRAW).inputs
    assert torch.equal(plain, Samples(records(), CPU, decode=decode).take(rows).inputs)
    parts = torch.cat([samples.take(part, DRAW).inputs for part in np.array_split(rows, 4)])
    assert torch.equal(whole, parts) and not torch.equal(whole, plain)
    other = samples.take(rows, replace(DRAW, epoch=0)).inputs
    assert not torch.isclose(whole, other).any(dim=2).all()


@pytest.mark.parametrize("limit", [0, 2**20])
def test_whole_ragged_samples_reach_decode(limit: int) -> None:
    def padded(pieces: Pieces) -> Decoded:
        assert isinstance(pieces.inputs, RaggedBatch)
        values, offsets = pieces.inputs
        out = torch.zeros(len(offsets) - 1, 1, 64)
        for i, (a, b) in enumerate(itertools.pairwise(offsets.tolist())):
            out[i, 0, : b - a] = values[a:b].float()
        assert isinstance(pieces.targets, torch.Tensor)
        return Decoded(out, pieces.targets)

    split = Split(inputs=Ragged.of(RECORDS), targets=np.arange(len(RECORDS)))
    inputs, _, _ = Samples(split, CPU, limit=limit, decode=padded).take(np.array([2, 0]))
    assert np.array_equal(inputs[0, 0, :61].numpy(), RECORDS[2]) and not inputs[1, 0, 40:].any()


def toy(split: Split, **changes: object) -> TaskData:
    task = Task(
        name="toy/records",
        version=1,
        title="",
        kind="classification",
        loss="cross_entropy",
        metrics=("error_pct",),
        classes=2,
    )
    data = TaskData(
        task=task,
        train=split,
        val=split,
        test=split,
        origin="miniature",
        fingerprint="records",
        source="made by formula",
        decode=decode,
    )
    return replace(data, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("method", ["nft", "orca", "recraft", "mona"])
def test_methods_train_on_windows_of_int16_records(method: str, tmp_path: Path) -> None:
    data = toy(records(random=True))
    assert shapes_of(data) == ((1, 16), ())
    options = {} if method == "nft" else {"alignment_steps": 4, "source": {"samples": 32}}
    if method != "nft":
        options["predictor"] = {"plain_steps": 4, "bounded_steps": 1}
    recipe = Recipe(epochs=2, batch_size=8, max_tokens=8)
    runs = [
        train(
            data, method, backbone="tiny-sequence", recipe=recipe, options=options, cache=tmp_path
        )
        for _ in range(2)
    ]
    assert runs[0].result.scores == runs[1].result.scores
    assert runs[0].result.curves == runs[1].result.curves


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"targets": np.zeros(3)}, "8 inputs and 3 targets"),
        ({"groups": np.arange(4)}, "one number for each"),
        ({"windows": Windows(table=np.array([[8, 0]]), size=(16,))}, "cut from sample 8"),
        ({"windows": Windows(table=np.array([[1, 10]]), size=(16,))}, "sample 1 has .25,. points"),
    ],
)
def test_a_split_refuses_what_does_not_fit(change: dict[str, object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        replace(records(), **change)  # type: ignore[arg-type]


def test_a_task_refuses_inputs_that_nobody_decodes() -> None:
    with pytest.raises(DataError, match="give the task a `decode`"):
        toy(records(), decode=None)
    images = Split(inputs=np.zeros((4, 3, 8, 8), np.uint8), targets=np.zeros(4, np.int64))
    with pytest.raises(DataError, match="inputs are uint8 of shape"):
        toy(images, decode=None)


@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_values_that_are_not_finite_are_found_in_every_split(part: str) -> None:
    x = RNG.standard_normal((20, 1, 16)).astype(np.float32)
    broken = x.copy()
    broken[7, 0, 3] = np.inf
    pairs = {name: (broken if name == part else x, x) for name in ("train", "val", "test")}
    with pytest.raises(DataError, match=r"lab/x: the \w+ inputs hold values .* first in sample 7"):
        TaskData.from_arrays("lab/x", **pairs)  # type: ignore[arg-type]


def test_two_hundred_gigabytes_train_in_four(tmp_path: Path) -> None:
    """A sparse file of int16 windows that are 200 GB in float32, in a process of 4 GiB."""
    rows, length = 160_000, 320_000  # x 4 bytes = 205 GB
    script = f"""
import resource, sys
import numpy as np, torch
from xmft.arrays import Windows
from xmft.samples import Decoded
from xmft.split import Split
from xmft.task import Task, TaskData
from xmft.recipe import Recipe
from xmft.training import train
torch.set_num_threads(1)
stored = np.memmap(sys.argv[1], np.int16, "w+", shape=({rows}, {length}))
stored[:: {rows // 50}, :100] = 7
table = np.column_stack([np.arange({rows}), np.zeros({rows}, np.int64)])
few = Split(inputs=stored[:64, None], targets=np.arange(64) % 2)
big = Split(
    inputs=stored[:, None], targets=np.arange({rows}, dtype=np.int64) % 2,
    windows=Windows(table=table, size=(1024,), random=True),
)
small = Split(inputs=stored[:64, None], targets=np.arange(64) % 2,
              windows=Windows(table=table[:64], size=(1024,)))
task = Task(name="toy/big", version=1, title="", kind="classification", loss="cross_entropy",
            metrics=("error_pct",), classes=2)
data = TaskData(task=task, train=big, val=small, test=small, origin="miniature",
                fingerprint="big", source="sparse", checked=True,
                decode=lambda p: Decoded(p.inputs.float() / 1000, p.targets))
from xmft.methods import Method, fitting_stage
from dataclasses import replace
class Few(Method):
    name, version, title = "few", 1, "a few steps"
    def stages(self, context):
        stage = fitting_stage(context)
        some = stage.batches(0)[:4]
        return [replace(stage, batches=lambda epoch: some, epochs=1)]
train(data, Few, backbone="tiny-sequence", recipe=Recipe(batch_size=16, max_tokens=16))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "big.bin")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) * 1024 < 4 * 2**30
    assert (tmp_path / "big.bin").stat().st_blocks * 512 < 2**30  # sparse: read, never expanded
