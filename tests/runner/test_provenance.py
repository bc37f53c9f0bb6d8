from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
import torch

import runner.provenance
from runner.provenance import device_name, peak_memory_bytes, provenance

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def asked_afresh() -> Iterator[None]:
    provenance.cache_clear()
    yield
    provenance.cache_clear()


def git(*arguments: str, cwd: Path = ROOT) -> str:
    answer = subprocess.run(
        ["git", "-c", "user.name=n", "-c", "user.email=e@example.org", *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=True,
    )
    return answer.stdout.strip()


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a checkout")
def test_revision_is_that_of_the_checkout(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)  # where the code lies counts, not where it is called
    facts = provenance()
    assert facts.git_revision == git("rev-parse", "HEAD")
    assert facts.git_dirty == bool(git("status", "--porcelain"))


def test_uncommitted_changes_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    git("init", "--quiet", cwd=tmp_path)
    (tmp_path / "code.py").write_text("x = 1\n")
    git("add", ".", cwd=tmp_path)
    git("commit", "--quiet", "-m", "first", cwd=tmp_path)
    monkeypatch.setattr(runner.provenance, "__file__", str(tmp_path / "code.py"))
    clean = provenance()
    assert (clean.git_revision, clean.git_dirty) == (git("rev-parse", "HEAD", cwd=tmp_path), False)
    (tmp_path / "code.py").write_text("x = 2\n")
    assert provenance() is clean  # git is asked once in a process
    provenance.cache_clear()
    assert provenance().git_dirty is True


def test_outside_of_a_checkout_there_is_no_revision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.setattr(runner.provenance, "__file__", str(tmp_path / "provenance.py"))
    assert (provenance().git_revision, provenance().git_dirty) == (None, None)


def test_without_git_there_is_no_revision(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert (provenance().git_revision, provenance().git_dirty) == (None, None)


def test_the_repository_around_a_virtual_environment_is_not_ours(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git("init", "--quiet", cwd=tmp_path)
    git("commit", "--quiet", "--allow-empty", "-m", "another project", cwd=tmp_path)
    installed = tmp_path / ".venv" / "lib" / "python3" / "site-packages" / "runner"
    installed.mkdir(parents=True)
    (tmp_path / ".gitignore").write_text(".venv\n")
    monkeypatch.setattr(runner.provenance, "__file__", str(installed / "provenance.py"))
    assert provenance().git_revision is None


def test_versions_are_those_installed() -> None:
    versions = provenance().versions
    assert versions["torch"] == metadata.version("torch")
    assert {"python", "numpy", "ray", "transformers", "pyarrow"} <= set(versions)
    assert json.loads(json.dumps(versions)) == versions
    assert provenance().host


def test_the_device_has_a_name_and_a_peak() -> None:
    cpu = torch.device("cpu")
    assert device_name(cpu).endswith("cpu")
    before = peak_memory_bytes(cpu)
    block = torch.ones(2**24)  # 64 MiB
    assert block.sum() == 2**24
    assert peak_memory_bytes(cpu) >= before
    assert 2**26 < before < 2**42
