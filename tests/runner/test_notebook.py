import pytest

import runner.report
from runner.ledger import Ledger
from runner.report import leaderboard
from runner.report.long_table import long_table
from runner.report.markdown import to_markdown
from tests.runner.attempts import attempt_of, cell_of, score_of
from tests.runner.boards import THREE, build, grid, ledger
from xmft.errors import RequestError


def test_a_table_or_a_ledger_becomes_leaderboards(tmp_path):
    table = ledger(*grid(THREE))
    found = leaderboard(table, tasks=["s/a"], seeds=[0])
    (board,) = build(table, tasks=["s/a"], seeds=[0])
    assert list(found) == [found[0]] == [board] and len(found) == 1
    assert found.to_arrow().equals(long_table([board], published=False))
    assert found.to_pandas()["entry"].tolist() == ["orca", "pare", "nft"]
    written = Ledger(tmp_path / "results")
    written.prepare()
    written.write_attempt(attempt_of(cell_of(), score_of(0.5)))
    found = leaderboard(written)
    assert found.to_markdown() == to_markdown(found.boards, ledger=written.uri, published=False)


def test_wrong_questions():
    with pytest.raises(RequestError, match="protocol released"):
        leaderboard(ledger(*grid(THREE)), protocol="released")
    with pytest.raises(TypeError, match="task"):
        leaderboard(ledger(*grid(THREE)), task="s/a")
    with pytest.raises(AttributeError, match="boards"):
        _ = runner.report.boards
