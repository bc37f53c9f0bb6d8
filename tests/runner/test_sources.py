"""Source proxies of files, from the plan to the cell."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import catalog
from runner.config import Grid
from runner.job import CellJob
from runner.ledger import Ledger
from runner.outcome import Outcome
from runner.plan import PlannedCell, make_plan
from tests.files import write_miniature
from xmft.errors import RequestError

MakeGrid = Callable[..., Grid]


@pytest.fixture
def entities(data_root: Path) -> Path:
    """A miniature of the training file of CoNLL-2003: 40 documents of 8 words."""
    words = [f"word{i} NN I-NP {tag}" for i, tag in enumerate(["O", "I-PER", "O", "I-LOC"] * 2)]
    texts = []
    for number in range(40):
        tagged = words if number % 2 else [word.replace("I-PER", "O") for word in words]
        texts.append("-DOCSTART- -X- O O\n\n" + "\n".join(tagged) + "\n\n")
    path = data_root / "conll2003" / "eng.train"
    path.parent.mkdir()
    path.write_text("".join(texts))
    return path


def test_missing_files_are_found_at_planning(
    tiny_grid: MakeGrid, ledger: Ledger, data_root: Path
) -> None:
    grid = tiny_grid(methods=["nft", "recraft"], source="conll2003")
    with pytest.raises(RequestError, match=rf"eng\.train or train\.txt.*under {data_root}"):
        make_plan(grid, ledger, data_root)
    # Nobody asks for them where nothing is aligned.
    assert make_plan(tiny_grid(methods=["nft"], source="conll2003"), ledger, data_root)


def test_the_content_of_the_files_is_part_of_the_cell(
    tiny_grid: MakeGrid, ledger: Ledger, data_root: Path, entities: Path
) -> None:
    grid = tiny_grid(methods=["nft", "recraft"], source="conll2003")
    nft, first = (item.cell for item in make_plan(grid, ledger, data_root))
    assert nft.source is None
    assert first.source is not None and first.source.startswith("conll2003@")
    entities.write_text(entities.read_text().replace("word1", "other"))
    _, second = (item.cell for item in make_plan(grid, ledger, data_root))
    assert second.source != first.source and second.id != first.id


@pytest.mark.parametrize(
    ("source", "backbone", "fitting"),
    [
        ("stdlib-docs", "tiny-swin", "cifar10, procedural-images"),
        ("procedural-images", "tiny-sequence", "conll2003, stdlib-docs"),
    ],
)
def test_source_and_backbone_must_be_of_one_modality(
    source: str, backbone: str, fitting: str, tiny_grid: MakeGrid, ledger: Ledger, data_root: Path
) -> None:
    changes = {"tasks": ["pdebench/darcy"], "source": source, "backbone": backbone}
    with pytest.raises(
        RequestError,
        match=rf"'{source}' of task 'pdebench/darcy' is for .* Set source to one of: {fitting}",
    ):
        make_plan(tiny_grid(methods=["recraft"], **changes), ledger, data_root)
    assert make_plan(tiny_grid(methods=["nft"], **changes), ledger, data_root)


def test_a_cell_runs_on_the_files_that_it_was_planned_with(
    plan_one: Callable[..., PlannedCell],
    job_of: Callable[..., CellJob],
    attempt: Callable[..., Outcome],
    ledger: Ledger,
    data_root: Path,
    entities: Path,
) -> None:
    write_miniature(catalog.get("pdebench/advection"), data_root, samples=40, points=32)
    assert attempt(job_of(plan_one(methods=["recraft"], source="conll2003"))).status == "ok"
    item = plan_one(methods=["recraft"], source="conll2003", seeds=[1])
    entities.write_text(entities.read_text() + "late NN I-NP O\n")
    outcome = attempt(job_of(item))
    assert (outcome.status, outcome.failure) == ("failed", "data")
    assert outcome.error is not None
    assert "source proxy 'conll2003' changed since the grid was planned" in outcome.error
