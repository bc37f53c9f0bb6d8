"""Everything on object storage: a run, its end and its resume, tables, figures, TensorBoard."""

from __future__ import annotations

import signal
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyarrow import fs

from performance.chaos import differences, scores
from runner.ledger import Ledger
from tests.cluster.clusters import BIN, until
from tests.ray.conftest import Xmft
from tests.runner.object_store import KEY, ObjectStore, object_store

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture
def store() -> Iterator[ObjectStore]:
    with object_store() as server:
        yield server


def _files(results: str) -> list[str]:
    system, root = fs.FileSystem.from_uri(results)
    found = system.get_file_info(fs.FileSelector(root, allow_not_found=True, recursive=True))
    return [one.path.removeprefix(root).strip("/") for one in found if one.is_file]


def test_a_run_that_ends_goes_on_and_is_reported_all_on_a_server(
    xmft: Xmft,
    uninterrupted: Path,
    store: ObjectStore,
    environment: dict[str, str],
    grid: Path,
    tmp_path: Path,
) -> None:
    results = store.uri()
    command = [BIN / "xmft", "run", grid, "--results", results]
    first = subprocess.Popen(
        list(map(str, [*command, "--set", "epochs=150", "--methods", "nft"])),
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        until(lambda: any(path.endswith("state.pt") for path in _files(results)), 120)
        first.send_signal(signal.SIGTERM)
        said, _ = first.communicate(timeout=60)
    finally:
        first.kill()
    assert first.returncode == 143, said
    assert any(path.endswith("state.pt") for path in _files(results))
    texts = [said]

    def ask(*arguments: str | Path) -> str:
        done = xmft(*arguments)
        texts.append(done.stdout + done.stderr)
        return texts[-1]

    said = ask(*command[1:], "--set", "epochs=150", "--methods", "nft")
    assert "1 cells went on from their checkpoints" in said

    store.requests.clear()
    assert "3 of 3 cells finished" in ask(*command[1:])
    # Everything that a cell asks for, its checkpoints, curves and events included.
    asked = Counter(method for method, _ in store.requests)
    assert asked["PUT"] + asked["POST"] < 3 * 30, asked
    assert asked["GET"] + asked["HEAD"] < 3 * 60, asked
    mine = {key: value for key, value in scores(results).items() if key in scores(uninterrupted)}
    assert not list(differences(scores(uninterrupted), mine))

    ask("compact", "--results", results)
    table = ask("leaderboard", "--results", results)
    assert "recraft" in table and "orca" in table
    assert "4 of 4" in ask("status", "--results", results) or len(Ledger(results).states()) == 4
    ask("figures", "--results", results)
    files = _files(results)
    kinds = {path.split("/")[0].partition("-")[0] for path in files}
    assert kinds == {"compact", "curves", "examples", "figures", "tensorboard"}, files
    assert not [path for path in files if path.startswith(("checkpoints", "ray-", "leases"))]
    assert [path for path in files if "tfevents" in path]

    cell_id = next(iter(Ledger(results).states()))
    ask("show", cell_id, "--results", results)
    for text in texts:
        assert "a-secret" not in text and KEY not in text


SEARCH = """
tasks: [pdebench/advection]
methods: [nft]
seeds: [0, 1]
backbone: tiny-sequence
recipe: {samples: 61, resolution: 32, max_tokens: 8, epochs: 4, batch_size: 8}
search:
  {trials: 4, scheduler: asha, eta: 2, space: {nft: {learning_rate: {log_uniform: [1.0e-4, 0.1]}}}}
"""


def test_a_search_needs_one_ray_and_is_the_same_on_a_server(
    xmft: Xmft, store: ObjectStore, tmp_path: Path
) -> None:
    grid, local, remote = tmp_path / "search.yaml", tmp_path / "local", store.uri()
    grid.write_text(SEARCH)
    said = [xmft("run", grid, "--results", place).stdout for place in (local, remote)]
    for text in said:
        assert text.count("cell(s) at a time") == 4  # three rungs and what is best
        assert "4 to run" in text and "1 to run" in text
        assert "9 of 9 cells finished" in text
    assert not list(differences(scores(local), scores(remote)))
