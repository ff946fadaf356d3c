"""The command line: arguments to settings, settings to a command, errors to exit codes. No logic of the job."""

from __future__ import annotations

import importlib
import logging
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import Any

import click

from modules import __version__
from modules.errors import (
    EXIT_DONE_WITH_FAILURES,
    EXIT_INTERNAL,
    EXIT_RESUME,
    EXIT_USAGE,
    ImgsieveError,
    TransientError,
)
from modules.log_lines import discard, is_json, json_line, log_form, open_closed_streams, set_up_logging, visible
from modules.progress import make_progress, page_fields, print_page, print_summary
from modules.settings import AzureCredentials, Settings, redact
from modules.settings_sources import default_text, env_name, flag_names, is_list, load, metavar, wants_json

log = logging.getLogger("imgsieve")
#: Seconds that a clean end may take: a container is killed 30 s after its SIGTERM. The state outlives either.
STOP_SECONDS = 25.0

#: The settings that each of the small commands shows as flags. All are read from environment and config.yaml.
MODEL_FLAGS = ("features", "weights", "clip_output", "devices", "gpus", "gpu_memory_fraction", "batch_size")
STORE_FLAGS = ("max_download_workers", "num_process_workers", "max_requests_per_second", "scratch")
RESULT_FLAGS = ("effort", "strictness", "match", "threshold", "k", "keep", "relations", "uniques")
ESTIMATE_FLAGS = ("output", "state", *RESULT_FLAGS, *MODEL_FLAGS, *STORE_FLAGS, "log_format")
CALIBRATE_FLAGS = ("match", "threshold", *MODEL_FLAGS, "num_process_workers", "max_requests_per_second", "log_format")
CHECK_FLAGS = ("num_process_workers", "max_requests_per_second", "scratch", "log_format")
HARDWARE_FLAGS = (*MODEL_FLAGS, "num_process_workers", "log_format")


class RunByDefault(click.Group):
    """A group whose ``run`` may be left out; a subcommand's name wins over a folder of that name."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put ``run`` before arguments that name no subcommand, and where there are none."""
        own = {"--help", "-h", "--version", *self.commands}
        if not args or args[0] not in own:
            args = ["run", *args]
        return super().parse_args(ctx, args)


def setting_options(names: tuple[str, ...]) -> list[click.Parameter]:
    """One click option per setting, derived from the model; values stay texts, the model validates them."""
    options: list[click.Parameter] = []
    for name in names:
        field, flags = Settings.model_fields[name], flag_names(name)
        hint = f"{field.description}  [{env_name(name)}; default: {default_text(name)}]"
        if field.annotation is bool:
            off = "--no-" + flags[0].removeprefix("--")
            options.append(click.Option([f"{flags[0]}/{off}", name], default=None, help=hint))
        else:
            options.append(click.Option([*flags, name], multiple=is_list(name), metavar=metavar(name), help=hint))
    return options


def add_command(
    name: str, callback: Any, short: str, flags: tuple[str, ...], *own: click.Parameter, source: bool = True
) -> None:
    """Add a subcommand with the flags of some settings, its own ones, and those that every command has.

    short: what the list of commands says of it.
    """
    common = [
        click.Option(["--config"], type=Path, metavar="FILE", help="YAML file of settings.  [IMGSIEVE_CONFIG]"),
        click.Option(["-v", "--verbose"], is_flag=True, help="Log every step."),
        click.Option(["-q", "--quiet"], is_flag=True, help="Warnings and errors only: no progress, no summary."),
    ]
    place: list[click.Parameter] = [click.Argument(["source"], required=False)] if source else []
    parameters = [*place, *own, *setting_options(flags), *common]
    command = click.Command(name, callback=callback, help=callback.__doc__, short_help=short, params=parameters)
    cli.add_command(command)


@click.group(cls=RunByDefault, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="imgsieve")
def cli() -> None:
    """Find pictures that are the same, keep the best of each, and prove it in a CSV.

    `imgsieve SOURCE` is short for `imgsieve run SOURCE`; without arguments, the job that the environment and
    config.yaml describe is run. Sources are never changed. `imgsieve run --help` lists all settings.

    Exit codes: 0 done, 1 internal error, 2 usage or access (do not retry), 3 done with failed pictures listed,
    4 stopped early (run again to resume).
    """


