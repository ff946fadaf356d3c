"""Holds a finished report against what is known of the sample, and says it in a table."""

from __future__ import annotations

import csv
import io
from collections import Counter
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from modules.progress import size
from scripts.make_sample import EASY, EXACT, Truth

#: Share of easy copies that a demo must find.
EASY_SHARE = 0.99


@dataclass(frozen=True, slots=True)
class Judgement:
    """How a report compares with the truth.

    known, found: known copies and those in the group of their original, by edit. wrong: files in a group whose best
    shows another picture. missing: files of the sample in neither CSV. saved: bytes of all duplicates.
    """

    known: Counter[str]
    found: Counter[str]
    wrong: tuple[str, ...]
    missing: tuple[str, ...]
    failed: tuple[str, ...]
    groups: int
    saved: int

    def problems(self, truth: Truth) -> list[str]:
        """What of this a demo must not show; empty when all is well."""
        easy, found = (sum(count[edit] for edit in EASY) for count in (self.known, self.found))
        checks = {
            "an exact copy was not found": self.found[EXACT] == self.known[EXACT],
            f"only {found} of {easy} easy copies were found": found >= EASY_SHARE * easy,
            f"wrongly joined: {', '.join(self.wrong)}": not self.wrong,
            f"in no report: {', '.join(self.missing)}": not self.missing,
            f"failed: {', '.join(self.failed)}": sorted(self.failed) == sorted(truth.broken),
        }
        return [text for text, well in checks.items() if not well]


def judge(report: bytes, failures: bytes, base: str, truth: Truth) -> Judgement:
    """Compare image_report.csv and failed.csv (their bytes) with ``truth``; ``base`` is the sample's address."""
    base = base.rstrip("/") + "/"
    rows = list(csv.DictReader(io.StringIO(report.decode("utf-8"))))
    group = {row["Image Path"].removeprefix(base): row["Group ID"] for row in rows}
    best = {row["Group ID"]: row["Image Path"].removeprefix(base) for row in rows if row["Status"] == "Best"}
    failed = tuple(
        row["Image Path"].removeprefix(base) for row in csv.DictReader(io.StringIO(failures.decode("utf-8")))
    )
    picture = {name: name for name in truth.originals} | {copy.path: copy.of for copy in truth.copies}
    found = [copy for copy in truth.copies if copy.path in group and group[copy.path] == group.get(copy.of)]
    return Judgement(
        known=Counter(copy.edit for copy in truth.copies),
        found=Counter(copy.edit for copy in found),
        wrong=tuple(name for name in group if picture.get(name) != picture.get(best[group[name]])),
        missing=tuple(name for name in (*picture, *truth.broken) if name not in group and name not in failed),
        failed=failed,
        groups=len(best),
        saved=sum(int(row["Bytes"]) for row in rows if row["Status"] == "Duplicate"),
    )


def show(judgement: Judgement) -> None:
    """Print what was found of what is known."""
    table = Table(title="Known copies in the sample", min_width=40)
    for heading in ("Edit", "Known", "Found"):
        table.add_column(heading, justify="left" if heading == "Edit" else "right")
    for edit, known in judgement.known.items():
        table.add_row(edit, str(known), str(judgement.found[edit]))
    table.add_section()
    table.add_row("all", str(judgement.known.total()), str(judgement.found.total()))
    console = Console(width=100, highlight=False)
    console.print(table)
    console.print(
        f"{judgement.groups} different pictures, {len(judgement.wrong)} files joined wrongly, "
        f"{len(judgement.failed)} files that are no pictures.\n"
        f"Without the duplicates the collection would be {size(judgement.saved)} smaller."
    )
