"""The driver against conductors that die, hang, refuse or finish, without Ray."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

import pytest

from runner import supervise as module
from runner.conductor import BrokenError
from runner.feed import Feed
from runner.ledger import Ledger
from runner.outcome import Report
from runner.request import Request
from runner.supervise import LostError, supervise
from xmft.errors import RequestError

# What one conductor does with its end of the line.
Script = Callable[[Connection], None]


class Display:
    def __init__(self) -> None:
        self.lines: list[tuple[str, str | None]] = []

    def show(self, notes: dict[str, Any]) -> None:
        pass

    def finished(self, cell_id: str, failure: str | None) -> None:
        self.lines.append((cell_id, failure))


def outcome(cell_id: str, failure: str | None = None) -> dict[str, Any]:
    return {
        "cell_id": cell_id,
        "status": "failed" if failure else "ok",
        "failure": failure,
        "error": failure,
        "busy_s": 1.0,
        "wall_s": 1.0,
        "resumed_epochs": 0,
    }


def ready(line: Connection, sizes: int = 1) -> None:
    line.send(("ready", "2 CPU cores", ["1 worker"] * sizes, [2] * sizes))


def working(most: int = 99, failure: str | None = None) -> Script:
    """Finish cells as they come, `most` of them; then die, or end when told that all is over."""

    def script(line: Connection) -> None:
        ready(line)
        done = 0
        while True:
            line.send(("news", {}, 1, 1, 0.5, []))
            if not line.poll(0.05):
                continue
            kind, *facts = line.recv()
            if kind == "over" or (failure and done):
                line.send(("end",))
                return
            if kind == "sizes":
                ready(line, len(facts[0]))
            for job in facts[1] if kind == "cells" else []:
                if done == most:
                    return
                line.send(("taken", job["cell_id"]))
                line.send(("done", outcome(job["cell_id"], failure)))
                done += 1

    return script


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Callable[..., tuple[Report, Display]]]:
    """Run six cells with a conductor for each script, in their order; the last one stays."""
    processes: list[subprocess.Popen[bytes]] = []
    ledger = Ledger(tmp_path / "results")
    ledger.prepare()

    def go(
        scripts: Sequence[Script],
        address: str | None = None,
        wait_s: float = 600.0,
        rounds: Sequence[Sequence[tuple[int, Any]]] = (),
        fail_fast: bool = False,
    ) -> tuple[Report, Display]:
        left = list(scripts)
        display = Display()

        def conductor(request: Request, mark: str) -> tuple[subprocess.Popen[bytes], Connection]:
            script = left.pop(0) if len(left) > 1 else left[0]
            ours, theirs = Pipe()
            process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
            processes.append(process)

            def play() -> None:
                try:
                    script(theirs)
                except OSError:
                    pass  # the driver has hung up
                finally:
                    process.kill()
                    theirs.close()

            threading.Thread(target=play, daemon=True).start()
            return process, ours

        monkeypatch.setattr(module, "conductor", conductor)
        monkeypatch.setattr(module, "_PAUSE_S", 0.01)
        sizes: list[dict[str, Any]] = [{}]
        following = iter(rounds)

        def further() -> Sequence[tuple[int, Any]]:
            jobs = next(following, [])
            sizes.extend({} for size, _ in jobs if size >= len(sizes))
            return jobs

        feed = Feed(
            ledger,
            [(0, {"cell_id": f"c{n}"}) for n in range(6)],
            redo=False,
            further=further if rounds else None,
        )
        report = supervise(
            lambda run, folder: Request(
                run=run,
                results=ledger.uri,
                sizes=sizes,
                plugins=(),
                folder=folder,
                address=address,
                fail_fast=fail_fast,
            ),
            feed,
            lambda _slots: nullcontext(display),
            address=address,
            cluster_wait_s=wait_s,
        )
        return report, display

    yield go
    for process in processes:
        process.kill()
        process.wait()
        assert process.stdin is not None
        process.stdin.close()


def test_cells_are_handed_out_and_finished(run: Any) -> None:
    report, display = run([working()])
    assert sorted(report.outcomes) == [f"c{n}" for n in range(6)]
    assert [failure for _, failure in display.lines] == [None] * 6
    assert report.restarts == 0


def test_a_conductor_that_dies_is_replaced_and_no_cell_runs_twice(run: Any) -> None:
    report, display = run([working(2), working(1), working()])
    assert report.restarts == 2
    assert sorted(cell for cell, _ in display.lines) == [f"c{n}" for n in range(6)]


def test_three_deaths_without_a_cell_in_between_are_enough(run: Any) -> None:
    with pytest.raises(LostError, match=r"3 times without a finished cell.*run the same command"):
        run([working(0)])


MORE = [
    [(0, {"cell_id": "d0"}), (0, {"cell_id": "d1"})],
    [(1, {"cell_id": "e0"})],  # of a size that there was not before
]


def test_what_follows_on_the_cells_runs_on_the_same_ray(run: Any) -> None:
    report, display = run([working()], rounds=MORE)
    assert report.restarts == 0
    assert [cell for cell, _ in display.lines][6:] == ["d0", "d1", "e0"]


@pytest.mark.parametrize("most", [6, 7, 8])
def test_what_follows_is_not_lost_with_a_conductor(run: Any, most: int) -> None:
    """One dies after the last cell of a round, or in the middle of the next."""
    report, display = run([working(most), working()], rounds=MORE)
    assert report.restarts == 1
    assert sorted(cell for cell, _ in display.lines)[6:] == ["d0", "d1", "e0"]


def test_nothing_follows_on_a_failure_if_that_is_the_wish(run: Any) -> None:
    report, _ = run([working(failure="code")], rounds=MORE, fail_fast=True)
    assert not report.outcomes.keys() & {"d0", "d1", "e0"}
    assert len(run([working(failure="code")], rounds=MORE)[0].outcomes) < 9


def test_what_follows_and_cannot_be_planned_ends_the_run(run: Any) -> None:
    class Broken(list[Any]):
        def __iter__(self) -> Iterator[Any]:
            raise RequestError("The plugin has gone.")

    with pytest.raises(RequestError, match="The plugin has gone"):
        run([working(3), working()], rounds=[Broken([1])])


def test_one_that_says_nothing_is_ended(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SILENT_S", 0.3)

    def silent(line: Connection) -> None:
        ready(line)
        time.sleep(5)

    report, _ = run([silent, working()])
    assert report.restarts == 1
    assert len(report.outcomes) == 6


def test_what_is_refused_at_first_is_wrong(run: Any) -> None:
    with pytest.raises(RequestError, match="no such thing"):
        run([lambda line: line.send(("refused", "There is no such thing."))])


def test_a_cluster_may_come_back_for_a_while(run: Any) -> None:
    def away(line: Connection) -> None:
        line.send(("refused", "No Ray cluster answers at x:1."))

    report, _ = run([working(3), away, away, away, away, working()], address="x:1")
    assert len(report.outcomes) == 6
    with pytest.raises(LostError, match=r"did not come back within 1 s \(--cluster-wait\)"):
        run([working(1), away], address="x:1", wait_s=1.0)


def test_cells_that_fit_nowhere_are_waited_for_no_longer_than_said(run: Any) -> None:
    def idle(line: Connection) -> None:
        ready(line)
        while True:
            line.send(("news", {}, 0, 0, None, ["4 workers"]))
            time.sleep(0.05)

    with pytest.raises(LostError, match=r"room for cells of 4 workers came within 1 s"):
        run([idle], address="x:1", wait_s=1.0)


def test_broken_lines_say_why(run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(line: Connection) -> None:
        ready(line)
        line.send(("broken", "Ray's raylet died (exit code -9)"))

    run([broken, working()])
    assert "Ray's raylet died (exit code -9). Ray is started again" in capsys.readouterr().err
    assert issubclass(BrokenError, Exception)
