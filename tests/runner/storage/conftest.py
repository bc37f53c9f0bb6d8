from __future__ import annotations

from collections.abc import Iterator

import pytest

from runner.ledger import Ledger
from tests.runner.object_store import ObjectStore, object_store


@pytest.fixture(scope="session")
def server() -> Iterator[ObjectStore]:
    with object_store() as store:
        yield store


@pytest.fixture
def store(server: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    server.refusals = 0
    return server


@pytest.fixture
def remote(store: ObjectStore) -> Ledger:
    """A ledger on the object store, by a URI with keys and a query."""
    ledger = Ledger(store.uri())
    ledger.prepare()
    store.requests.clear()
    return ledger


@pytest.fixture(params=["file system", "object store"])
def either(request: pytest.FixtureRequest) -> Ledger:
    """A ledger on each kind of storage."""
    name = "ledger" if request.param == "file system" else "remote"
    found = request.getfixturevalue(name)
    assert isinstance(found, Ledger)
    return found
