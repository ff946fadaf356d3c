"""The image and the examples of deploy/: parsed, held to the code that they start, and run where possible."""

from __future__ import annotations

import fnmatch
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import main
from modules.errors import EXIT_DONE, EXIT_DONE_WITH_FAILURES, EXIT_INTERNAL, EXIT_RESUME, EXIT_USAGE
from modules.settings import Settings
from modules.settings_sources import env_name, load

ROOT = Path(__file__).resolve().parents[2]
KUBERNETES = ROOT / "deploy/kubernetes/job.yaml"
CONTAINER_APPS = ROOT / "deploy/azure-container-apps-job/job.yaml"
NAMES = {env_name(name) for name in Settings.model_fields}


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, continued lines joined."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in joined.splitlines() if line)]


def stages() -> dict[str, list[tuple[str, str]]]:
    """Instructions of each stage by its name; the last one is named ''."""
    found: dict[str, list[tuple[str, str]]] = {}
    for word, rest in instructions():
        if word == "FROM":
            _, _, name = rest.partition(" AS ")
            found[name] = []
        if found:
            found[list(found)[-1]].append((word, rest))
    return found


def container(path: Path) -> dict[str, Any]:
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    spec = document["spec"]["template"]["spec"] if "spec" in document else document["properties"]["template"]
    (only,) = spec["containers"]
    assert isinstance(only, dict)
    return only


def test_every_variant_has_a_stage_and_cpu_is_the_default() -> None:
    assert instructions()[0] == ("ARG", "VARIANT=cpu")
    assert list(stages()) == ["base", "torch-cpu", "torch-cuda", ""]
    assert stages()[""][0] == ("FROM", "torch-${VARIANT}")


