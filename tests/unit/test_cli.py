"""The command line, run as a person runs it: mostly in a process of its own."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import types
from pathlib import Path

import pytest

import main
from modules.errors import (
    AccessError,
    ImgsieveError,
    InterruptedRunError,
    LeaseHeldError,
    StoreAwayError,
    StoreError,
    UsageError,
)
from modules.log_lines import set_up_logging
from modules.progress import Progress
from modules.records import RunSummary
from modules.settings import AzureCredentials, Settings
from modules.settings_sources import flag_names

ROOT = Path(__file__).resolve().parents[2]
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith(("IMGSIEVE_", "AZURE_"))}
SECRET = "abcdefgh%2Bsecret"


def summary(*, failed: int = 0) -> RunSummary:
    return RunSummary(
        run_id="r1",
        epoch=1,
        resumed=False,
        listed=5,
        downloaded=5,
        pictures=5 - failed,
        groups=4,
        duplicates=1,
        bytes_saved=1000,
        failed=failed,
        copied=5,
        removed=0,
        requests=50,
        seconds=1.0,
        dry_run=False,
        output="out/",
        report="out/image_report.csv",
        failed_report="out/failed.csv" if failed else None,
    )


def python(*arguments: str, cwd: Path = ROOT, **environ: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "main.py"), *arguments]
    return subprocess.run(
        command, cwd=cwd, env={**CLEAN, **environ}, capture_output=True, text=True, timeout=120, check=False
    )


class FakePipeline(types.ModuleType):
    """Stands where pipeline.py does and ends as told, so that every way out of the command line can be seen."""

    def __init__(self, outcome: RunSummary | Exception) -> None:
        super().__init__("pipeline")
        self.outcome = outcome
        self.settings: Settings | None = None

    def run(
        self, settings: Settings, credentials: AzureCredentials, progress: Progress, stop: threading.Event
    ) -> RunSummary:
        self.settings = settings
        assert not stop.is_set()
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> object:
    for name in set(os.environ) - set(CLEAN):
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    root = logging.getLogger()
    kept = (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT), root.handlers[:], root.level)
    yield
    signal.signal(signal.SIGTERM, kept[0])
    signal.signal(signal.SIGINT, kept[1])
    root.handlers[:], root.level = kept[2], kept[3]


def end(monkeypatch: pytest.MonkeyPatch, outcome: RunSummary | Exception, *arguments: str) -> tuple[int, FakePipeline]:
    fake = FakePipeline(outcome)
    monkeypatch.setitem(sys.modules, "pipeline", fake)
    with pytest.raises(SystemExit) as caught:
        main.main(list(arguments))
    assert isinstance(caught.value.code, int)
    return caught.value.code, fake


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (summary(), 0),
        (summary(failed=2), 3),
        (UsageError("no"), 2),
        (AccessError("no"), 2),
        (StoreError("no"), 1),
        (ImgsieveError("no"), 1),
        (ZeroDivisionError("no"), 1),
        (InterruptedRunError("no"), 4),
        (StoreAwayError("no"), 4),
        (LeaseHeldError("no"), 4),
    ],
)
def test_every_end_has_its_exit_code(
    monkeypatch: pytest.MonkeyPatch, outcome: RunSummary | Exception, code: int
) -> None:
    assert end(monkeypatch, outcome, "run", "pictures")[0] == code


def test_errors_are_one_line_without_secrets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    end(monkeypatch, UsageError(f"bad address\nhttps://a/c?sig={SECRET}"), "pictures")
    assert capsys.readouterr().err == "imgsieve: bad address\\nhttps://a/c?sig=***\n"


def test_names_forge_no_log_lines_and_steer_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(verbose=False, quiet=False)
    logging.getLogger("modules").warning("left out: %s", "a\n2026 ERROR \x1b[2J\u202egpj.exe, ü \U0001f600")
    shown = capsys.readouterr().err
    assert shown.endswith("left out: a\\n2026 ERROR \\x1b[2J\\u202egpj.exe, ü \U0001f600\n")
    assert shown.count("\n") == 1


def test_an_unforeseen_error_shows_its_traceback_without_secrets(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    end(monkeypatch, RuntimeError(f"GET https://a/c?sig={SECRET} failed"), "pictures")
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert "RuntimeError" in shown
    assert SECRET not in shown


@pytest.mark.parametrize(
    "arguments", [("run", "pictures"), ("pictures",), ("--dry-run", "pictures"), ("-v", "pictures")]
)
def test_run_may_be_left_out(monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]) -> None:
    code, fake = end(monkeypatch, summary(), *arguments)
    assert code == 0
    assert fake.settings == Settings(source="pictures", dry_run="--dry-run" in arguments)


def test_flags_reach_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = [
        "pictures",
        "--output",
        "out",
        "--relations",
        "copy",
        "--relations",
        "part,embedded",
        "--uniques",
        "skip",
        "--workers",
        "3",
    ]
    _, fake = end(monkeypatch, summary(), *arguments, "--queue-bytes", "5 MiB")
    assert fake.settings == Settings(
        source="pictures",
        output="out",
        relations=("copy", "part", "embedded"),
        uniques="skip",
        num_process_workers=3,
        queue_bytes=5 * 1024 * 1024,
    )


def test_without_arguments_environment_and_config_file_rule(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("source: from-file\nbatch_size: 5\n", encoding="utf-8")
    monkeypatch.setenv("BATCH_SIZE", "6")
    _, fake = end(monkeypatch, summary())
    assert fake.settings == Settings(source="from-file", batch_size=6)


@pytest.mark.parametrize("command", ["estimate", "calibrate", "hardware"])
def test_small_commands_show_few_flags_and_read_all_settings(tmp_path: Path, command: str) -> None:
    shown = python(command, "--help", cwd=tmp_path).stdout
    flags = {flag for name in Settings.model_fields for flag in flag_names(name) if f"{flag} " in shown}
    assert {"--features", "--devices", "--log-format"} <= flags
    assert len(flags) < len(Settings.model_fields) * 2 / 3
    assert not flags & {"--shard-rows", "--queue-bytes", "--dry-run"}
    assert ("[SOURCE]" in shown) == (command != "hardware")
    # What is no flag of theirs is read like everywhere: from the environment, and from config.yaml.
    (tmp_path / "config.yaml").write_text("shard_rows: 5\ndry_run: true\n", encoding="utf-8")
    ended = python(command, "nowhere", cwd=tmp_path, IMGSIEVE_QUEUE_BYTES="much")
    assert ended.returncode == 2
    said = "unexpected extra argument" if command == "hardware" else "queue_bytes = 'much'"
    assert said in ended.stderr


class FakeCommand(types.ModuleType):
    """Stands where a small command does, and notes what it is given."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.settings: Settings | None = None
        self.options: dict[str, object] = {}

    def run(self, settings: Settings, *_: object, **options: object) -> str:
        self.settings, self.options = settings, options
        return "the page"


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (("estimate", "pictures"), {"sample": 24, "prices": None}),
        (("estimate", "pictures", "--sample", "0", "--prices", "own.yaml"), {"sample": 0, "prices": Path("own.yaml")}),
        (("calibrate", "pictures", "--sample", "9"), {"sample": 9}),
        (("hardware",), {}),
    ],
)
def test_small_commands_get_settings_and_options_and_print_their_page(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    arguments: tuple[str, ...],
    options: dict[str, object],
) -> None:
    name = f"modules.commands.{arguments[0]}"
    fake = FakeCommand(name)
    monkeypatch.setitem(sys.modules, name, fake)
    (tmp_path / "config.yaml").write_text("shard_rows: 5\n", encoding="utf-8")
    monkeypatch.setenv("BATCH_SIZE", "7")
    with pytest.raises(SystemExit) as caught:
        main.main(list(arguments))
    assert caught.value.code == 0
    assert capsys.readouterr().out == "the page\n"
    assert fake.options == options
    assert fake.settings is not None
    assert (fake.settings.shard_rows, fake.settings.batch_size) == (5, 7)
    assert fake.settings.source == ("." if arguments[0] == "hardware" else "pictures")


