"""``--log-format json`` over whole runs: one JSON object a line on stderr, one on stdout, the run named in each."""

from __future__ import annotations

import json
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.azurite import KEY, Azurite
from tests.command import imgsieve
from tests.pictures import collection


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "pictures/exact").mkdir(parents=True)
    (tmp_path / "pictures/copies").mkdir()
    for name, data in collection(4).items():
        (tmp_path / "pictures" / name).write_bytes(data)
    (tmp_path / "pictures" / "a\n\x1b[2J.jpg").write_bytes(b"no picture")
    return tmp_path


def events(ended: CompletedProcess[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ended.stderr.splitlines()]


def test_a_whole_run_speaks_json(place: Path) -> None:
    arguments = ("run", "pictures", "--features", "perceptual", "--workers", "2", "--log-format", "json")
    ended = imgsieve(place, *arguments)
    assert ended.returncode == 3, ended.stderr
    (line,) = ended.stdout.splitlines()
    summary = json.loads(line)
    assert (summary["event"], summary["pictures"], summary["failed"]) == ("summary", 11, 1)
    log = events(ended)
    assert {entry.get("run_id") for entry in log[-4:]} == {summary["run_id"]}
    known = [n for n, entry in enumerate(log) if "run_id" in entry]
    assert known == list(range(known[0], len(log)))  # once it is known, on every line
    phases = {entry["phase"] for entry in log if entry["event"] == "progress"}
    assert {"listing", "streaming", "matching", "publishing"} <= phases
    assert (log[-1]["event"], log[-1]["exit_code"]) == ("end", 3)

    again = imgsieve(place, *arguments)
    assert {entry["run_id"] for entry in events(again) if "run_id" in entry} == {summary["run_id"]}


def test_the_environment_and_the_config_file_ask_for_it_too(place: Path) -> None:
    (place / "config.yaml").write_text("log_format: json\nnonsense: 1\n", encoding="utf-8")
    for ended in (imgsieve(place, "pictures"), imgsieve(place, "--config", "config.yaml", "pictures")):
        (only,) = events(ended)
        assert (ended.returncode, only["exit_code"], only["event"]) == (2, 2, "end")
        assert "nonsense" in only["message"]
    shown = imgsieve(place, "pictures", "--log-format", "text")
    assert shown.stderr.startswith("imgsieve: unknown setting nonsense")
    (only,) = events(imgsieve(place, "estimate", "--sample", "many", IMGSIEVE_LOG_FORMAT="json"))
    assert only["exit_code"] == 2
    assert only["message"].endswith("see imgsieve estimate --help")


@pytest.mark.parametrize("arguments", ["nowhere", "pictures --magic", "pictures --relations magic", "hardware extra"])
def test_refusals_are_one_event(place: Path, arguments: str) -> None:
    ended = imgsieve(place, *arguments.split(), IMGSIEVE_LOG_FORMAT="json", IMGSIEVE_FEATURES="perceptual")
    (only,) = events(ended)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert (only["event"], only["level"], only["exit_code"]) == ("end", "ERROR", 2)


def test_no_key_leaves_on_the_way_to_azure(place: Path, azurite: Azurite) -> None:
    azurite.make_container("jsonlogs")
    with azurite.service() as service:
        service.get_blob_client("jsonlogs", "in/a.jpg").upload_blob(collection(1)["0000.jpg"])
    environ = {"AZURE_STORAGE_CONNECTION_STRING": azurite.connection_string, "IMGSIEVE_LOG_FORMAT": "json"}
    ended = imgsieve(place, "az://jsonlogs/in", "--features", "perceptual", "-v", **environ)
    assert ended.returncode == 0, ended.stderr
    assert KEY not in ended.stderr + ended.stdout
    log = events(ended)
    assert any(entry["level"] == "DEBUG" for entry in log)
    assert json.loads(ended.stdout)["copied"] == 1
