"""What the program says of itself."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from tests.runner.commands import output_of

ROOT = Path(__file__).parents[3]


def test_versions_are_those_that_are_installed() -> None:
    import ray
    import torch

    lines = dict(line.split(" ", 1) for line in output_of("--version").splitlines())
    assert lines == {
        "xmft": metadata.version("xmft"),
        "Python": platform.python_version(),
        "torch": torch.__version__,
        "ray": ray.__version__,
    }


def test_a_library_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr("runner.cli.about.metadata.version", missing)
    assert "torch not installed" in output_of("--version")


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_nothing_heavy_is_loaded_to_tell(option: str) -> None:
    code = (
        "import sys\nfrom runner.cli import app\n"
        f"try:\n    app(['{option}'], prog_name='xmft')\nexcept SystemExit as end:\n"
        "    assert end.code in (None, 0), end.code\n"
        "heavy = {'torch', 'ray', 'transformers', 'pyarrow', 'numpy'} & set(sys.modules)\n"
        "sys.exit(', '.join(heavy) or 0)"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
    assert "xmft" in run.stdout
