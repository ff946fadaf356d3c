"""The log as JSON: whoever writes to stderr, every line is one object, and none of them holds a secret."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from modules.log_lines import JsonFormatter, json_line, log_form, visible
from modules.progress import JsonProgress, page_fields

ROOT = Path(__file__).resolve().parents[2]
SECRET = "abcdefgh%2Bsecret"

SPEAKERS = """
import logging, multiprocessing, os, subprocess, sys, threading, warnings
sys.path.insert(0, {root!r})
from modules import log_lines

def fail():
    raise ValueError("in a thread, at https://a/c?sig={secret}")

def child():
    os.write(2, b"worker \\xff one\\rworker two\\n\\n")
    logging.getLogger("native").warning("from a worker")

if __name__ == "__main__":
    with log_lines.log_form(as_json=True):
        log_lines.set_up_logging()
        logging.getLogger("modules.a").info("first\\nline \\u202e of %s", "https://a/c?sig={secret}")
        log_lines.set_run_id("r1")
        logging.getLogger("modules.a").debug("unheard")
        logging.getLogger("library").warning("from a library")
        warnings.warn("from warnings")
        process = multiprocessing.get_context("spawn").Process(target=child)
        process.start()
        process.join()
        subprocess.run(["sh", "-c", "printf 'no line end' >&2"])
        thread = threading.Thread(target=fail, name="failing")
        thread.start()
        thread.join()
        try:
            fail()
        except ValueError:
            logging.getLogger("imgsieve").critical("internal error", exc_info=True)
    print("plain again", file=sys.stderr)
"""


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, Any]], str]:
    script = tmp_path_factory.mktemp("log") / "speakers.py"
    script.write_text(SPEAKERS.format(root=str(ROOT), secret=SECRET), encoding="utf-8")
    ended = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=120, check=True)
    *lines, last = ended.stderr.splitlines()
    assert last == "plain again"
    return [json.loads(line) for line in lines], ended.stderr


def test_every_line_is_an_object_with_time_level_and_event(spoken: tuple[list[dict[str, Any]], str]) -> None:
    for entry in spoken[0]:
        assert list(entry)[:3] == ["ts", "level", "event"]
        moment = datetime.fromisoformat(entry["ts"])
        assert entry["ts"].endswith("Z")
        assert moment.utcoffset() == timedelta(0)


def test_libraries_warnings_workers_and_threads_are_heard(spoken: tuple[list[dict[str, Any]], str]) -> None:
    heard = [(entry["event"], entry["logger"], entry["message"]) for entry in spoken[0]]
    assert ("log", "library", "from a library") in heard
    assert any(logger == "py.warnings" and "from warnings" in message for _, logger, message in heard)
    for message in ("worker \\xff one", "worker two", "from a worker"):
        assert ("stderr", "stderr", message) in heard
    assert any("no line end" in message for event, _, message in heard if event == "stderr")
    assert any("ValueError: in a thread" in message for event, _, message in heard if event == "stderr")
    assert not [message for _, _, message in heard if message in ("unheard", "")]


def test_the_run_is_named_from_where_it_is_known(spoken: tuple[list[dict[str, Any]], str]) -> None:
    first, *rest = spoken[0]
    assert "run_id" not in first
    assert {entry["run_id"] for entry in rest} == {"r1"}


def test_no_secret_and_no_steering_character_leaves(spoken: tuple[list[dict[str, Any]], str]) -> None:
    entries, text = spoken
    assert SECRET not in text
    assert text.isascii()
    assert entries[0]["message"] == "first\nline \u202e of https://a/c?sig=***"
    (internal,) = (entry for entry in entries if entry["message"] == "internal error")
    assert internal["level"] == "CRITICAL"
    assert "Traceback" in internal["traceback"]


def test_values_that_json_lacks() -> None:
    line = json.loads(
        json_line("x", {"rate": float("nan"), "more": [float("inf"), 1.5], "path": Path(f"a?sig={SECRET}")})
    )
    assert (line["rate"], line["more"], line["path"]) == (None, [None, 1.5], "a?sig=***")


def test_text_stays_text_without_json(capfd: pytest.CaptureFixture[str]) -> None:
    with log_form(as_json=False):
        sys.stderr.write("as it is\n")
    assert capfd.readouterr().err == "as it is\n"


def test_names_cannot_steer_a_terminal() -> None:
    assert visible("a\n\x1b[2J\u202egpj.exe") == "a\\n\\x1b[2J\\u202egpj.exe"


def test_progress_in_numbers(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]
    with caplog.at_level(logging.INFO, "modules.progress"):
        progress = JsonProgress(every=10.0, clock=lambda: now[0])
        progress.phase("streaming", 100)
        now[0] = 5.0
        progress.advance(10)
        now[0] = 20.0
        progress.advance(30)
        progress.close()
    events = [json.loads(JsonFormatter().format(record)) for record in caplog.records]
    keys = ("event", "state", "phase", "done", "total", "rate")
    assert [tuple(event.get(key) for key in keys) for event in events] == [
        ("progress", "begun", "streaming", 0, 100, None),
        ("progress", "going", "streaming", 40, 100, 2.0),
        ("progress", "ended", "streaming", 40, 100, 2.0),
    ]
    assert events[1]["message"] == "streaming: 40 of 100, 2.0/s, 30.0 s left"


def test_a_page_without_fields_is_given_as_its_lines() -> None:
    assert page_fields("one\ntwo") == {"lines": ["one", "two"]}
