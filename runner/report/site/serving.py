"""Serves a page on this machine while a run goes on, and makes it anew when the ledger changes."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import contextmanager
from functools import partial
from http import HTTPStatus
from http.server import HTTPServer, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from runner import compact_files
from runner.ledger import Ledger
from runner.ledgers import Results, parts_of
from runner.report.site.building import Builder
from runner.report.site.folder import write_page
from xmft.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

ADDRESS = "127.0.0.1"
PORT = 8417
_EVERY_S = 3.0


class _Handler(SimpleHTTPRequestHandler):
    """Gives out the files of one folder, to browsers that asked for this machine by its name."""

    def send_head(self) -> Any:
        """Refuse what another site's page asks for under a name of its own (DNS rebinding)."""
        port = cast(HTTPServer, self.server).server_port
        if self.headers.get("Host", "").lower() not in (f"{ADDRESS}:{port}", f"localhost:{port}"):
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
            return None
        return super().send_head()

    def list_directory(self, path: Any) -> None:
        """Show no folders."""
        self.send_error(HTTPStatus.NOT_FOUND)

    def end_headers(self) -> None:
        """Keep browsers from showing what was."""
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        super().end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing: the terminal is for what changes."""


@contextmanager
def served(folder: Path, port: int) -> Iterator[str]:
    """Serve a folder on the loopback address inside, and give its address.

    Args:
        folder: The folder.
        port: The port; 0 for any that is free.

    Raises:
        RequestError: the port cannot be had.
    """
    if not 0 <= port < 1 << 16:
        raise RequestError(f"--port takes a number from 0 to 65535, found {port}.")
    try:
        server = ThreadingHTTPServer((ADDRESS, port), partial(_Handler, directory=str(folder)))
    except OSError as error:
        raise RequestError(
            f"The page cannot be served on port {port} ({error.strerror}). Name another with "
            "--port, or 0 for any that is free."
        ) from None
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1})
    thread.start()
    try:
        yield f"http://{ADDRESS}:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def watch(
    builder: Builder,
    folder: Path,
    port: int,
    say: Callable[[str], None],
    *,
    every_s: float = _EVERY_S,
    ended: threading.Event | None = None,
) -> None:
    """Serve the page of a ledger, and make it anew when there are other attempts, until the end.

    Args:
        builder: Makes the page.
        folder: Where it is written.
        port: See `served`.
        say: Told what happens.
        every_s: Seconds between two looks at the ledger.
        ended: Set to end it; without it a KeyboardInterrupt does.

    Raises:
        RequestError: the port cannot be had, or the page not be written.
    """
    ended = ended or threading.Event()
    with served(folder, port) as address:  # first: a port that is taken is told at once
        try:
            before = attempts_of(builder.ledger)
            write_page(builder.files(patient=True), folder)
            say(f"The page is at {address} and follows {builder.ledger.shown}; Ctrl-C ends it.")
            while not ended.wait(every_s):
                now = attempts_of(builder.ledger)
                if now != before:
                    write_page(builder.files(patient=True), folder)
                    before = now
        except KeyboardInterrupt:
            say(f"Ended. The page stays in {folder}.")


def attempts_of(results: Results) -> Hashable:
    """Return which attempts the ledgers have, from listings alone; submitted files stay as is."""
    return tuple(
        (
            tuple(file.path for file in part.reader.listed()),
            tuple(compact_files.listed(part.reader)),
        )
        for part in parts_of(results)
        if isinstance(part, Ledger)
    )
