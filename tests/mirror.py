"""A web server of our own that behaves as badly as it is told to."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

LOGIN = b"\n<!DOCTYPE html><html><body>Please sign in to continue</body></html>"

_BLOCK = 2**16


@dataclass
class Served:
    """How one address answers.

    Attributes:
        content: What it has.
        then: What it has from the second request on.
        tag: Its ETag; `then` has another one.
        ranges: It knows the header Range.
        heeds: It knows the header If-Range.
        shift: It sends a part that begins so many bytes later than it was asked for.
        cuts: Of each answer in turn, after how many bytes of content the connection ends; the last
            one holds for all that follow.
        length: The Content-Length it states, whatever it sends; 0: it states none.
        chunked: It sends pieces, each with its length, and an end (RFC 9112, 7.1).
        status: It answers with this instead.
        kind: Its Content-Type.
        to: It redirects to this address.
        wait: Seconds until it answers.
        pace: Seconds behind each 64 kB.
    """

    content: bytes = b""
    then: bytes | None = None
    tag: str | None = '"one"'
    ranges: bool = True
    heeds: bool = True
    shift: int = 0
    cuts: list[int | None] = field(default_factory=lambda: [None])
    length: int | None = None
    chunked: bool = False
    status: int = 200
    kind: str = "application/octet-stream"
    to: str | None = None
    wait: float = 0.0
    pace: float = 0.0


class Mirror(ThreadingHTTPServer):
    """The server: what lies at which path, and for what it was asked (path, Range, If-Range)."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, Served] = {}
        self.asked: list[tuple[str, str | None, str | None]] = []

    def put(self, path: str, served: Served) -> str:
        """Serve something at a path and return its address."""
        self.files[f"/{path}"] = served
        return f"http://127.0.0.1:{self.server_port}/{path}"

    def ranges(self) -> list[str | None]:
        """Return the ranges that were asked for, in turn."""
        return [asked for _, asked, _ in self.asked]


class _Handler(BaseHTTPRequestHandler):
    server: Mirror

    def do_GET(self) -> None:
        served = self.server.files.get(self.path)
        asked, mark = self.headers.get("Range"), self.headers.get("If-Range")
        earlier = [path for path, _, _ in self.server.asked].count(self.path)
        self.server.asked.append((self.path, asked, mark))
        if served is None or served.status >= 400:
            self.send_error(404 if served is None else served.status)
            return
        time.sleep(served.wait)
        if served.to is not None:
            self.send_response(302)
            self.send_header("Location", served.to)
            self.end_headers()
            return
        content, tag = served.content, served.tag
        if earlier and served.then is not None:
            content, tag = served.then, served.tag and '"other"'
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and served.ranges else 0
        if mark is not None and served.heeds and mark != tag:
            start = 0
        if start and start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.end_headers()
            return
        self.send_response(206 if start else served.status)
        if start:
            start += served.shift
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        length = len(content) - start if served.length is None else served.length
        if served.chunked:
            self.send_header("Transfer-Encoding", "chunked")
        elif length:
            self.send_header("Content-Length", str(length))
        if tag:
            self.send_header("ETag", tag)
        self.send_header("Content-Type", served.kind)
        self.end_headers()
        cut = served.cuts[min(earlier, len(served.cuts) - 1)]
        sent = content[start:]
        if served.chunked:
            pieces = [sent[first : first + 1000] for first in range(0, len(sent), 1000)]
            sent = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in [*pieces, b""])
        sent = sent[:cut]
        with suppress(ConnectionError):  # who asks may have heard enough
            for first in range(0, len(sent), _BLOCK):
                self.wfile.write(sent[first : first + _BLOCK])
                time.sleep(served.pace)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def mirror() -> Iterator[Mirror]:
    """Run the server."""
    server = Mirror()
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
