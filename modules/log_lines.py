"""What the log looks like: lines for people, or one JSON object a line; secrets masked in either.

With JSON every line on stderr is an object: file descriptor 2 is a pipe meanwhile, and what worker processes and
native libraries write there comes out as events too.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import math
import os
import re
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, BinaryIO, TextIO

from modules.settings import redact

OURS = ("imgsieve", "pipeline", "modules")
NOISY = ("azure", "aiohttp", "asyncio", "msal")
#: Seconds that the end waits for lines that are still in the pipe.
DRAIN_SECONDS = 5.0

#: Control characters and marks that turn the direction of writing (Unicode TR 36): escaped in what a person reads.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_LINE_ENDS = re.compile(rb"[\r\n]+")


@dataclass(slots=True)
class _Output:
    """How this process speaks; one for all of it, as there is one descriptor 2."""

    as_json: bool = False
    stream: LogStream | None = None
    run_id: str | None = None


_output = _Output()


def visible(text: str) -> str:
    """``text`` on one line, with what a terminal would obey in it shown as an escape."""
    return _UNSEEN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def set_run_id(run_id: str) -> None:
    """Name the run that every JSON line from now on belongs to."""
    _output.run_id = run_id


def is_json() -> bool:
    """Whether the log is for machines just now."""
    return _output.as_json


def json_line(event: str, fields: Mapping[str, Any], *, level: str = "INFO", ts: float | None = None) -> str:
    """One event as JSON: ``ts`` (UTC, ISO 8601), ``level``, ``event``, ``run_id`` once known, then ``fields``.

    ts: seconds since 1970, now by default. Secrets are masked; ASCII only, so that no character steers a terminal.
    """
    moment = datetime.now(UTC) if ts is None else datetime.fromtimestamp(ts, UTC)
    head = {"ts": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"), "level": level, "event": event}
    run = {} if _output.run_id is None else {"run_id": _output.run_id}
    return json.dumps(_masked({**head, **run, **fields}), default=lambda value: redact(str(value)))


def _masked(value: Any) -> Any:
    """A JSON value with the secrets in all of its texts masked; numbers that JSON has no form for become null."""
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {str(key): _masked(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


class TextFormatter(logging.Formatter):
    """Masks secrets in the finished line, tracebacks included; names cannot forge lines or steer a terminal."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:
        """The line without the traceback."""
        return visible(super().formatMessage(record))

    def format(self, record: logging.LogRecord) -> str:
        """The record as text, without secrets."""
        return redact(super().format(record))


class JsonFormatter(logging.Formatter):
    """One event: ``log``, or the one that a record names in ``extra``, with its ``fields`` beside the message."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line of JSON, without secrets."""
        fields = {"logger": record.name, "message": record.getMessage(), **getattr(record, "fields", {})}
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        event = getattr(record, "event", "log")
        return json_line(event, fields, level=record.levelname, ts=record.created)


class StderrHandler(logging.StreamHandler[Any]):
    """Writes to what stderr is now: progress bars replace ``sys.stderr`` while they are on the screen."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        self.stream = _output.stream or sys.stderr
        super().emit(record)


class LogStream(io.TextIOBase):
    """Passes on to a stream; where that cannot be written any more, the rest of the log is lost and nothing else.

    A reader who left or a full disk is not to end a job that is at work.
    """

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream

    def write(self, text: str, /) -> int:
        """Write, or lose, all of it."""
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:
            discard(self._stream.fileno())
        return len(text)

    def flush(self) -> None:
        """Nothing: :meth:`write` leaves nothing behind."""

    def isatty(self) -> bool:
        """Whether it is a terminal."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """Of the stream behind."""
        return self._stream.fileno()

    @property
    def encoding(self) -> str:  # type: ignore[override]  # the base class has a plain attribute
        """Of the stream behind."""
        return self._stream.encoding


def discard(descriptor: int) -> None:
    """From now on nothing that is written to the descriptor goes anywhere, and writing never fails."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, descriptor)
    os.close(null)


def open_closed_streams() -> None:
    """Open what a parent left closed of stdin, stdout and stderr, to nothing: else the next file takes its number."""
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
            os.set_inheritable(descriptor, True)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(descriptor, mode, encoding="utf-8", closefd=False))


def set_up_logging(*, verbose: bool = False, quiet: bool = False) -> None:
    """Log to stderr: our own lines from info on (verbose: debug, quiet: warning), others' warnings."""
    handler = StderrHandler()
    handler.setFormatter(JsonFormatter() if _output.as_json else TextFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.captureWarnings(True)
    level = logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO
    for name in OURS:
        logging.getLogger(name).setLevel(level)
    for name in NOISY:
        logging.getLogger(name).setLevel(logging.ERROR)


@contextlib.contextmanager
def log_form(*, as_json: bool) -> Iterator[None]:
    """Within, the log has the form asked for, whoever writes to stderr; see the top of this file."""
    if not as_json:
        before = sys.stderr
        sys.stderr = LogStream(before)
        try:
            yield
        finally:
            sys.stderr = before
        return
    try:
        with _stderr_as_events() as stream:
            _output.as_json, _output.stream = True, stream
            try:
                yield
            finally:
                _output.as_json, _output.stream = False, None
    finally:
        _output.run_id = None  # only now: lines that were still in the pipe belong to the run as well


@contextlib.contextmanager
def _stderr_as_events() -> Iterator[LogStream]:
    """Put a pipe in place of descriptor 2; yields a stream to where it led.

    Processes that are started meanwhile inherit the pipe and may outlive this, so its end is a line with a token.
    """
    token = uuid.uuid4().hex.encode()
    source, sink = os.pipe()
    with os.fdopen(os.dup(2), "w", encoding="utf-8") as behind, os.fdopen(source, "rb", 0) as lines:
        stream = LogStream(behind)
        os.dup2(sink, 2)
        os.close(sink)
        reader = threading.Thread(target=_forward, args=(lines, stream, token), name="stderr", daemon=True)
        reader.start()
        try:
            yield stream
        finally:
            if sys.stderr is not None:
                sys.stderr.flush()
            os.write(2, b"\n" + token + b"\n")
            os.dup2(stream.fileno(), 2)
            reader.join(DRAIN_SECONDS)


def _forward(lines: BinaryIO, stream: LogStream, token: bytes) -> None:
    """Write everything that comes through the pipe as events, line by line, up to ``token``."""
    rest = b""
    while piece := lines.read(65536):
        *whole, rest = _LINE_ENDS.split(rest + piece)
        for line in filter(None, whole):
            if line == token:
                return
            message = line.decode("utf-8", "backslashreplace")
            stream.write(json_line("stderr", {"logger": "stderr", "message": message}, level="WARNING") + "\n")