def run_command(config: Path | None, verbose: bool, quiet: bool, **flags: Any) -> int:
    """Find the same pictures in SOURCE and write best/, duplicates/ and image_report.csv.

    A value comes from the flag, else the environment variable named beside it, else config.yaml, else the default.
    """
    settings = _settings(config, verbose, quiet, flags)
    stop = threading.Event()
    listen(stop)
    import pipeline  # noqa: PLC0415 - loads the heavy libraries, which --help must not wait for

    progress = make_progress(quiet=quiet, as_json=is_json())
    try:
        summary = pipeline.run(settings, AzureCredentials.from_environment(), progress, stop)
    finally:
        progress.close()
    if not quiet:
        _write(lambda: click.echo(json_line("summary", asdict(summary))) if is_json() else print_summary(summary))
    if summary.failed == 0:
        return 0
    where = summary.failed_report or summary.report
    text = f"done, but {summary.failed:,} file(s) could not be used: see {where}"
    complain(text, EXIT_DONE_WITH_FAILURES, logging.WARNING)
    return EXIT_DONE_WITH_FAILURES


def estimate_command(config: Path | None, verbose: bool, quiet: bool, **options: Any) -> int:
    """Say what a run on SOURCE would read, copy and cost, and how long it may take. Writes nothing to the store.

    Lists SOURCE, looks at what an earlier run has cached, and times a few of the pictures that are left.
    """
    own = {"sample": options.pop("sample"), "prices": options.pop("prices")}
    return _look("estimate", _settings(config, verbose, quiet, options), quiet, own)


def calibrate_command(config: Path | None, verbose: bool, quiet: bool, sample: int, **flags: Any) -> int:
    """Measure how alike copies and different pictures of SOURCE are to each extractor, and suggest thresholds.

    Takes a sample of the pictures and makes edits of them in memory. Models run on the first of the devices; when it is
    lost, on the next one, then on the CPU. Writes nothing to the store.
    """
    return _look("calibrate", _settings(config, verbose, quiet, flags), quiet, {"sample": sample})


def check_command(config: Path | None, verbose: bool, quiet: bool, report: str, **flags: Any) -> int:
    """Prove REPORT, an image_report.csv, by reading its pictures anew. Writes nothing to the store.

    Every duplicate's witness must be kept, match it and hold it, under the settings of run.json beside the report.
    Says of every row that fails, in one line, why it does. Exit code 0: all is proven; 3: some rows failed.
    """
    settings = _settings(config, verbose, quiet, flags, needs_source=False)
    failed = 0

    def say(line: int, path: str, reason: str) -> None:
        nonlocal failed
        failed += 1
        fields: dict[str, object] = {"line": line, "path": path, "reason": reason}
        text = json_line("failed", fields) if is_json() else f"line {line}: {visible(path)}: {visible(reason)}"
        _write(lambda: click.echo(text))

    code = _look("check", settings, quiet, {"report": report, "say": say})
    return code or (EXIT_DONE_WITH_FAILURES if failed else 0)


def hardware_command(config: Path | None, verbose: bool, quiet: bool, **flags: Any) -> int:
    """Show the processors and GPUs that were found, what a run would use of them, and why."""
    settings = _settings(config, verbose, quiet, flags, needs_source=False)
    page = importlib.import_module("modules.commands.hardware").run(settings)
    return _show("hardware", page)


def _look(command: str, settings: Settings, quiet: bool, options: dict[str, Any]) -> int:
    """Run a command that looks at pictures and prints a page."""
    stop = threading.Event()
    listen(stop)
    module = importlib.import_module(f"modules.commands.{command}")  # heavy, so only now
    progress = make_progress(quiet=quiet, as_json=is_json())
    try:
        page = module.run(settings, AzureCredentials.from_environment(), progress, stop, **options)
    finally:
        progress.close()
    return _show(command, page)


def _settings(
    config: Path | None, verbose: bool, quiet: bool, flags: dict[str, Any], *, needs_source: bool = True
) -> Settings:
    set_up_logging(verbose=verbose, quiet=quiet)
    given = {name: value for name, value in flags.items() if value != ()}
    settings = load(given, config=config, needs_source=needs_source)
    log.debug("settings: %s", settings)
    return settings


def _show(command: str, page: Any) -> int:
    written = _write(lambda: click.echo(json_line(command, page_fields(page))) if is_json() else print_page(page))
    return 0 if written else EXIT_INTERNAL


