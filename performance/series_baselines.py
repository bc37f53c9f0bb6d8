"""Test error of nearest neighbours and of ROCKET on a task of series: what a model stands beside.

    pip install --target DIR aeon
    PYTHONPATH=DIR python -m performance.series_baselines [nasbench360/satellite] [--data FOLDER]

The series are those of the project's own reader, cut and scaled as a run has them. Each classifier
learns from the training split alone, as the methods do, and from training and validation together,
as the benchmark's published baselines do. The one choice that is made, the window of dynamic time
warping, is made on the validation split. ROCKET draws its kernels at random: mean and sample
standard deviation over the seeds. aeon is no dependency of the project; DIR holds versions of its
own of numpy and others, so that the project's environment stays as it is.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.neighbors import KNeighborsClassifier

from benchmarks import load_task
from xmft.task import Split

WINDOWS = (0, 1, 2, 4, 9)
"""Steps that dynamic time warping may shift by which are tried, beside any; 0 is Euclidean."""

ROCKETS = {"ROCKET": "RocketClassifier", "MiniRocket": "MiniRocketClassifier"}
NAMES = ("Euclidean", "DTW", *ROCKETS)
LEARNED = ("train", "train+val")

Series = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]
Pair = tuple[Series, Labels]


def aeon_module(name: str) -> ModuleType:
    """Import a part of aeon.

    Raises:
        SystemExit: it is not installed.
    """
    try:
        return importlib.import_module(f"aeon.{name}")
    except ImportError as error:
        raise SystemExit(
            f"aeon cannot be imported ({error}), which has the classifiers of series. Install it "
            "beside the project, `pip install --target DIR aeon`, and start again with DIR on "
            "PYTHONPATH."
        ) from None


def arrays_of(split: Split) -> Pair:
    """Return series `[n, length]`, the channels one after the other, and their classes `[n]`."""
    inputs, targets = np.asarray(split.inputs), np.asarray(split.targets)
    return inputs.reshape(len(inputs), -1).astype(np.float64), targets.astype(np.int64)


def error_pct(predicted: Labels, truth: Labels) -> float:
    """Return the share of wrong classes, in per cent."""
    return 100 * float(np.mean(predicted != truth))


def euclidean_error(train: Pair, test: Pair) -> float:
    """Return the error of the nearest neighbour, in per cent."""
    model = KNeighborsClassifier(n_neighbors=1, algorithm="brute")
    return error_pct(model.fit(*train).predict(test[0]), test[1])


def warped_error(train: Pair, test: Pair, window: int) -> float:
    """Return the error of the nearest neighbour under dynamic time warping, in per cent.

    Args:
        train: What is learned from.
        test: What is scored.
        window: Most steps by which two series may be shifted against each other.
    """
    pairwise = aeon_module("distances").pairwise_distance
    # aeon takes a share of the length, and rounds down.
    share = min(1.0, (window + 0.5) / test[0].shape[1])
    distances = pairwise(test[0][:, None], train[0][:, None], method="dtw", window=share)
    return error_pct(train[1][np.argmin(distances, axis=1)], test[1])


def rocket_error(kind: str, train: Pair, test: Pair, seed: int) -> float:
    """Return the error of random convolutions and a ridge classifier, in per cent."""
    classifier: Any = getattr(aeon_module("classification.convolution_based"), ROCKETS[kind])
    model = classifier(random_state=seed, n_jobs=1).fit(train[0][:, None], train[1])
    return error_pct(model.predict(test[0][:, None]).astype(np.int64), test[1])


def joined(first: Pair, second: Pair) -> Pair:
    """Return the samples of two splits as one."""
    return np.concatenate([first[0], second[0]]), np.concatenate([first[1], second[1]])


def dtw_window(train: Pair, val: Pair) -> int:
    """Return the window with the smallest error on validation, and say what all of them have."""
    tried = {window: warped_error(train, val, window) for window in (*WINDOWS, train[0].shape[1])}
    shown = ", ".join(f"{window} {error:.2f}" for window, error in tried.items())
    print(f"validation error of DTW by window in steps, %: {shown}\n", flush=True)
    return min(tried, key=lambda window: tried[window])


def measured(
    names: Sequence[str], test: Pair, window: int, seeds: Sequence[int]
) -> Iterator[tuple[str, Callable[[Pair], list[float]]]]:
    """Yield what is measured: its name, and from what it learns from to its errors, in per cent."""
    for name in names:
        if name in ROCKETS:
            yield name, partial(_rocket, name, test=test, seeds=seeds)
        elif name == "DTW":
            length = test[0].shape[1]
            for width in sorted({window, length}):
                label = f"window {width}" if width < length else "no window"
                yield f"1-NN, DTW, {label}", partial(_warped, test=test, window=width)
        else:
            yield f"1-NN, {name}", lambda learned: [euclidean_error(learned, test)]


def _warped(learned: Pair, *, test: Pair, window: int) -> list[float]:
    return [warped_error(learned, test, window)]


def _rocket(kind: str, learned: Pair, *, test: Pair, seeds: Sequence[int]) -> list[float]:
    return [rocket_error(kind, learned, test, seed) for seed in seeds]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", nargs="?", default="nasbench360/satellite")
    parser.add_argument("--data", type=Path, help="the data root; default: the usual place")
    parser.add_argument("--only", nargs="+", choices=NAMES, default=NAMES, help="default: all")
    parser.add_argument("--from", nargs="+", choices=LEARNED, default=LEARNED, dest="learned")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="of ROCKET")
    options = parser.parse_args()
    aeon_module("distances")
    data = load_task(options.task, data_root=options.data)
    if data.task.kind != "classification":
        raise SystemExit(f"{options.task} is a {data.task.kind} task; choose one with classes.")
    train, val, test = (arrays_of(split) for split in (data.train, data.val, data.test))
    sizes = ", ".join(f"{len(split)} {name}" for name, split in data.splits.items())
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, "
        f"aeon {version('aeon')}; {options.task}, {data.origin}: {sizes}\n"
    )
    learned = {"train": train, "train+val": joined(train, val)}
    window = dtw_window(train, val) if "DTW" in options.only else 0
    print("| classifier | learns from | test error, % | runs | CPU s of a run |")
    print("| --- | --- | --- | --- | --- |", flush=True)
    for name, errors_of in measured(options.only, test, window, options.seeds):
        for part in options.learned:
            start = time.process_time()
            errors = errors_of(learned[part])
            seconds = (time.process_time() - start) / len(errors)
            spread = f" ± {statistics.stdev(errors):.2f}" if len(errors) > 1 else ""
            cells = (name, part, f"{statistics.fmean(errors):.2f}{spread}", len(errors))
            print(f"| {' | '.join(map(str, cells))} | {seconds:.0f} |", flush=True)


if __name__ == "__main__":
    main()
