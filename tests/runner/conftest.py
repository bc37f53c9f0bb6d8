from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from runner import plugins
from runner.config import Grid
from runner.execute import attempt_cell, train_cell
from runner.job import CellJob, FinishedCell
from runner.ledger import Ledger
from runner.outcome import Outcome
from runner.plan import PlannedCell, make_plan
from runner.sessions import CellSession
from tests.runner.attempts import attempt_of, cell_of, score_of
from tests.runner.commands import output_of
from xmft.registry import forget
from xmft.task import CurvePoint

TINY: dict[str, Any] = {
    "tasks": ["pdebench/advection"],
    "methods": ["nft"],
    "seeds": [0],
    "backbone": "tiny-sequence",
    "recipe": {
        "samples": 40,
        "resolution": 32,
        "max_tokens": 4,
        "epochs": 2,
        "batch_size": 8,
        "learning_rate": 1.0e-3,
    },
    "options": {
        "recraft": {
            "alignment_steps": 12,
            "alignment_batch": 8,
            "clusters": 3,
            "source": {"samples": 32, "tokens": 8},
            "predictor": {"plain_steps": 8, "bounded_steps": 1},
        }
    },
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep the cache and the data of the person who runs the tests out of them."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("XMFT_CACHE", str(folder))
    monkeypatch.setenv("XMFT_DATA", str(tmp_path / "data"))
    return folder


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Several threads make tiny models slower, much slower where others use the cores as well."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def data_root(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    return folder


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    ledger = Ledger(tmp_path / "results")
    ledger.prepare()
    return ledger


SERIES = "nasbench360/satellite"


@pytest.fixture
def tiny_content() -> Callable[..., dict[str, Any]]:
    """Return the fields of a grid whose cells take a tenth of a second each."""

    def content(**changes: Any) -> dict[str, Any]:
        recipe = {**TINY["recipe"], **changes.pop("recipe", {})}
        found = {**TINY, "recipe": recipe, **changes}
        if SERIES in found["tasks"]:  # which has one length alone
            found.setdefault("per_task", {SERIES: {"resolution": None}})
        return found

    return content


@pytest.fixture
def tiny_grid(tiny_content: Callable[..., dict[str, Any]]) -> Callable[..., Grid]:
    return lambda **changes: Grid(**tiny_content(**changes))


@pytest.fixture
def plan_one(
    tiny_grid: Callable[..., Grid], ledger: Ledger, data_root: Path
) -> Callable[..., PlannedCell]:
    """Plan a tiny grid of one cell."""

    def plan(**changes: Any) -> PlannedCell:
        (item,) = make_plan(tiny_grid(**changes), ledger, data_root)
        return item

    return plan


@pytest.fixture
def job_of(ledger: Ledger, data_root: Path) -> Callable[..., CellJob]:
    """Make of a planned cell what a worker is told about it."""

    def job(item: PlannedCell, **changes: Any) -> CellJob:
        facts = {
            "results": ledger.uri,
            "backbone": item.backbone,
            "problem": item.problem,
            **changes,
        }
        return CellJob(config_json=item.cell.config_json, data_root=str(data_root), **facts)

    return job


@pytest.fixture
def train() -> Callable[..., FinishedCell]:
    """Train a job in this process, in a session of the given class."""

    def run(
        job: CellJob, micro_batch: int | None = None, session: type[CellSession] = CellSession
    ) -> FinishedCell:
        device = torch.device("cpu")
        return train_cell(
            job, session(job.cell, job.results, device, None, job.timeout_s), micro_batch
        )

    return run


@pytest.fixture
def attempt(train: Callable[..., FinishedCell]) -> Callable[..., Outcome]:
    """Attempt a job in this process and write it down."""

    def run(job: CellJob, session: type[CellSession] = CellSession) -> Outcome:
        return attempt_cell(job, lambda micro_batch: train(job, micro_batch, session))

    return run


@pytest.fixture
def write_plugin(tmp_path: Path, cache: Path) -> Iterator[Callable[[str, str], str]]:
    """Write files of a plug-in; what the test has installed is taken out."""
    before = set(sys.modules)

    def write(name: str, text: str) -> str:
        path = tmp_path / "lab" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    yield write
    for name in list(plugins._installed):
        forget(name)
        del plugins._installed[name]
    shipped = str(cache / "plugins")
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(shipped):
            del sys.modules[name]


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], str]:
    def file(text: str) -> str:
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        return str(path)

    return file


@pytest.fixture(scope="session")
def submitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a ledger of two cells, of which one failed once, and what was handed in."""
    folder = tmp_path_factory.mktemp("submitted")
    ledger = Ledger(folder / "results")
    for seed in (0, 1):
        cell = cell_of(seed=seed)
        scores = (score_of(0.5 + seed), score_of(0.25, selection="last"))
        ledger.prepare()
        if seed:
            ledger.write_attempt(attempt_of(cell, failure="oom"))
        ledger.write_attempt(attempt_of(cell, *scores, wall_s=0.0))
        point = CurvePoint(epoch=1, split="val", name="nrmse", value=0.5)
        ledger.write_curves(cell.id, [point])
    output_of("submit-results", "--results", ledger.uri, "--to", folder / "lab.parquet")
    return folder


@pytest.fixture
def handed(submitted: Path, ledger: Ledger, tmp_path: Path) -> Path:
    """What was handed in of a ledger, which `ledger` is."""
    shutil.copytree(submitted / "results", ledger.uri, dirs_exist_ok=True)
    return Path(shutil.copy(submitted / "lab.parquet", tmp_path))
