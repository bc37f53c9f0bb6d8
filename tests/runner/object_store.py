"""A server that speaks S3 in this process, and what was asked of it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from moto.server import ThreadedMotoServer
from pyarrow import fs

KEY, SECRET = "AKIAEXAMPLEKEY", "a-secret/that+opens"


class ObjectStore:
    """The server.

    Attributes:
        endpoint: Host and port.
        requests: Method and path of every request, in order.
        refusals: How many of the next requests are answered with "slow down".
    """

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.requests: list[tuple[str, str]] = []
        self.refusals = 0
        self._buckets = 0

    def uri(self, *, credentials: str = "", query: str = "") -> str:
        """Return the URI of a folder in a new bucket."""
        self._buckets += 1
        bucket = f"bucket-{self._buckets}"
        system = fs.S3FileSystem(
            access_key=KEY,
            secret_key=SECRET,
            endpoint_override=self.endpoint,
            scheme="http",
            region="us-east-1",
            allow_bucket_creation=True,
        )
        system.create_dir(bucket)
        self.requests.clear()
        return (
            f"s3://{credentials or f'{KEY}:a-secret%2Fthat%2Bopens'}@{bucket}/results"
            f"?endpoint_override={self.endpoint}&scheme=http&region=us-east-1{query}"
        )

    def methods(self) -> dict[str, int]:
        """Return how often each method was asked for since, and forget it."""
        found = Counter(method for method, _ in self.requests)
        self.requests.clear()
        return dict(found)

    def _serve(self, app: Any, environ: dict[str, Any], start: Any) -> Any:
        self.requests.append((environ["REQUEST_METHOD"], environ["PATH_INFO"]))
        if self.refusals:
            self.refusals -= 1
            start("503 Slow Down", [("Content-Type", "application/xml")])
            return [b"<Error><Code>SlowDown</Code><Message>Reduce your rate</Message></Error>"]
        return app(environ, start)


@contextmanager
def object_store() -> Iterator[ObjectStore]:
    """Start a server on a free port of this machine, and stop it."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        store = ObjectStore(f"{host}:{port}")
        wsgi: Any = server._server
        app = wsgi.app
        wsgi.app = lambda environ, start: store._serve(app, environ, start)
        yield store
    finally:
        server.stop()
