"""What leaves in a submission: names of machines and people, places and what opens them do not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from runner.ledger import Ledger
from runner.schema import SCHEMA
from runner.submissions.privacy import without_private
from tests.runner.attempts import attempt_of, cell_of, score_of
from tests.runner.commands import output_of


def handed_in(
    text: str | None, invocation: Any = None, host: str = "gpu01"
) -> tuple[str | None, str | None]:
    """Error and invocation of a row as they leave."""
    told = invocation if isinstance(invocation, str | None) else json.dumps(invocation)
    row = dict.fromkeys(SCHEMA.names) | {"error": text, "host": host, "invocation": told}
    table = without_private(pa.Table.from_pylist([row], schema=SCHEMA))
    return table["error"][0].as_py(), table["invocation"][0].as_py()


PLACES = [
    ("cannot open /a/b/c.h5: no", "cannot open c.h5: no"),
    ("error:/home/alice/lib/y.py", "error:y.py"),
    ("cc -I/home/alice/inc/y.h -L/opt/q/l", "cc -Iy.h -Lpath"),
    ("../../home/alice/x.py ./runs/jane/x.py", "x.py x.py"),
    ("PYTHONPATH=/opt/x:/home/alice/lib/y.py", "PYTHONPATH=path:y.py"),
    ("/home/alice", "user"),
    ("(/data/jane)", "(path)"),
    ("in /scratch/jane/runs/ now", "in path now"),
    ("/home/Alice Smith/data/x.h5 is gone", "x.h5 is gone"),
    ("/home/Alice Smith", "user"),
    ("neither /home/alice nor /a/x.py", "neither user nor x.py"),
    ("/Users/jane/x.py /export/home/jane/x.py ~jane/x.py", "x.py x.py x.py"),
    ('"/home/jane doe/a b.txt" and "plain"', '"a b.txt" and "plain"'),
    (r"File 'C:\Users\jane doe\x.py'", "File 'x.py'"),
    (r"C:\Users\Jane Doe\x.py and C:/Users/jane/y.py", "x.py and y.py"),
    (r"\\fileserver\alice\x.h5", "x.h5"),
    (r"'\\\\fileserver\\alice\\x.h5'", "'x.h5'"),
    ("//server/share/x.bin", "x.bin"),
    ("file:///home/alice/data/x.h5, '/home/al b/x.h5'", "x.h5, 'x.h5'"),
    ("'file:///home/Al B/my x.h5'", "'my x.h5'"),
    # What is no place of anybody stays.
    ('File "/usr/lib/python3/os.py" /dev/shm', 'File "os.py" shm'),
    (
        "mean/std 1/2 pdebench/advection a -> b / c // d",
        "mean/std 1/2 pdebench/advection a -> b / c // d",
    ),
    ("3/4 of https://x.org/y, cifar10@1", "3/4 of https://x.org/y, cifar10@1"),
]


@pytest.mark.parametrize(("text", "wanted"), PLACES)
def test_of_places_the_name_of_the_file_is_left(text: str, wanted: str) -> None:
    assert handed_in(text)[0] == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("s3://bucket/a/b stays", "s3://bucket/a/b stays"),
        ("s3://KEY:SECRET@bucket/a?endpoint=x", "s3://bucket/a"),
        ("(https://alice:tok@host/x?token=abc).", "(https://host/x)."),
        ("url=postgresql://u:p@h/db", "url=postgresql://h/db"),
        ("http://gpu01:8265/home/alice/q", "http://host-1:8265/home/user/q"),
        ("ray://192.168.1.7:10001", "ray://address:10001"),
    ],
)
def test_of_uris_what_opens_nothing_is_left(text: str, wanted: str) -> None:
    assert handed_in(text)[0] == wanted


@pytest.mark.parametrize("host", ["gpu01", "gpu01.lab.org", "GPU01.lab.org"])
def test_a_machine_has_many_names(host: str) -> None:
    text = "gpu01 GPU01, Gpu01.Lab.org:80 alice@gpu01: alice@gpu01.lab.org: gpu012"
    wanted = "host-1 host-1, host-1:80 user@host-1: user@host-1: gpu012"
    assert handed_in(text, host=host)[0] == wanted
    assert handed_in("jane@lab.org 10 of 10.1.2.3", host="10.1.2.3")[0] == "user@host 10 of host-1"


def test_addresses_are_told_from_versions_and_names() -> None:
    text = "192.168.1.7:6379, fe80::1ff:fe23:4567:890a [2001:db8::1]:80"
    assert handed_in(text)[0] == "address:6379, address [address]:80"
    text = "127.0.0.1 ::1 0.0.0.0 v1.2.3 999.1.1.1 at::native std::vector 12:30:45"
    assert handed_in(text)[0] == text


def test_people_are_known_by_their_homes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/srv/people/bob")
    monkeypatch.setenv("LOGNAME", "carol")
    text = "alice, bob and carol (alices) use /home/alice/x.py; /srv/people/bob"
    assert handed_in(text)[0] == "user, user and user (alices) use x.py; user"
    assert handed_in("alice has it", {"data": "/home/alice/data"})[0] == "user has it"
    # The account of everybody is nobody.
    monkeypatch.setenv("HOME", "/root")
    monkeypatch.setenv("LOGNAME", "root")
    assert handed_in("the data root of root")[0] == "the data root of root"


def test_what_a_run_was_told_is_replaced_in_texts() -> None:
    told = {"data": "/my data/of jane", "backbone": "/scratch/jane/minilm"}
    text = "/my data/of jane/x.h5 and /scratch/jane/minilm/a.bin, not /scratch/jane/minilm2"
    assert handed_in(text, told)[0] == "data/x.h5 and minilm/a.bin, not path"
    for data in ("/", "//", "~", "/a"):
        assert handed_in("mean/std a/b /q/r.py", {"data": data})[0] == "mean/std a/b r.py"
    text = "no access with KEYID1 to s3://KEYID1:SECRET1@b/x"
    assert "KEYID1" not in str(handed_in(text, {"backbone": "s3://KEYID1:SECRET1@b/x"}))


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        (
            {"backbone": "s3://K:S@b/x?token=t", "workers": 2, "threads": None, "new": "alice"},
            {"backbone": "s3://b/x", "workers": 2, "threads": None},
        ),
        (
            {"plugins": ["file:///home/alice/p.py", "../a/b.py", "x/y/c.py", "mod.x", 3]},
            {"plugins": ["p.py", "b.py", "c.py", "mod.x"]},
        ),
        ({"backbone": "/home/alice", "data": "/x"}, {"backbone": "user"}),
        ({"backbone": "org/name", "miniature": True}, {"backbone": "org/name", "miniature": True}),
        ({"workers": "alice", "sharding": ["alice"], "plugins": "alice"}, {}),
    ],
)
def test_what_is_known_to_be_harmless_of_a_run_is_left(told: Any, wanted: Any) -> None:
    found = handed_in(None, told)[1]
    assert found is not None
    assert json.loads(found) == wanted


@pytest.mark.parametrize("told", ["{broken", "[1]", '"/home/alice"', "3", "null", "[" * 9999])
def test_a_damaged_invocation_is_none(told: str) -> None:
    assert handed_in("x", told) == ("x", None)


def test_a_ledger_with_a_damaged_invocation_is_handed_in(ledger: Ledger, tmp_path: Path) -> None:
    from tests.runner.submissions import column

    ledger.write_attempt(attempt_of(cell_of(), score_of(0.5), invocation={"workers": 1}))
    (path,) = Path(ledger.uri).glob("cells/*/*.arrow")
    table = pa.ipc.open_file(path.read_bytes()).read_all()
    table = column(table, "invocation", lambda values: ["{broken"] * len(values))
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table)
    lab = tmp_path / "lab.parquet"
    output_of("submit-results", "--results", ledger.uri, "--to", lab)
    output_of("verify-results", lab)


def test_machines_are_told_apart(ledger: Ledger) -> None:
    for seed, host in enumerate(("b", "a", "b")):
        ledger.write_attempt(attempt_of(cell_of(seed=seed), score_of(0.5), host=host))
    rows = without_private(ledger.read()).sort_by("seed")
    assert rows["host"].to_pylist() == ["host-2", "host-1", "host-2"]


def test_another_user_compares_with_the_same_ledger(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.write_attempt(attempt_of(cell_of(), failure="code", error="dora has /home/dora/x.py"))
    ledger.write_attempt(attempt_of(cell_of(seed=1), failure="code", error="fay broke it"))
    monkeypatch.setenv("LOGNAME", "fay")
    lab = tmp_path / "lab.parquet"
    output_of("submit-results", "--results", ledger.uri, "--to", lab)
    errors = parquet.read_table(lab)["error"].to_pylist()
    assert sorted(errors) == ["user broke it", "user has x.py"]
    monkeypatch.setenv("LOGNAME", "gil")
    output_of("verify-results", lab, "--against", ledger.uri)
