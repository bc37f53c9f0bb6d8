"""The files that start clusters, against the schemas of those that read them."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import typer
import yaml

from runner.cli import app

_ROOT = Path(__file__).parents[2]
_DEPLOY = _ROOT / "deploy"


def _read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["cluster.yaml", "deploy/on-premise.yaml"])
def test_cluster_files_are_valid(name: str) -> None:
    ray = importlib.util.find_spec("ray")
    assert ray is not None and ray.origin is not None
    schema = json.loads((Path(ray.origin).parent / "autoscaler/ray-schema.json").read_text())
    jsonschema.validate(_read(_ROOT / name), schema)


def test_workers_of_the_cluster_are_bounded_and_on_the_spot_market() -> None:
    cluster = _read(_ROOT / "cluster.yaml")
    types = cluster["available_node_types"]
    workers = types["gpu_worker"]
    assert 0 < workers["min_workers"] <= workers["max_workers"] <= cluster["max_workers"]
    assert workers["node_config"]["InstanceMarketOptions"] == {"MarketType": "spot"}
    assert cluster["idle_timeout_minutes"] > 0
    assert types[cluster["head_node_type"]]["resources"] == {"CPU": 0}


def test_machines_of_ones_own_ask_for_the_token() -> None:
    cluster = _read(_DEPLOY / "on-premise.yaml")
    assert any(path.endswith("/.ray/auth_token") for path in cluster["file_mounts"])
    for kind in ("head", "worker"):
        *_, start = cluster[f"{kind}_start_ray_commands"]
        assert start.startswith("RAY_AUTH_MODE=token "), start


def _images() -> list[str]:
    return [str(_read(_ROOT / "cluster.yaml")["docker"]["image"]).partition(":")[2]]


def test_one_version_of_ray_is_named_everywhere() -> None:
    constraints = (_ROOT / "constraints.txt").read_text()
    version = re.findall(r"^ray==(\S+)$", constraints, flags=re.MULTILINE)
    assert [tag.partition("-")[0] for tag in _images()] == version
    job = _read(_DEPLOY / "kuberay/rayjob.yaml")
    assert [job["spec"]["rayClusterSpec"]["rayVersion"]] == version


def test_the_ray_job_is_valid_and_its_schema_can_refuse() -> None:
    schema = _read(Path(__file__).with_name("rayjob-schema.yaml"))
    job = _read(_DEPLOY / "kuberay/rayjob.yaml")
    jsonschema.validate(job, schema)
    assert job["spec"]["shutdownAfterJobFinishes"] and job["spec"]["ttlSecondsAfterFinished"]
    job["spec"]["rayClusterSpec"]["headGroupSpec"]["replicas"] = 1
    with pytest.raises(jsonschema.ValidationError, match="replicas"):
        jsonschema.validate(job, schema)


def test_the_operator_hands_out_the_token_of_the_ray_job() -> None:
    """It asks the cluster itself how the job is: a token of which it does not know keeps it out."""
    spec = _read(_DEPLOY / "kuberay/rayjob.yaml")["spec"]
    cluster = spec["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    assert "RAY_AUTH" not in yaml.safe_dump(spec)


def test_pods_of_the_ray_job_share_what_they_mount_and_run_one_image_without_rights() -> None:
    cluster = _read(_DEPLOY / "kuberay/rayjob.yaml")["spec"]["rayClusterSpec"]
    images = set()
    for group in [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]:
        pod = group["template"]["spec"]
        (container,) = pod["containers"]
        images.add(container["image"])
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}
        assert pod["securityContext"]["runAsNonRoot"]
    assert len(images) == 1


def _parsed(command: list[str]) -> dict[str, Any]:
    """Let the command line itself read `xmft run ...`; unknown options are refused."""
    run = typer.main.get_command(app).commands["run"]  # type: ignore[attr-defined]
    return run.make_context("run", command[1:]).params


def test_commands_in_the_files_are_understood_by_the_command_line() -> None:
    job = shlex.split(_read(_DEPLOY / "kuberay/rayjob.yaml")["spec"]["entrypoint"])
    assert job[0] == "xmft"
    commands = [job[1:]]
    for path in (_ROOT / "cluster.yaml", _DEPLOY / "on-premise.yaml"):
        text = re.sub(r" \\\n#\s*", " ", path.read_text())
        (line,) = re.findall(r"runner/submit.py -- (.*)", text)
        commands.append(shlex.split(line))
    for command in commands:
        assert _parsed(command)["address"] == "auto"


def _steps() -> list[tuple[str, str]]:
    text = re.sub(r"\\\n\s*", " ", (_DEPLOY / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines)]


def test_the_image_is_made_of_files_that_are_there_with_the_tested_versions() -> None:
    steps = _steps()
    assert steps[0][0] == "FROM"
    let_in = {
        line[1:]
        for line in (_ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = {name for word, rest in steps if word == "COPY" for name in rest.split()[:-1]}
    assert copied == let_in
    assert all((_ROOT / name).exists() for name in copied)
    installs = [rest for word, rest in steps if word == "RUN" and "pip install" in rest]
    assert len(installs) == 2
    assert all("constraints.txt" in rest for rest in installs)
    extras = re.findall(r"\.\[(.*)\]", installs[1])[0].split(",")
    project = (_ROOT / "pyproject.toml").read_text()
    assert all(re.search(rf"^{extra} = \[", project, flags=re.MULTILINE) for extra in extras)


def test_the_image_runs_without_rights_and_holds_no_secret() -> None:
    steps = _steps()
    users = [rest for word, rest in steps if word == "USER"]
    assert users and users[-1] not in ("root", "0")
    assert [word for word, _ in steps][-1] == "CMD"
    assert "ADD" not in {word for word, _ in steps}
    held = [rest for word, rest in steps if word in ("ENV", "ARG")]
    assert not [rest for rest in held if re.search(r"(?i)token|secret|password|key", rest)]


def test_submitted_script_imports_the_command_line_alone() -> None:
    text = (_ROOT / "runner" / "submit.py").read_text()
    imports = [line for line in text.splitlines() if line.startswith(("import", "from"))]
    assert imports == ["from runner.cli import app"]


def test_submitted_script_runs_from_another_folder(tmp_path: Path) -> None:
    """As on the head node: a copy in the home folder, the package installed elsewhere."""
    script = tmp_path / "submit.py"
    script.write_text((_ROOT / "runner" / "submit.py").read_text())
    done = subprocess.run(
        [sys.executable, str(script), "list", "grids"],
        cwd=tmp_path,
        env={**os.environ, "XMFT_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "quick" in done.stdout
