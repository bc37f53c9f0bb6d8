"""A page that is served while a run goes on: to this machine alone, and always the newest."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from runner.ledger import Ledger
from runner.report.query import Query
from runner.report.site.building import Builder, Wanted
from runner.report.site.serving import served, watch
from tests.runner.attempts import attempt_of, cell_of, score_of
from tests.runner.site.pages import filled, opened, written
from xmft.errors import RequestError


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    return written(filled(folder / "ledger"), folder / "page")


def asked(address, path="/", host=None):
    name, port = address.removeprefix("http://").rstrip("/").split(":")
    connection = http.client.HTTPConnection(name, int(port), timeout=10)
    connection.request("GET", path, headers={"Host": host or f"{name}:{port}"})
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, content, answer.headers


def test_the_page_is_served_to_this_machine_alone(site):
    with served(site, 0) as address:
        port = address.rstrip("/").rpartition(":")[2]
        assert address == f"http://127.0.0.1:{port}/"
        status, content, headers = asked(address)
        assert (status, content) == (200, (site / "index.html").read_bytes())
        assert headers["Cache-Control"] == "no-store"
        assert asked(address, host=f"localhost:{port}")[0] == 200
        assert asked(address, "/cells/")[0] == 404  # no listing
        assert asked(address, "/../ledger/")[0] == 404
        listening = socket.socket()
        own = socket.gethostbyname(socket.gethostname())
        if not own.startswith("127."):
            assert listening.connect_ex((own, int(port))) != 0
        listening.close()
    with pytest.raises(OSError):
        asked(address)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "evil.example:80", "127.0.0.1:1"])
def test_another_name_for_this_machine_is_refused(site, host):
    with served(site, 0) as address:
        status, content, _ = asked(address, "/version.txt", host=host)
        assert status == 421 and (site / "version.txt").read_bytes() not in content


def test_a_port_that_is_taken_is_told(site):
    with served(site, 0) as address:
        port = int(address.rstrip("/").rpartition(":")[2])
        with pytest.raises(RequestError, match=f"port {port} .*--port"), served(site, port):
            pass


def until(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def test_new_attempts_make_a_new_page_from_an_empty_ledger_on(tmp_path):
    ledger, site, said = Ledger(tmp_path / "ledger"), tmp_path / "site", []
    ended = threading.Event()
    builder = Builder(ledger, Wanted(query=Query(), plots=False))
    thread = threading.Thread(
        target=watch, args=(builder, site, 0, said.append), kwargs={"every_s": 0.05, "ended": ended}
    )
    thread.start()
    try:
        until(lambda: said)
        assert "The ledger holds no results" in (site / "index.html").read_text()
        address = said[0].split()[4]
        versions = {asked(address, "/version.txt")[1]}
        ledger.prepare()
        for seed in (0, 1):
            failure = "oom" if seed == 0 else None
            cell = cell_of("pdebench/advection", "nft", seed)
            ledger.write_attempt(attempt_of(cell, score_of(0.25), failure=failure))
            until(lambda: asked(address, "/version.txt")[1] not in versions)
            versions.add(asked(address, "/version.txt")[1])
            assert len(opened(site).cells) == seed + 1
        assert "nft" in [text.strip() for text in opened(site).texts["th"]]
    finally:
        ended.set()
        thread.join()


def test_ctrl_c_ends_it_with_one_line(tmp_path):
    filled(tmp_path / "ledger")
    code = "from runner.cli import app; app()"
    arguments = ("report", "--results", str(tmp_path / "ledger"), "--out", str(tmp_path / "site"))
    process = subprocess.Popen(
        [sys.executable, "-c", code, *arguments, "--watch", "--port", "0", "--no-plots"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    assert process.stderr is not None
    try:
        first = process.stderr.readline()
        assert "http://127.0.0.1:" in first and "Ctrl-C" in first
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == f"Ended. The page stays in {tmp_path / 'site'}.\n"
        assert process.wait(timeout=20) == 0
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
