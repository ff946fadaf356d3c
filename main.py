"""The command line: arguments to settings, settings to the pipeline, errors to exit codes. No logic of the job."""

from __future__ import annotations

import logging
import multiprocessing
import os
import re
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

import click

from modules import __version__
from modules.errors import EXIT_DONE_WITH_FAILURES, EXIT_INTERNAL, EXIT_RESUME, EXIT_USAGE, ImgsieveError
from modules.progress import make_progress, print_summary
from modules.settings import AzureCredentials, Settings, redact
from modules.settings_sources import default_text, env_name, flag_names, is_list, load, metavar

log = logging.getLogger("imgsieve")
OURS = ("imgsieve", "pipeline", "modules")
NOISY = ("azure", "aiohttp", "asyncio", "msal")
#: Seconds that a clean end may take: a container is killed 30 s after its SIGTERM. The state outlives either.
STOP_SECONDS = 25.0


#: Control characters and marks that turn the direction of writing (Unicode TR 36): escaped in what a person reads.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def visible(text: str) -> str:
    """``text`` on one line, with what a terminal would obey in it shown as an escape."""
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


class RunByDefault(click.Group):
    """A group whose ``run`` may be left out; a subcommand's name wins over a folder of that name."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put ``run`` before arguments that name no subcommand, and where there are none."""
        own = {"--help", "-h", "--version", *self.commands}
        if not args or args[0] not in own:
            args = ["run", *args]
        return super().parse_args(ctx, args)


def setting_options() -> list[click.Parameter]:
    """One click option per setting, derived from the model; values stay texts, the model validates them."""
    options: list[click.Parameter] = [click.Argument(["source"], required=False)]
    for name, field in Settings.model_fields.items():
        flags = flag_names(name)
        if not flags:
            continue
        hint = f"{field.description}  [{env_name(name)}; default: {default_text(name)}]"
        if field.annotation is bool:
            off = "--no-" + flags[0].removeprefix("--")
            options.append(click.Option([f"{flags[0]}/{off}", name], default=None, help=hint))
        else:
            options.append(click.Option([*flags, name], multiple=is_list(name), metavar=metavar(name), help=hint))
    return options


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
    set_up_logging(verbose=verbose, quiet=quiet)
    settings = load({name: value for name, value in flags.items() if value != ()}, config=config)
    log.debug("settings: %s", settings)
    stop = threading.Event()
    listen(stop)
    import pipeline  # noqa: PLC0415 - loads the heavy libraries, which --help must not wait for

    progress = make_progress(quiet=quiet)
    try:
        summary = pipeline.run(settings, AzureCredentials.from_environment(), progress, stop)
    finally:
        progress.close()
    if not quiet:
        print_summary(summary)
    if summary.failed == 0:
        return 0
    where = summary.failed_report or summary.report
    click.echo(f"imgsieve: done, but {summary.failed:,} file(s) could not be used: see {where}", err=True)
    return EXIT_DONE_WITH_FAILURES


cli.add_command(
    click.Command(
        "run",
        callback=run_command,
        help=run_command.__doc__,
        params=[
            *setting_options(),
            click.Option(["--config"], type=Path, metavar="FILE", help="YAML file of settings.  [IMGSIEVE_CONFIG]"),
            click.Option(["-v", "--verbose"], is_flag=True, help="Log every step."),
            click.Option(["-q", "--quiet"], is_flag=True, help="Warnings and errors only: no progress, no table."),
        ],
    )
)


class RedactingFormatter(logging.Formatter):
    """Masks secrets in the finished line, tracebacks included; names cannot forge lines or steer a terminal."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line without the traceback."""
        return visible(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        """The record as text, without secrets."""
        return redact(super().format(record))


class StderrHandler(logging.StreamHandler[Any]):
    """Writes to what ``sys.stderr`` is now: progress bars replace it while they are on the screen."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        self.stream = sys.stderr
        super().emit(record)


def set_up_logging(*, verbose: bool, quiet: bool) -> None:
    """Log to stderr: our own lines from info on (verbose: debug, quiet: warning), others' warnings."""
    handler = StderrHandler()
    handler.setFormatter(RedactingFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    level = logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO
    for name in OURS:
        logging.getLogger(name).setLevel(level)
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.ERROR)


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
        complain(f"interrupted, and not ended within {patience:g} s: run again to resume")
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


def complain(text: str) -> None:
    """One line on stderr, without secrets."""
    click.echo("imgsieve: " + visible(redact(text)), err=True)


def main(arguments: list[str] | None = None) -> None:
    """Entry of ``python main.py`` and of the ``imgsieve`` script: run, then end with the exit code."""
    sys.exit(_exit_code(sys.argv[1:] if arguments is None else arguments))


def _exit_code(arguments: list[str]) -> int:
    try:
        code = cli.main(args=arguments, prog_name="imgsieve", standalone_mode=False)
    except ImgsieveError as error:
        log.debug("the error in full", exc_info=True)
        complain(str(error))
        return error.exit_code
    except click.ClickException as error:
        complain(f"{error.format_message().rstrip('.')}; see imgsieve run --help")
        return EXIT_USAGE
    except click.Abort:
        return EXIT_RESUME
    except Exception as error:
        log.critical("internal error", exc_info=True)
        complain(f"internal error: {type(error).__name__}: {error}; the state is kept, the traceback is above")
        return EXIT_INTERNAL
    return code if isinstance(code, int) else 0


if __name__ == "__main__":
    main()
