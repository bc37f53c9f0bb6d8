"""Joining a cluster that somebody else started: whether it answers, and whether it lets us in."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import ray

# What `ray.init` itself asks, of the same version (constraints.txt); there is no public way.
from ray._private.authentication.authentication_token_setup import (
    maybe_enable_token_auth_if_token_available,
)
from ray._private.grpc_utils import init_grpc_channel
from ray._raylet import GcsClient  # type: ignore[attr-defined]
from ray.core.generated.ray_client_pb2 import ClusterInfoRequest, ClusterInfoType
from ray.core.generated.ray_client_pb2_grpc import RayletDriverStub

from runner.processes import module_command, module_environment
from xmft.errors import RequestError

_CLIENT, _PATIENCE_S = "ray://", 5.0
# Exit code of the process that asked.
_REFUSED = 77
_PING = ClusterInfoRequest(type=ClusterInfoType.PING)
_GIVE_ONE = "set RAY_AUTH_TOKEN to its token, or RAY_AUTH_TOKEN_PATH to a file that holds it"


@contextmanager
def joined(address: str, **options: Any) -> Iterator[None]:
    """Join the cluster at `address`, and leave it.

    A token that is there is used: by itself, Ray sends none to an address unless RAY_AUTH_MODE
    says so, and a cluster that asks for none does not mind one.

    Args:
        address: `auto`, `HOST:PORT` or `ray://HOST:PORT`.
        options: More of `ray.init`.

    Raises:
        RequestError: nothing answers there, or it does not take our token.
    """
    _check_answers(address)
    _check_token(address)
    try:
        ray.init(address=address, **options)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise RequestError(
            f"No Ray cluster answers at {address}: {reason}. If it asks for a token, {_GIVE_ONE}."
        ) from None
    try:
        yield
    finally:
        ray.shutdown()


def _port(address: str) -> tuple[str, int] | None:
    host, _, port = address.rpartition("//")[2].rpartition(":")
    return (host, int(port)) if port.isdigit() else None  # None: `auto`


def _check_answers(address: str) -> None:
    """Try the port first: Ray itself waits for minutes before it gives up."""
    place = _port(address)
    if place is None:
        return
    try:
        socket.create_connection(place, timeout=5).close()
    except OSError as error:
        raise RequestError(f"No Ray cluster answers at {address} ({error}).") from None


def _check_token(address: str) -> None:
    """Show the token once: Ray itself tries a wrong one for 20 to 30 s, and names another cause.

    One that is there is used where it is asked for, and only there: a process that uses one wants
    it from the cluster too, which then cannot reach it.
    """
    mode, has_one = os.environ.get("RAY_AUTH_MODE", "").lower(), _has_token()
    if mode == "token" and not has_one:
        raise RequestError(
            f"RAY_AUTH_MODE is token, but no token was given for {address}: {_GIVE_ONE}."
        )
    if _port(address) is None or not _is_refused(address, mode or "disabled"):
        return
    if not mode and has_one:
        maybe_enable_token_auth_if_token_available(warn_if_disabled=False)
        mode = "token"
        if not _is_refused(address, mode):
            return
    if not has_one:
        why = f"asks for a token, and none was given: {_GIVE_ONE}"
    elif mode == "token":
        why = f"does not take the token that was given: {_GIVE_ONE}"
    else:
        why = f"asks for a token, but RAY_AUTH_MODE is {mode}: unset it"
    raise RequestError(f"The cluster at {address} {why}.")


def _has_token() -> bool:
    """Tell whether there is a token, where Ray looks for one.

    Ray's own loader is not asked: once it has a token, the process uses it, whatever its mode.
    """
    if os.environ.get("RAY_AUTH_TOKEN"):
        return True
    named = os.environ.get("RAY_AUTH_TOKEN_PATH")
    try:
        path = Path(named).expanduser() if named else Path.home() / ".ray" / "auth_token"
        return bool(path.read_text(encoding="utf-8", errors="replace").strip())
    except (OSError, RuntimeError):
        return False


def _is_refused(address: str, mode: str) -> bool:
    """Ask for what costs nothing, in a process of its own.

    A client of the cluster in this one would settle, before `ray.init` does, what the process is
    to Ray: the cluster then cannot reach it, and its actors never start.
    """
    asked = subprocess.run(
        module_command("runner.joining", address),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=module_environment(RAY_AUTH_MODE=mode),
        check=False,
    )
    return asked.returncode == _REFUSED


def _refuses(address: str) -> bool:
    """Ask from this process; whatever else goes wrong, `ray.init` tells the cause."""
    try:
        if address.startswith(_CLIENT):
            channel = init_grpc_channel(address.removeprefix(_CLIENT).partition("?")[0])
            with channel:
                RayletDriverStub(channel).ClusterInfo(_PING, timeout=_PATIENCE_S)
        else:
            GcsClient(address=address)
    except ray.exceptions.AuthenticationError:
        return True
    except grpc.RpcError as error:
        return bool(error.code() == grpc.StatusCode.UNAUTHENTICATED)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError):
        return False
    return False


if __name__ == "__main__":
    sys.exit(_REFUSED if _refuses(sys.argv[1]) else 0)
