"""Places that submissions are written to and read from: refused in a sentence, without keys."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from runner.ledger import Ledger
from tests.runner.attempts import attempt_of, cell_of, score_of
from tests.runner.commands import output_of, refused, xmft
from tests.runner.submissions import column


def test_results_that_nobody_could_read_are_not_handed_in(ledger: Ledger, tmp_path: Path) -> None:
    ledger.write_attempt(attempt_of(cell_of(), score_of(0.5)))
    (path,) = Path(ledger.uri).glob("cells/*/*.arrow")
    table = pa.ipc.open_file(path.read_bytes()).read_all()
    table = column(table, "versions", lambda values: ["[]"] * len(values))
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table)
    text = refused(
        tmp_path, "submit-results", "--results", ledger.uri, "--to", tmp_path / "x.parquet"
    )
    assert "cannot be handed in: versions is no JSON object" in text


def test_places_show_no_keys(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger.write_attempt(attempt_of(cell_of(), score_of(0.5)))
    monkeypatch.setattr("runner.submissions.making.write", lambda *_: "0" * 64)
    place = "s3://KEYID:SECRET@b/x{}?region=r&access_key=SECRET2"
    text = output_of("submit-results", "--results", ledger.uri, "--to", place.format(".parquet"))
    assert "s3://b/x.parquet?region=r" in text
    for words in (
        ["submit-results", "--to", place.format(".csv")],
        ["export", "--to", place.format(".csv")],
        ["export", "--to", place.format(".txt")],
        ["leaderboard", "--format", "md", "--out", place.format(".md")],
    ):
        result = xmft(*words, "--results", ledger.uri)
        assert result.exit_code == 2, words
        text += result.output
    assert "found a URI, s3://" in text
    for secret in ("KEYID", "SECRET"):
        assert secret not in text


def test_a_name_of_nobody_is_one_sentence(ledger: Ledger, tmp_path: Path) -> None:
    ledger.write_attempt(attempt_of(cell_of(), score_of(0.5)))
    place = "~nosuchuser/x.parquet"
    for words in (
        ["leaderboard", "--results", place],
        ["status", "--results", ledger.uri, place],
        ["show", "abc", "--results", place],
        ["diff", place, ledger.uri],
        ["verify-results", place],
        ["submit-results", "--results", place, "--to", "x.parquet"],
        ["submit-results", "--results", ledger.uri, "--to", place],
    ):
        assert "nosuchuser" in refused(tmp_path, *words)
