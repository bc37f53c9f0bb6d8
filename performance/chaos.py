"""A run whose processes are killed, against a quiet one: the ledgers have to be equal.

    python -m performance.chaos [GRID] [--kills 20] [--seed 0] [--set key=value ...]

Kinds of death take turns: the process of a slot, the raylet, the GCS, the desk, the process that
drives Ray, the driver itself (by SIGKILL and by SIGTERM; the same command is then started again),
and a slot that freezes. Which process of a kind, and when, follows from the seed. At the end every
score of the two ledgers has to be equal, and nothing may be left: no process, no checkpoint, no
hidden file, no folder of a run.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from runner.conflicts import differ
from runner.ledger import Ledger
from runner.processes import of_run

# What stands in the command line of a process of each kind, and the signal it gets.
KINDS = {
    "slot": ("ray::ResourceTrainable", signal.SIGKILL),
    "raylet": ("/raylet/raylet ", signal.SIGKILL),
    "desk": ("ray::Desk", signal.SIGKILL),
    "driver": ("", signal.SIGKILL),
    "gcs": ("gcs_server", signal.SIGKILL),
    "conductor": ("runner.conduct", signal.SIGKILL),
    "termination": ("", signal.SIGTERM),
    "freeze": ("ray::ResourceTrainable", signal.SIGSTOP),
}
# Seconds between two deaths, so that something is under way at each.
_PAUSES = (2.0, 6.0)
_MOST_S = 3600.0


@dataclass
class Chaos:
    """What happened to a run.

    Attributes:
        kills: How many processes of each kind were ended.
        starts: How often the command was started.
        output: What it said, all starts together.
        codes: Exit codes of the starts.
        marks: Marks of the runs, with their folders.
    """

    kills: dict[str, int] = field(default_factory=dict)
    starts: int = 0
    output: str = ""
    codes: list[int] = field(default_factory=list)
    marks: dict[str, Path] = field(default_factory=dict)


def run_with_deaths(
    command: Sequence[str], env: dict[str, str], *, kinds: Sequence[str], kills: int, seed: int
) -> Chaos:
    """Run a command of `xmft run` again and again until it ends well, killing what it starts.

    Args:
        command: The command.
        env: Its environment.
        kinds: Keys of `KINDS`, which take turns.
        kills: How many deaths at least; a run that ends sooner has as many as it got.
        seed: Of their times and of the choice among processes of a kind.

    Raises:
        TimeoutError: the run hangs.
    """
    rng, chaos, turn = random.Random(seed), Chaos(), 0
    began = time.monotonic()
    while True:
        with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
            driver = subprocess.Popen(
                command, env=env, stdout=said, stderr=subprocess.STDOUT, start_new_session=True
            )
            chaos.starts += 1
            while driver.poll() is None:
                if time.monotonic() - began > _MOST_S:
                    driver.kill()
                    raise TimeoutError(f"The run hangs after {chaos.kills}.")
                time.sleep(rng.uniform(*_PAUSES))
                if turn < kills and _kill_one(driver, kinds[turn % len(kinds)], rng, chaos):
                    turn += 1
            said.seek(0)
            chaos.output += said.read()
        chaos.codes.append(driver.returncode)
        if driver.returncode == 0:
            return chaos
        if driver.returncode not in (1, 143, -signal.SIGKILL, -signal.SIGTERM):
            raise RuntimeError(f"exit code {driver.returncode}: {chaos.output[-3000:]}")


def _kill_one(driver: subprocess.Popen[bytes], kind: str, rng: random.Random, chaos: Chaos) -> bool:
    """End a process of a kind as soon as one is at work; tell whether there was one."""
    title, number = KINDS[kind]
    while driver.poll() is None:
        family = _family(driver.pid)
        for _, text in family:
            if "runner.processes" in text:
                mark, folder = text.split()[-2:]
                chaos.marks[mark] = Path(folder)
        # Before there are slots Ray is about to start: what dies then tells nothing new.
        if any("ray::ResourceTrainable" in text for _, text in family):
            found = (
                [p for p, text in family if title in text]
                if title
                else [psutil.Process(driver.pid)]
            )
            if found:
                with contextlib.suppress(psutil.Error):
                    rng.choice(sorted(found, key=lambda process: process.pid)).send_signal(number)
                    chaos.kills[kind] = chaos.kills.get(kind, 0) + 1
                    return True
        time.sleep(0.2)
    return False


def _family(pid: int) -> list[tuple[psutil.Process, str]]:
    """Return the descendants of a process with their command lines."""
    found = []
    with contextlib.suppress(psutil.Error):
        for process in psutil.Process(pid).children(recursive=True):
            with contextlib.suppress(psutil.Error):
                found.append((process, " ".join(process.cmdline())))
    return found


def scores(results: Path | str) -> dict[tuple[Any, ...], float]:
    """Return every score of the attempts that count, by cell, split, selection and metric."""
    ledger = Ledger(results)
    rows = ledger.read().to_pylist()
    last = {row["cell_id"]: row["attempt"] for row in rows if row["status"] == "ok"}
    names = ("cell_id", "split", "selection", "metric")
    return {
        tuple(row[name] for name in names): row["value"]
        for row in rows
        if last.get(row["cell_id"]) == row["attempt"]
    }


def leavings(results: Path, chaos: Chaos) -> list[str]:
    """Return what a run left behind that it should not have."""
    found = [str(path) for path in results.rglob("*") if path.name.startswith(".")]
    found += [str(path) for path in results.glob("checkpoints/*/*")]
    found += [str(path) for path in results.glob("leases/*")]
    found += [str(folder) for folder in chaos.marks.values() if folder.exists()]
    for mark in chaos.marks:
        for process in of_run(mark):
            with contextlib.suppress(psutil.Error):
                found.append(" ".join(process.cmdline())[:100])
    return found


def differences(
    one: dict[tuple[Any, ...], float], other: dict[tuple[Any, ...], float]
) -> Iterator[str]:
    """Yield what two ledgers differ in, value for value."""
    for key in sorted(one.keys() | other.keys()):
        if differ(one.get(key), other.get(key)):
            yield f"{key}: {one.get(key)} and {other.get(key)}"


def main() -> None:
    """Run the grid quietly and in chaos, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("grid", nargs="?", default="quick")
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options, more = parser.parse_known_args()
    xmft = str(Path(sys.executable).with_name("xmft"))
    with tempfile.TemporaryDirectory() as place:
        quiet, loud = Path(place) / "quiet", Path(place) / "loud"
        subprocess.run([xmft, "run", options.grid, "--results", quiet, *more], check=True)
        chaos = run_with_deaths(
            [xmft, "run", options.grid, "--results", str(loud), *more],
            dict(os.environ),
            kinds=list(KINDS),
            kills=options.kills,
            seed=options.seed,
        )
        time.sleep(3)
        print(chaos.output)
        differing = list(differences(scores(quiet), scores(loud)))
        left = leavings(loud, chaos)
        count = sum(chaos.kills.values())
        print(f"{count} deaths ({chaos.kills}), the command was started {chaos.starts} times")
        print(f"{len(scores(quiet))} values, {len(differing)} of them differ")
        print("\n".join([*differing, *(f"left behind: {what}" for what in left)]))
    sys.exit(bool(differing or left or count < options.kills))


if __name__ == "__main__":
    main()