def _write(result: Callable[[], None]) -> bool:
    """Write the result to stdout; whether it is there, as far as anybody reads it: ``head`` leaves when it has enough.

    That it cannot be written is said, and is no reason for a run that is done to count as failed.
    """
    try:
        result()
        sys.stdout.flush()
    except OSError as error:
        discard(1)  # what is still buffered would fail once more at the very end
        enough = isinstance(error, BrokenPipeError)
        log.log(
            logging.DEBUG if enough else logging.WARNING,
            "the result could not be written to stdout: %s",
            error.strerror,
        )
        return enough
    return True


add_command(
    "run",
    run_command,
    "Find the same pictures, keep the best of each.",
    tuple(name for name in Settings.model_fields if flag_names(name)),
)
add_command(
    "estimate",
    estimate_command,
    "Say what a run would read, copy, cost and take.",
    ESTIMATE_FLAGS,
    click.Option(
        ["--prices"],
        type=Path,
        metavar="FILE",
        help="YAML file of prices; without it, an example.",
    ),
    click.Option(
        ["--sample"],
        type=click.IntRange(0, 10_000),
        default=24,
        show_default=True,
        metavar="N",
        help="Pictures to read and time.",
    ),
)
add_command(
    "calibrate",
    calibrate_command,
    "Suggest thresholds, measured on a sample.",
    CALIBRATE_FLAGS,
    click.Option(
        ["--sample"],
        type=click.IntRange(2, 10_000),
        default=200,
        show_default=True,
        metavar="N",
        help="Pictures to read and to make edits of.",
    ),
)
add_command(
    "check",
    check_command,
    "Prove a report by reading its pictures anew.",
    CHECK_FLAGS,
    click.Argument(["report"]),
    source=False,
)
add_command("hardware", hardware_command, "Show what a run would use of this machine.", HARDWARE_FLAGS, source=False)


def listen(stop: threading.Event, patience: float = STOP_SECONDS) -> None:
    """Make SIGTERM and SIGINT set ``stop``; a second SIGINT ends the process and its children at once, code 4.

    So does the time when a clean end takes longer than ``patience`` seconds.
    """
    asked = False

    def end() -> None:
        for child in multiprocessing.active_children():
            child.kill()
        if sys.stderr.isatty():
            os.write(2, b"\x1b[?25h\n")  # the bars hid the cursor
        os._exit(EXIT_RESUME)

    def ask() -> None:
        stop.set()
        time.sleep(patience)
        complain(f"interrupted, and not ended within {patience:g} s: run again to resume", EXIT_RESUME)
        end()

    def on_signal(number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if asked and number == signal.SIGINT:
            end()
        asked = True
        # A thread sets the event: the interrupted code may be inside the event's own lock.
        threading.Thread(target=ask, name="stop", daemon=True).start()

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)


def complain(text: str, exit_code: int, level: int = logging.ERROR) -> None:
    """How a run ended when it did not end well: one line on stderr, without secrets."""
    if is_json():
        log.log(level, "%s", text, extra={"event": "end", "fields": {"exit_code": exit_code}})
    else:
        click.echo("imgsieve: " + visible(redact(text)), err=True)


def main(arguments: list[str] | None = None) -> None:
    """Entry of ``python main.py`` and of the ``imgsieve`` script: run, then end with the exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    open_closed_streams()
    with log_form(as_json=wants_json(given)):
        code = _exit_code(given)
    sys.exit(code)


def _exit_code(arguments: list[str]) -> int:
    if is_json():
        set_up_logging()  # for what goes wrong before a command sets up its own
    try:
        code = cli.main(args=arguments, prog_name="imgsieve", standalone_mode=False)
    except ImgsieveError as error:
        log.debug("the error in full", exc_info=True)
        complain(f"{error}: run again to resume" if isinstance(error, TransientError) else str(error), error.exit_code)
        return error.exit_code
    except click.ClickException as error:
        context = error.ctx if isinstance(error, click.UsageError) else None
        command = "imgsieve run" if context is None else context.command_path
        complain(f"{error.format_message().rstrip('.')}; see {command} --help", EXIT_USAGE)
        return EXIT_USAGE
    except click.Abort:
        return EXIT_RESUME
    except Exception as error:
        log.critical("internal error", exc_info=True)
        text = f"internal error: {type(error).__name__}: {error}; the state is kept, the traceback is above"
        complain(text, EXIT_INTERNAL)
        return EXIT_INTERNAL
    return code if isinstance(code, int) else 0


if __name__ == "__main__":
    main()
