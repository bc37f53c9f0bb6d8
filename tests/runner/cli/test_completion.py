"""What bash completes, asked of the function that bash itself calls."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from benchmarks import catalog
from runner.grid_files import shipped_grids
from runner.loggers.choice import KNOWN, NONE
from runner.report.diff_formats import DIFF_FORMATS
from runner.report.export import BOARD_FORMATS
from runner.report.plots.plot import KINDS
from runner.resources import Sharding
from runner.schema import SELECTIONS
from tests.runner.commands import ALL
from xmft.methods import METHODS

# From command lines to what is proposed for the last word of each.
Completed = Callable[..., list[set[str]]]
ROOT = Path(__file__).parents[3]
PROGRAM = f"#!{sys.executable}\nfrom runner.cli import app\napp(prog_name='xmft')\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bin")
    program = folder / "xmft"
    program.write_text(PROGRAM)
    program.chmod(0o755)
    return folder


def bash(folder: Path, script: str) -> str:
    environment = os.environ | {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "HOME": str(folder),
    }
    run = subprocess.run(
        [shutil.which("bash") or "bash", "--norc", "-c", script],
        capture_output=True,
        text=True,
        env=environment,
        cwd=folder,
    )
    assert (run.returncode, run.stderr) == (0, "")
    return run.stdout


@pytest.fixture(scope="module")
def function(folder: Path) -> str:
    """The script that a user sources."""
    script = bash(folder, "_XMFT_COMPLETE=source_bash xmft")
    assert "complete -o default -F" in script
    return script


@pytest.fixture
def completed(folder: Path, function: str) -> Completed:
    def complete(*lines: str) -> list[set[str]]:
        """Return what is proposed for the last word of each line, in one bash."""
        script = [function]
        for line in lines:
            words = [*shlex.split(line), *([""] if line.endswith(" ") else [])]
            quoted = " ".join(map(shlex.quote, words))
            script.append(
                f"COMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}; COMPREPLY=()\n"
                '_xmft_completion xmft\nprintf "%s\\n" "${COMPREPLY[@]}" "=="'
            )
        answers = bash(folder, "\n".join(script)).split("==\n")
        return [set(answer.split()) for answer in answers[: len(lines)]]

    return complete


def test_verbs_options_and_grids(completed: Completed) -> None:
    verbs, grids, options, nothing = completed(
        "xmft ", "xmft run ", "xmft run quick --sh", "xmft q"
    )
    assert verbs >= {name.partition(" ")[0] for name in ALL}
    assert grids == set(shipped_grids())
    assert options == {"--sharding", "--shared-results"}
    assert nothing == set()


def test_names_of_all_tasks_and_methods(completed: Completed) -> None:
    tasks, methods, listed, some = completed(
        "xmft leaderboard --tasks ",
        "xmft leaderboard --methods ",
        "xmft list methods ",
        "xmft data fetch nasbench360/s",
    )
    # But for those of plug-ins, which other tests may have left.
    own = {name for name in METHODS if METHODS.owner(name) is None}
    assert tasks >= {name for name in catalog.names() if catalog.TASKS.owner(name) is None}
    assert methods >= own
    assert listed == own
    assert some == {"nasbench360/satellite", "nasbench360/spherical"}


def test_further_values_and_those_of_the_grid_alone(completed: Completed) -> None:
    tasks, further, option = completed(
        "xmft run quick --tasks ",
        "xmft run quick --methods nft r",
        "xmft run quick --methods nft --cp",
    )
    assert tasks == {
        "pdebench/advection",
        "pdebench/diffusion_reaction_1d",
        "pdebench/darcy:beta1.0",
    }
    assert further == {"recraft", "ridge"}
    assert option == {"--cpus"}


def test_words_of_which_there_are_few(completed: Completed) -> None:
    words = {
        "leaderboard --format ": set(BOARD_FORMATS),
        "diff a b --format ": set(DIFF_FORMATS),
        "leaderboard --selection ": set(SELECTIONS),
        "report --protocol r": {"released"},
        "plots --kinds ": set(KINDS),
        "plots --kinds errors cu": {"curves"},
        "run quick --sharding ": set(get_args(Sharding)),
        "run quick --log ": {*KNOWN, NONE},
        "run quick --log tensorboard m": {"mlflow"},
    }
    assert completed(*(f"xmft {line}" for line in words)) == [*words.values()]


def test_a_grid_that_cannot_be_read_proposes_nothing(completed: Completed, folder: Path) -> None:
    (folder / "broken.yaml").write_text("tasks: [")
    (folder / "other.yaml").write_text("tasks: 3\nmethods: [nft, mine]")
    assert completed(
        "xmft run broken.yaml --tasks ",
        "xmft run other.yaml --tasks ",
        "xmft run other.yaml --methods ",
    ) == [set(), set(), {"nft", "mine"}]


def test_completion_loads_nothing_heavy(folder: Path) -> None:
    script = (
        "import sys, runner.cli\nfrom runner.cli import completion\n"
        "from types import SimpleNamespace\n"
        "assert completion.tasks(SimpleNamespace(params={}), 'pde')\n"
        "sys.exit(', '.join({'torch', 'ray', 'transformers', 'pyarrow'} & set(sys.modules)) or 0)"
    )
    run = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
