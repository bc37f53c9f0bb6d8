"""Cost and accuracy of the solvers behind `xmft data generate`, one line for each PDE.

    python -m performance.solvers [--tasks 'compressible*'] [--samples 8] [--markdown]

Seconds are those of one core on the grid of the released file, for the initial and the final frame
and for all frames of that file, per sample of a file of a thousand: what a process computes only
once is shared by them. For advection and Burgers' equation the released scheme, written plainly
(`released_scheme`), runs in the same process, and the ratios are to it. For the others they are to
PDEBench's own generator, which makes all frames and was measured on another machine. The error
is that of the stored final frame, ||p - y|| / ||y|| over all points and channels, against a
converged reference y of the equation for the same samples (`references`). Two columns say the same
of the released file, each a mean over samples: "released off" is its error, ||p - y|| / ||y||;
"floor" is what a perfect solver scores on it, ||y - p|| / ||p||, for a score divides by the norm
of the data. No error here may be above the error of the released file.
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import platform
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from threadpoolctl import threadpool_limits

from benchmarks.entry import Frames
from benchmarks.pdebench import batches
from performance import references
from performance.solver_cases import CASES, Case

SEED = 0
SAMPLES_OF_A_FILE = 1000
TASKS = 9
TOTAL_TARGET = 600.0
_RUNS, _ENOUGH_SECONDS = 5, 3.0
_CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one case came to.

    Attributes:
        points: Points per axis of the released file.
        seconds: CPU seconds per sample there, initial and final frame.
        all_seconds: The same for all frames.
        here: CPU seconds of the released scheme in this process, if it was run.
        quick_seconds: CPU seconds per sample at the quick resolution.
        errors: Relative L2 error of each sample.
    """

    points: int
    seconds: float
    all_seconds: float
    here: float | None
    quick_seconds: float | None
    errors: references.Array


def measure(case: Case, samples: int | None = None) -> Measured:
    """Time a case and compare it with its reference; `samples` of them if given."""
    points = case.generator.solver.RELEASED_POINTS
    return Measured(
        points=points,
        seconds=cpu_seconds(case, points),
        all_seconds=cpu_seconds(case, points, frames="all"),
        here=None if case.here is None else case.here(case.generator.solver.BATCH),
        quick_seconds=None if case.quick is None else cpu_seconds(case, case.quick),
        errors=errors(case, points, samples or case.samples),
    )


def cpu_seconds(case: Case, points: int, frames: Frames = "ends") -> float:
    """Return the CPU seconds per sample of a file of `SAMPLES_OF_A_FILE`.

    The median of several runs, or one if that takes long; what the first run takes longer is
    shared by all samples of the file.
    """
    solver, times = case.generator.solver, case.generator.times(frames)
    for member in vars(solver).values():
        if hasattr(member, "cache_clear"):
            member.cache_clear()
    count = case.timed or solver.BATCH
    seconds: list[float] = []
    while len(seconds) <= _RUNS and sum(seconds) < _ENOUGH_SECONDS:
        rngs = batches.generators(SEED, 0, count)
        start = time.process_time()
        solver.samples(rngs, case.parameters, points, times, _CPU)
        seconds.append(time.process_time() - start)
    usual = statistics.median(seconds[1:] or seconds)
    return usual / count + max(seconds[0] - usual, 0.0) / SAMPLES_OF_A_FILE


def errors(case: Case, points: int, samples: int) -> references.Array:
    """Return the relative L2 error of the final frame as stored, `[samples]`."""
    solver, times = case.generator.solver, case.generator.times("ends")
    rngs = batches.generators(SEED, 0, samples)
    arrays = solver.samples(rngs, case.parameters, points, times, _CPU)
    stored = {name: values.astype(np.float32) for name, values in arrays.items()}
    found = references.final(stored).reshape(samples, -1)
    rngs = batches.generators(SEED, 0, samples)
    truth = case.reference(rngs, case.parameters, points).reshape(samples, -1)
    result: references.Array = np.linalg.norm(found - truth, axis=1)
    return result / np.linalg.norm(truth, axis=1)


# Heading, width in text, whether a Markdown table has it.
_COLUMNS = (
    ("PDE", 43, True),
    ("points", 6, True),
    ("two frames", 11, True),
    ("all frames", 11, True),
    ("PDEBench", 9, True),
    ("here", 7, True),
    ("ratio, two", 11, True),
    ("all", 7, True),
    ("target", 7, False),
    ("error, mean", 12, True),
    ("worst", 8, True),
    ("released off", 13, True),
    ("floor", 8, True),
    ("below", 6, False),
    ("quick", 6, False),
    ("s/sample", 9, False),
    ("setting of PDEBench's time", 0, True),
)


