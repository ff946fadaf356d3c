"""Those who answer: this project at an effort, or a peer in an environment of its own; each by its command line."""

from __future__ import annotations

import csv
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pyarrow import parquet

from benchmarks.quality import peers

ROOT = Path(__file__).resolve().parents[2]
#: Pictures of the runs that tell what starting costs, and how many of these: the first one fills the disk's cache.
FEW = 8
STARTS = 2
EVERY_RELATION = "copy,part,embedded"
REPORT = "_state/dry_run/image_report.csv"


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one run of a command, from the start of its process to its end; CPU of its children included."""

    seconds: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Answer:
    """What a contender found. ``groups``: group of each picture's name; ``best``: the kept ones, None without a choice.

    ``cost`` is of the run itself, ``start`` of the same run on a few pictures; None where another run's work was used
    again. ``pairs``: how many were compared by their pixels, None where not known.
    """

    name: str
    groups: Mapping[str, str]
    best: frozenset[str] | None = None
    cost: Cost | None = None
    start: Cost | None = None
    pairs: int | None = None


def ask_ours(images: Path, output: Path, name: str, options: Sequence[str]) -> list[Answer]:
    """Two dry runs with these options of ``main.py run``: with the default relations, timed; then with embedded
    pictures as duplicates, on its features.
    """
    few = _few(images, output.with_name(f"{output.name}_few"))
    start = _least(_ours(few, output.with_name(f"{output.name}_start{turn}"), options) for turn in range(STARTS))
    cost = _run(_ours(images, output, options))
    groups, best = _read_ours(output)
    plain = Answer(name, groups, best, cost, start, pairs_judged(output))
    shutil.copyfile(output / REPORT, output.with_suffix(".csv"))
    _run([*_ours(images, output, options), "--relations", EVERY_RELATION])
    groups, best = _read_ours(output)
    shutil.copyfile(output / REPORT, output.with_suffix(".embedded.csv"))
    return [plain, Answer(f"{name} + embedded", groups, best, pairs=pairs_judged(output))]


def report_of(images: Path, output: Path, options: Sequence[str]) -> Path:
    """The ``image_report.csv`` of one dry run with these options of ``main.py run``."""
    _run(_ours(images, output, options))
    return output / REPORT


def ask_peer(images: Path, venv: Path, method: str, result: Path) -> Answer:
    """Run a method of ``peers.py`` with the Python of ``venv``, which needs nothing of this project."""
    few = _few(images, result.with_name(f"{result.stem}_few"))
    start = _least([*_peer(venv), method, str(few), str(result)] for _ in range(STARTS))
    cost = _run([*_peer(venv), method, str(images), str(result)])
    with result.open(newline="", encoding="utf-8") as file:
        groups = {Path(row["Image Path"]).name: row["Group ID"] for row in csv.DictReader(file)}
    return Answer(method, groups, None, cost, start)


def installed_peers(venv: Path) -> list[str]:
    """The methods of ``peers.py`` whose packages are in the environment ``venv``."""
    ended = subprocess.run([*_peer(venv), "installed"], capture_output=True, text=True, check=True)
    return ended.stdout.split()


def pairs_judged(output: Path) -> int:
    """How many pairs a run and those before it compared, by the rows of its verdicts."""
    shards = [path for path in output.rglob("*.parquet") if "verdicts" in path.parts]
    return sum(parquet.read_metadata(shard).num_rows for shard in shards)


def _ours(images: Path, output: Path, options: Sequence[str]) -> list[str]:
    command = [sys.executable, str(ROOT / "main.py"), "run", str(images), "--output", str(output), "--dry-run"]
    return [*command, *options, "--quiet"]


def _peer(venv: Path) -> list[str]:
    return [str(venv / "bin/python"), peers.__file__]


def _few(images: Path, folder: Path) -> Path:
    folder.mkdir()
    for path in sorted(images.iterdir())[-FEW:]:
        shutil.copyfile(path, folder / path.name)
    return folder


def _least(commands: Iterable[Sequence[str]]) -> Cost:
    return min(map(_run, commands), key=lambda cost: cost.seconds)


def _run(command: Sequence[str]) -> Cost:
    """The command's cost; an error with the end of what it said if it fails."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    ended = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    seconds, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if ended.returncode != 0:
        sys.exit(f"{' '.join(command)} ended with {ended.returncode}: {ended.stdout[-2000:]}")
    return Cost(seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def _read_ours(output: Path) -> tuple[dict[str, str], frozenset[str]]:
    """Group of each picture's name, and the names that are kept."""
    with (output / REPORT).open(newline="", encoding="utf-8") as file:
        rows = [(Path(row["Image Path"]).name, row["Group ID"], row["Status"]) for row in csv.DictReader(file)]
    groups = {name: group for name, group, _ in rows}
    return groups, frozenset(name for name, _, status in rows if status == "Best")
