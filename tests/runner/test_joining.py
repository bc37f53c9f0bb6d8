"""A client server of Ray that asks for a token, without the rest of a cluster."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc  # type: ignore[import-untyped]
import pytest
from ray.core.generated.ray_client_pb2 import ClusterInfoResponse
from ray.core.generated.ray_client_pb2_grpc import (
    RayletDriverServicer,
    add_RayletDriverServicer_to_server,
)

from runner.joining import joined
from xmft.errors import RequestError


class _Guarded(RayletDriverServicer):  # type: ignore[misc]
    def ClusterInfo(self, request: Any, context: Any) -> ClusterInfoResponse:
        context.abort(grpc.StatusCode.UNAUTHENTICATED, "Invalid or missing authentication token")


@pytest.fixture
def address() -> Iterator[str]:
    server = grpc.server(ThreadPoolExecutor(max_workers=1))
    add_RayletDriverServicer_to_server(_Guarded(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"ray://127.0.0.1:{port}"
    server.stop(grace=0).wait()


def test_the_token_of_a_client_server_is_asked_for_at_once(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray itself waits for half a minute, and then calls it a time-out."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    begun = time.monotonic()
    with pytest.raises(RequestError, match=f"{address} asks for a token"), joined(address):
        pass
    assert time.monotonic() - begun < 20  # a process of its own asks