def test_quiet_says_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    end(monkeypatch, summary(), "-q", "pictures")
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ((), "no source given"),
        (("pictures", "--batch-size", "many"), "batch_size = 'many' from --batch-size"),
        (("pictures", "others"), "unexpected extra argument"),
        (("pictures", "--nonsense"), "--nonsense"),
        (("pictures", "--output"), "--output"),
        (("pictures", "--config", "nowhere.yaml"), "nowhere.yaml"),
    ],
)
def test_wrong_use_is_one_line_and_code_2(tmp_path: Path, arguments: tuple[str, ...], part: str) -> None:
    ended = python(*arguments, cwd=tmp_path)
    assert ended.returncode == 2
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1
    assert ended.stderr.startswith("imgsieve: ")
    assert part in ended.stderr


def test_version_and_help(tmp_path: Path) -> None:
    assert python("--version", cwd=tmp_path).stdout.startswith("imgsieve, version 0.")
    shown = python("run", "--help", cwd=tmp_path).stdout
    for name in Settings.model_fields:
        assert name == "source" or "--" + name.replace("_", "-") in shown


def test_logs_mask_secrets_and_keep_libraries_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging(verbose=False, quiet=False)
    logging.getLogger("modules.stages.fetch").info("reading https://a/c?sv=1&sig=%s", SECRET)
    logging.getLogger("modules.stages.fetch").debug("too much")
    for name in ("azure.core.pipeline.policies.http_logging_policy", "aiohttp.client", "urllib3"):
        logging.getLogger(name).info("noise")
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert "sig=***" in shown


LISTENER = """
import sys, threading
sys.path.insert(0, {root!r})
import main
stop = threading.Event()
main.listen(stop, {patience})
print("ready", flush=True)
stop.wait()
print("stopping", flush=True)
{then}
"""


def listener(then: str, patience: float = 600.0) -> subprocess.Popen[str]:
    code = LISTENER.format(root=str(ROOT), then=then, patience=patience)
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_asks_the_run_to_stop(number: signal.Signals) -> None:
    with listener("sys.exit(7)") as process:
        process.send_signal(number)
        assert process.stdout is not None
        assert process.stdout.readline() == "stopping\n"
        assert process.wait(30) == 7


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
def test_a_second_interrupt_ends_at_once_with_4(first: signal.Signals) -> None:
    with listener("threading.Event().wait()") as process:
        process.send_signal(first)
        assert process.stdout is not None
        assert process.stdout.readline() == "stopping\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 4


def test_a_clean_end_that_takes_too_long_is_cut_short_with_4() -> None:
    with listener("threading.Event().wait()", patience=0.2) as process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 4


def test_a_second_sigterm_changes_nothing() -> None:
    with listener("sys.stdin.readline(); sys.exit(7)") as process:
        process.send_signal(signal.SIGTERM)
        assert process.stdout is not None
        assert process.stdout.readline() == "stopping\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdin is not None
        process.stdin.write("go on\n")
        process.stdin.flush()
        assert process.wait(30) == 7
