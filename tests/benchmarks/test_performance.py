"""The timings run and compute what they say; how fast anything is, is no matter here."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import catalog
from benchmarks.pdebench import batches
from benchmarks.pdebench.solvers import advection, burgers, cell_centres, random_field
from performance import faithful, gpu, loading, released_scheme
from performance.cards import peak_tflops
from performance.cells import CellTimes, small_grid
from performance.stage_one import share
from xmft import gradients
from xmft.recipe import Recipe


@pytest.mark.parametrize(
    ("card", "peak"),
    [
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA A100 80GB PCIe", 312),
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA H100 NVL", None),
        ("NVIDIA H200", 989),
        ("NVIDIA L4", 121),
        ("NVIDIA L40S", 362),
        ("NVIDIA L40", None),
        ("NVIDIA GeForce RTX 4090", 165),
        ("NVIDIA GeForce RTX 4090 D", None),
        ("CPU", None),
    ],
)
def test_peaks_are_of_the_card_itself(card: str, peak: int | None) -> None:
    assert peak_tflops(card) == peak


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_the_gpu_timings_in_small(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(gradients, "_BACKEND", "aot_eager")
    gpu.main(["--device", "cpu", "--small"])
    lines = capsys.readouterr().out.splitlines()
    # Each linear map takes 2 products of its size per token forward, and twice that backward:
    # 2 layers of 4 x 32^2 + 2 x 32 x 64; the patch projection, the path beside it and the head, of
    # 64 values a token.
    linear = 2 * (4 * 32 * 32 + 2 * 32 * 64) + 3 * 64 * 32
    # Attention multiplies each two tokens twice over all channels.
    attention = 2 * 2 * 16 * 32
    flops = 3 * 2 * (linear + attention) * 8 * 16
    # The inputs need no gradient.
    flops -= 2 * 2 * 64 * 32 * 8 * 16
    (said,) = re.findall(r"([\d.e-]+) TFLOP a step", lines[0])
    assert float(said) == pytest.approx(flops / 1e12, rel=5e-3)
    assert lines[1].startswith("The bf16 peak of this card is not in the table")
    for line, variant in zip(lines[2:6], gpu.VARIANTS, strict=True):
        assert re.fullmatch(
            rf"{variant.name}: \d+ samples/s, \S+ TFLOP/s, \d+\.\d\d times fp32 eager", line
        )
    assert lines[2].endswith(" 1.00 times fp32 eager")
    assert all(line.endswith(" ms") for line in lines[7:]) and len(lines) == 9


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_there_is_nothing_to_measure() -> None:
    with pytest.raises(SystemExit, match="torch sees none here") as caught:
        gpu.main([])
    assert "\n" not in str(caught.value)


def test_share_of_stage_one() -> None:
    times = CellTimes(
        data=100.0,
        backbone=100.0,
        prepare=1.0,
        stages={"align": 5.0, "fit": 4.0, "eval": 6.0},
    )
    # 6 s of stage 1, 2 s an epoch of fitting, 6 s of scores.
    assert share(times, measured=2, epochs=2) == pytest.approx(6 / 16)
    assert share(times, measured=2, epochs=24) == pytest.approx(6 / 60)


def test_cells_are_those_of_the_small_grid() -> None:
    recipe, options = small_grid()
    assert (recipe.epochs, recipe.layers, recipe.max_tokens) == (12, 2, 16)
    assert options["recraft"]["alignment_batch"] == options["orca"]["alignment_batch"]


@pytest.mark.parametrize("equation", ["advection", "burgers"])
def test_what_the_solvers_are_timed_against_solves_the_equation(equation: str) -> None:
    field, x = random_field.draw(batches.generators(0, 0, 4)), cell_centres(1024)
    if equation == "advection":
        run = released_scheme.advect(0.4, 4, 0.1)
        truth = advection.solve(field, x, beta=0.4, times=np.array([0.1]))[:, 0]
    else:
        run = released_scheme.steepen(0.001, 4, 0.02)
        truth = burgers.solve(field, 1024, np.array([0.02]), nu=0.001)[:, 0]
    off = np.linalg.norm(run.final.numpy() - truth, axis=1) / np.linalg.norm(truth, axis=1)
    assert off.max() < 6e-3 and np.median(off) < 1e-3 and run.seconds > 0


def test_the_loading_timings_in_small(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever can be measured is a task, and what is said are the rows of its files."""
    assert set(faithful.FILES) <= set(catalog.names())
    catalog.get("nasbench360/deepsea").miniature(tmp_path)
    recipe = Recipe(epochs=1, layers=1, max_tokens=8, batch_size=16)
    monkeypatch.setattr(loading, "_BACKBONE", "tiny-sequence")
    loading.measure("nasbench360/deepsea", tmp_path, 2, recipe)
    read, rows, training, scoring, memory = capsys.readouterr().out.splitlines()
    assert read.startswith("read and prepared in ") and rows == "rows: 160 train, 24 val, 40 test"
    assert re.match(r"training: loader \d+ rows/s, step \d+ rows/s, batch 16; ", training)
    assert scoring.startswith("test split decoded once: 40 rows in ")
    (said,) = re.findall(r"peak memory ([\d.]+) GiB", memory)
    assert 0.1 < float(said) < 64
