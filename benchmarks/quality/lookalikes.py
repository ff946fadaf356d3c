"""Pictures that merely resemble each other: how many are set aside for one that they are not, and copies found.

A folder holds ``truth.csv`` (path, id, family, edit), made by ``python -m benchmarks.lookalikes`` or of real pictures.
What is counted is what a person would lose: a picture of Status Duplicate whose Kept Witness shows another one.
"""

from __future__ import annotations

import csv
import json
import subprocess
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from benchmarks.held_out import FILE, held_out
from benchmarks.lookalikes.make import MADE, ORIGINAL, Entry
from benchmarks.quality.score import Share

ROOT = Path(__file__).resolve().parents[2]


@dataclass(slots=True)
class Tally:
    """Of one family. ``wrong``: pictures set aside for another one; ``found``: copies in a group with their picture."""

    wrong: Share = field(default_factory=Share)
    found: Share = field(default_factory=Share)


def tally(entries: Sequence[Entry], report: Path) -> dict[str, Tally]:
    """What an ``image_report.csv`` of the folder is worth, by family. Pictures that are not in it do not count.

    A copy is found if it shares its group with any other file of its picture.

    Raises:
        KeyError: a picture was set aside for one that is not in the truth.
    """
    with report.open(newline="", encoding="utf-8") as file:
        rows = {_short(row["Image Path"]): row for row in csv.DictReader(file)}
    ids = {entry.path: entry.id for entry in entries}
    members: dict[tuple[str, str], int] = defaultdict(int)
    present = [entry for entry in entries if entry.path in rows]
    for entry in present:
        members[entry.id, rows[entry.path]["Group ID"]] += 1
    result: dict[str, Tally] = {}
    for entry in present:
        row, own = rows[entry.path], result.setdefault(entry.family, Tally())
        aside = row["Status"] == "Duplicate"
        own.wrong.add(aside and ids[_short(row["Kept Witness"])] != entry.id)
        if entry.edit != ORIGINAL:
            own.found.add(members[entry.id, row["Group ID"]] > 1)
    return dict(sorted(result.items()))


def _short(address: str) -> str:
    """FAMILY/NAME of an address."""
    return "/".join(address.split("/")[-2:])


def total(tallies: Mapping[str, Tally]) -> Tally:
    """All families together."""
    together = Tally()
    for one in tallies.values():
        for sum_of, part in ((together.wrong, one.wrong), (together.found, one.found)):
            sum_of.hits += part.hits
            sum_of.tries += part.tries
    return together


def table(tallies: Mapping[str, Tally]) -> list[str]:
    """Lines of Markdown, a row a family and one of all; shares with 95 % intervals (Wilson)."""
    lines = ["| family | wrongly set aside | of | share | 95 % | easy copies found |", "|---|---|---|---|---|---|"]
    for name, one in [*tallies.items(), ("**all**", total(tallies))]:
        wrong, (low, high) = one.wrong, one.wrong.interval()
        share = f"{wrong.value:.1%} | {low:.1%} to {high:.1%}" if wrong.tries else " | "
        lines.append(f"| {name} | {wrong.hits} | {wrong.tries} | {share} | {one.found.hits} of {one.found.tries} |")
    return lines


def note_run(folder: Path, tallies: Mapping[str, Tally], command: str, log: Path = FILE) -> bool:
    """Write a run that showed figures of families held out into ``log``; False where it showed none.

    Only of folders made by ``benchmarks.lookalikes``: what bears a family's name among real pictures is another thing.

    Raises:
        subprocess.CalledProcessError: this is no checkout of git.
    """
    if not (folder / MADE).exists():
        return False
    shown = {name: one for name, one in tallies.items() if name in held_out("lookalikes")}
    if not shown:
        return False
    said = [f"{name} {one.wrong.hits} of {one.wrong.tries} wrong" for name, one in shown.items()]
    found = total(shown).found
    about = json.loads((folder / MADE).read_text(encoding="utf-8"))
    entry = {
        "date": date.today().isoformat(),
        "commit": _commit(),
        "command": command,
        "figures": f"seed {about['seed']}: {', '.join(said)}; copies found {found.hits} of {found.tries}",
    }
    # A JSON string is a TOML basic string as well.
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}\n" for key, value in entry.items()]
    with log.open("a", encoding="utf-8") as file:
        file.write("\n[[run]]\n" + "".join(lines))
    return True


def _commit() -> str:
    """What the figures are of, with ``-dirty`` where files differ from it."""
    command = ["git", "describe", "--always", "--dirty", "--exclude", "*"]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