def cells(case: Case, measured: Measured) -> list[str]:
    """Return the entries of a line, in the order of `_COLUMNS`."""
    theirs = case.published.seconds if measured.here is None else measured.here
    ratio, of_all = theirs / measured.seconds, theirs / measured.all_seconds
    worst = measured.errors.max()
    floor, off, below = "unknown", "unknown", ""
    if case.floor is not None:
        released = case.floor.score if case.floor.off is None else case.floor.off
        floor, off = f"{case.floor.score:.1e}", f"{released:.1e}"
        below = "yes" if measured.errors.mean() <= released else "NO"
    return [
        case.label,
        str(measured.points),
        f"{measured.seconds:.2g}",
        f"{measured.all_seconds:.2g}",
        f"{case.published.seconds:g}",
        "" if measured.here is None else f"{measured.here:.2g}",
        f"{float(f'{ratio:.2g}'):g}",
        f"{float(f'{of_all:.2g}'):g}",
        f"{case.target:g} {'met' if ratio >= case.target else 'NO'}",
        f"{measured.errors.mean():.1e}",
        f"{worst:.1e}",
        off,
        floor,
        below,
        "" if case.quick is None else str(case.quick),
        "" if measured.quick_seconds is None else f"{measured.quick_seconds:.2g}",
        case.published.setting,
    ]


def line(entries: Sequence[str], *, markdown: bool) -> str:
    """Return a line of the table."""
    columns = zip(entries, _COLUMNS, strict=True)
    if markdown:
        return f"| {' | '.join(entry for entry, (_, _, kept) in columns if kept)} |"
    first, *others, last = [(entry, width) for entry, (_, width, _) in columns]
    numbers = "".join(f"{entry:>{width}}" for entry, width in others)
    return f"{first[0]:{first[1]}}{numbers}  {last[0]}".rstrip()


def main() -> None:
    """Print the table and what a thousand samples of all tasks cost."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", nargs="+", default=["*"], help="globs of task names")
    parser.add_argument("--samples", type=int, help="samples whose error is measured")
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table")
    options = parser.parse_args()
    chosen = [
        case
        for case in CASES
        if any(fnmatch.fnmatch(case.name, f"*{glob}") for glob in options.tasks)
    ]
    if not chosen:
        parser.error(f"no task fits; there are {', '.join(case.name for case in CASES)}")
    torch.set_num_threads(1)
    print(
        f"{platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, 1 thread, "
        f"torch {torch.__version__}, numpy {np.__version__}; CPU seconds per sample.\n"
        "PDEBench: its own generator, all frames, on one core of an AMD EPYC, in the setting on "
        "the right, if any; here: the released scheme, written plainly, in this process. Ratios "
        "are to the latter where it is, and otherwise to the former, between two machines.\n"
        "Error: relative L2 of the stored final frame against a converged reference of the "
        "equation; released off: the same of the released file; floor: what a perfect solver "
        "scores on that, which divides by the norm of the file.\n"
    )
    print(line([heading for heading, _, _ in _COLUMNS], markdown=options.markdown))
    if options.markdown:
        print(line(["---", *["---:"] * (len(_COLUMNS) - 2), "---"], markdown=True))
    quick: dict[str, float] = {}
    with threadpool_limits(1):
        for case in chosen:
            measured = measure(case, options.samples)
            print(line(cells(case, measured), markdown=options.markdown), flush=True)
            if measured.quick_seconds is not None:
                quick[case.name] = measured.quick_seconds
    core_seconds = sum(quick.values()) * SAMPLES_OF_A_FILE
    verdict = ""
    if len(quick) == TASKS:
        met = core_seconds / 2 <= TOTAL_TARGET
        verdict = f"; target {TOTAL_TARGET:.0f} s or less: {'met' if met else 'missed'}"
    print(
        f"\n{SAMPLES_OF_A_FILE} samples of each of {len(quick)} tasks at the quick resolution: "
        f"{core_seconds:.0f} CPU seconds, {core_seconds / 2:.0f} s on two cores{verdict}"
    )


if __name__ == "__main__":
    main()
