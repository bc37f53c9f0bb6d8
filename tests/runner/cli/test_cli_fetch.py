"""`xmft data fetch`, against a web server of our own."""

from __future__ import annotations

import hashlib
import io
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import pytest
from rich.console import Console

from benchmarks import transfer
from runner.console import fetching
from tests.mirror import LOGIN, Mirror, Served, mirror
from tests.runner.commands import output_of, xmft

ROOT = Path(__file__).parents[3]
CONTENT = np.random.default_rng(0).bytes(400_000)
PLUGIN = """
from pathlib import PurePosixPath

from benchmarks import ArrayEntry, add_task
from benchmarks.download import Download
from xmft.task import Task

for name in ("one", "two"):
    add_task(
        ArrayEntry(
            task=Task(
                name=f"toy/{{name}}", version=1, title=name, kind="classification",
                loss="cross_entropy", metrics=("error_pct",), classes=2,
            ),
            files=(f"{{name}}.bin",),
            load=lambda recipe, paths: {{}},
            downloads=(
                Download(
                    path=PurePosixPath(f"{{name}}.bin"),
                    urls=(f"{address}{{name}}-old", f"{address}{{name}}"),
                    size=400_000,
                ),
            ),
        )
    )
"""


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    monkeypatch.setattr(transfer, "PAUSE_SECONDS", 0.0)
    with mirror() as running:
        yield running


@pytest.fixture
def plugin(web: Mirror, tmp_path: Path) -> Path:
    path = tmp_path / "toys.py"
    path.write_text(PLUGIN.format(address=f"http://127.0.0.1:{web.server_port}/"))
    return path


def test_a_mirror_refuses_and_the_next_one_breaks_off_once(
    web: Mirror, plugin: Path, data_root: Path
) -> None:
    web.put("one-old", Served(status=403))
    web.put("one", Served(CONTENT, cuts=[100_000, None]))
    command = ["data", "fetch", "toy/one", "--plugin", plugin, "--data", data_root]
    lines = output_of(*command).splitlines()
    host = f"127.0.0.1:{web.server_port}"
    assert lines[0] == "toy/one: 1 file, about 400.0 kB"
    assert lines[1].startswith(f"one.bin could not be fetched from http://{host}/one-old (HTTP")
    assert lines[2:] == [
        f"one.bin: 400.0 kB from {host}",
        f"one.bin: 400.0 kB from {host}, going on behind 100.0 kB",
        f"toy/one: {data_root / 'toy' / 'one' / 'one.bin'}",
    ]
    assert (data_root / "toy" / "one" / "one.bin").read_bytes() == CONTENT
    assert output_of(*command).splitlines() == lines[-1:]
    text = output_of("data", "verify", "toy/one", "--plugin", plugin, "--data", data_root)
    assert f"SHA-256 {hashlib.sha256(CONTENT).hexdigest()} as pinned" in text


def test_a_task_that_cannot_be_had_stops_no_other(
    web: Mirror, plugin: Path, data_root: Path
) -> None:
    web.put("one-old", Served(LOGIN, kind="text/html"))
    web.put("two-old", Served(CONTENT))
    result = xmft("data", "fetch", "toy/*", "--plugin", plugin, "--data", data_root)
    assert result.exit_code == 1
    assert "toy/one: one.bin could not be fetched from" in result.stderr
    assert "it sends a web page (text/html)" in result.stderr and "Traceback" not in result.stderr
    assert f"toy/two: {data_root / 'toy' / 'two' / 'two.bin'}" in result.stdout
    text = " ".join(
        output_of("data", "status", "toy/*", "--plugin", plugin, "--data", data_root).split()
    )
    assert "toy/one missing Task 'toy/one' needs one.bin" in text
    assert "Get the official data (1 file, about 400.0 kB) with" in text
    assert "toy/two official" in text


def test_a_pinned_file_that_was_changed_is_told(web: Mirror, plugin: Path, data_root: Path) -> None:
    web.put("one-old", Served(CONTENT))
    options = ["toy/one", "--plugin", plugin, "--data", data_root]
    output_of("data", "fetch", *options)
    (data_root / "toy" / "one" / "one.bin").write_bytes(CONTENT + b"x")
    for verb in ("fetch", "verify"):
        result = xmft("data", verb, *options)
        assert result.exit_code == 1 and "when it was first fetched" in result.stderr


def test_a_terminal_shows_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    terminal = Console(file=stream, force_terminal=True, width=120)
    monkeypatch.setattr("runner.console.console", terminal)
    with fetching("toy/one") as progress:
        for done, total in ((4_000_000, 10_000_000), (5_000_000, 10_000_000), (0, 3_000_000)):
            progress(done, total)
            time.sleep(0.15)
    text = click.unstyle(stream.getvalue())
    assert "fetching toy/one" in text
    assert all(part in text for part in ("4.0/10.0 MB", "5.0/10.0 MB", "0.0/3.0 MB"))


def test_ctrl_c_keeps_what_has_arrived(web: Mirror, plugin: Path, data_root: Path) -> None:
    web.put("one-old", Served(CONTENT, pace=0.5))
    command = [sys.executable, "-c", "from runner.cli import app; app()", "data", "fetch"]
    command += ["toy/one", "--plugin", str(plugin), "--data", str(data_root)]
    part = data_root / "toy" / "one" / "one.bin.part"
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        end = time.monotonic() + 60
        while not (part.exists() and part.stat().st_size > 100_000):
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60)[1] == ""
        assert process.returncode == 130
    finally:
        process.kill()
        process.communicate()
    kept = part.read_bytes()
    assert kept == CONTENT[: len(kept)] and 100_000 < len(kept) < len(CONTENT)
    web.files["/one-old"].pace = 0.0
    output_of("data", "fetch", "toy/one", "--plugin", plugin, "--data", data_root)
    assert part.with_suffix("").read_bytes() == CONTENT
    assert web.ranges() == [None, f"bytes={len(kept)}-"]