def test_the_cpu_variant_accepts_no_build_with_cuda() -> None:
    (command,) = [rest for word, rest in stages()["torch-cpu"] if word == "RUN"]
    wanted = re.search(r"(sed .*?) > torch-cpu\.txt", command)
    assert wanted is not None
    named = subprocess.run(["sh", "-c", wanted[1]], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    pinned = re.search(r"^torch==.*$", (ROOT / "requirements.txt").read_text(encoding="utf-8"), re.MULTILINE)
    assert pinned is not None
    assert named == pinned[0] + "+cpu\n"
    assert "--no-deps" in command
    assert command.endswith("-r torch-cpu.txt")


def test_the_image_names_no_address_of_an_index() -> None:
    assert "://" not in (ROOT / "Dockerfile").read_text(encoding="utf-8")


def test_the_image_runs_as_a_user_without_rights_and_bakes_weights_only_if_asked() -> None:
    last = stages()[""]
    users = [rest for word, rest in last if word == "USER"]
    assert users == ["imgsieve"]
    assert ("ARG", "WEIGHTS=") in last
    baking = next(n for n, (_, rest) in enumerate(last) if "bake_weights" in rest and last[n][0] == "RUN")
    assert last[baking][1].startswith('if [ -n "$WEIGHTS" ]; then')
    assert baking > last.index(("USER", "imgsieve"))  # into that user's own cache


def test_what_the_image_copies_is_there_and_let_through() -> None:
    rules = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert rules[0] == "*"
    allowed = [rule.removeprefix("!") for rule in rules if rule.startswith("!")]
    copied = [source for word, rest in instructions() if word == "COPY" for source in rest.split()[:-1]]
    assert len(copied) >= 8
    for source in copied:
        assert (ROOT / source).exists(), source
        assert any(fnmatch.fnmatch(source.rstrip("/"), rule) for rule in allowed), source


@pytest.mark.parametrize("path", [KUBERNETES, CONTAINER_APPS], ids=lambda path: path.parent.name)
def test_the_examples_set_what_there_is_and_keep_secrets_out(path: Path, tmp_path: Path) -> None:
    variables = {entry["name"]: entry for entry in container(path)["env"]}
    own = {name: str(entry["value"]) for name, entry in variables.items() if name in NAMES}
    assert {name for name in variables if name not in NAMES and not name.startswith("AZURE_STORAGE_")} == set()
    settings = load({}, environ=own, folder=tmp_path)
    assert (settings.source, settings.log_format) == ("az://photos/2024", "json")
    secrets = {"AZURE_STORAGE_CONNECTION_STRING", "AZURE_STORAGE_KEY", "AZURE_STORAGE_SAS_TOKEN"}
    assert not [name for name in secrets & variables.keys() if "value" in variables[name]]


@pytest.mark.parametrize("path", [KUBERNETES, CONTAINER_APPS], ids=lambda path: path.parent.name)
def test_the_examples_start_what_is_in_the_image(path: Path) -> None:
    command = container(path)["command"]
    assert command == ["sh", "scripts/job.sh"]
    assert any("scripts/job.sh" in rest.split() for word, rest in instructions() if word == "COPY")
    mounts = {mount["mountPath"] for mount in container(path)["volumeMounts"]}
    assert mounts == {"/tmp"}


def test_kubernetes_takes_every_exit_code_as_it_is_meant() -> None:
    spec = yaml.safe_load(KUBERNETES.read_text(encoding="utf-8"))["spec"]
    rules = spec["podFailurePolicy"]["rules"]
    actions = {
        code: rule["action"]
        for rule in reversed(rules)
        if "onExitCodes" in rule and rule["onExitCodes"]["operator"] == "In"
        for code in rule["onExitCodes"]["values"]
    }
    assert actions == {EXIT_USAGE: "FailJob", EXIT_RESUME: "Ignore"}
    assert {rule["onExitCodes"]["containerName"] for rule in rules if "onExitCodes" in rule} == {"imgsieve"}
    assert [rule["action"] for rule in rules if "onPodConditions" in rule] == ["Ignore"]
    pod = spec["template"]["spec"]
    assert pod["restartPolicy"] == "Never"
    assert pod["terminationGracePeriodSeconds"] > main.STOP_SECONDS
    assert (spec["parallelism"], spec["completions"]) == (1, 1)
    (made,) = [rest for word, rest in instructions() if word == "RUN" and rest.startswith("useradd")]
    assert f"--uid {pod['securityContext']['runAsUser']} " in made


def test_container_apps_starts_one_replica_and_tries_again() -> None:
    configuration = yaml.safe_load(CONTAINER_APPS.read_text(encoding="utf-8"))["properties"]["configuration"]
    assert configuration["manualTriggerConfig"] == {"parallelism": 1, "replicaCompletionCount": 1}
    assert configuration["replicaRetryLimit"] > 0


def test_the_examples_are_named_in_their_readme() -> None:
    text = (ROOT / "deploy/README.md").read_text(encoding="utf-8")
    for path in (KUBERNETES, CONTAINER_APPS):
        assert f"`{path.relative_to(ROOT / 'deploy')}`" in text
    for code in (EXIT_DONE, EXIT_INTERNAL, EXIT_USAGE, EXIT_DONE_WITH_FAILURES, EXIT_RESUME):
        assert f"\n| {code} | " in text
    for argument in ("VARIANT", "WEIGHTS", "TORCH_INDEX_URL"):
        assert f"`{argument}" in text


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a main.py of the test, and ``python`` on the way to it."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    return tmp_path


def start(place: Path, program: str) -> subprocess.Popen[str]:
    (place / "main.py").write_text(program, encoding="utf-8")
    command = ["sh", str(ROOT / "scripts/job.sh"), "one", "two words"]
    environ = {"PATH": f"{place / 'bin'}:/usr/bin:/bin"}
    return subprocess.Popen(command, cwd=place, env=environ, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize(("code", "ended"), [(0, 0), (1, 1), (2, 2), (3, 0), (4, 4)])
def test_done_with_failed_files_is_a_success_to_a_scheduler(place: Path, code: int, ended: int) -> None:
    with start(place, f"import sys\nprint(sys.argv[1:])\nsys.exit({code})\n") as job:
        assert job.wait(60) == ended
        assert job.stdout is not None
        assert job.stdout.read() == "['one', 'two words']\n"


def test_sigterm_reaches_the_job_and_its_own_code_counts(place: Path) -> None:
    program = """
import signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
print("ready", flush=True)
signal.sigwait([signal.SIGTERM])
print("stopping", flush=True)
sys.exit(4)
"""
    with start(place, program) as job:
        assert job.stdout is not None
        assert job.stdout.readline() == "ready\n"
        job.send_signal(signal.SIGTERM)
        assert job.wait(60) == 4
        assert job.stdout.read() == "stopping\n"
