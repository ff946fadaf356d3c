"""The groups of a report, read back: which of its rows cannot be true beside the others, each for its own reason.

One wrong cell must not make the rows round it look wrong. So a row begins a group, is of a group, or has the right
number where most of what it says agrees with its neighbours, and what does not agree is what is named. The table is
read twice, the second time one group behind, so that however long it or a group is, only a few rows are held.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Generic, TypeVar

from modules.commands.report_rows import Row, read_rows
from modules.records import Kind

T = TypeVar("T")

_RELATIONS = {kind.name.lower() for kind in (Kind.EXACT, Kind.COPY, Kind.PART, Kind.EMBEDDED, Kind.SCENE)}

#: What to do about a row that is not true.
WAY_OUT = "take the report as it was written, or run again"


@dataclass(frozen=True, slots=True)
class Judged:
    """A row, and what the table tells of it.

    first: whether it begins its group. witness: the Best row of its group, under the path that its duplicates name;
    None where the table has none. reason: what is wrong with the row; None where nothing is, and for those behind the
    first of several rows that lack one and the same Best row.
    """

    row: Row
    first: bool
    witness: Row | None
    reason: str | None


def read_judged(path: Path, address: str) -> Iterator[Judged]:
    """Rows of a local copy of the report at ``address``, in their order. Raises as :func:`read_rows`."""
    rows = read_rows(path, address)
    for group in _groups(read_rows(path, address)):
        yield from group.judge(islice(rows, group.lines))


@dataclass(slots=True)
class _Vote(Generic[T]):
    """The value that most votes have, if there is one, and by how many it leads at least.

    Source: R. S. Boyer, J S. Moore, "MJRTY: A Fast Majority Vote Algorithm", 1991.
    """

    value: T | None = None
    lead: int = 0

    def add(self, value: T) -> None:
        if self.lead == 0:
            self.value = value
        self.lead += 1 if value == self.value else -1


@dataclass(slots=True)
class _Group:
    """What the rows of one group say together. number: the one it should have by its place. lines: with stray rows."""

    first: Row
    number: int
    lines: int = 1
    rows: int = 1
    sizes: _Vote[int] = field(default_factory=_Vote)
    witnesses: _Vote[str] = field(default_factory=_Vote)

    def add(self, row: Row) -> None:
        """Count a row behind the first one."""
        self.lines += 1
        if not self.is_stray(row):
            self.rows += 1
            self.sizes.add(row.size)
            if row.witness:
                self.witnesses.add(row.witness)

    def ends_before(self, row: Row) -> bool:
        """Whether a row begins another group, by most of the three things that tell."""
        return row.best + (not row.witness) + (row.group != self.first.group) >= 2

    def is_stray(self, row: Row) -> bool:
        """Whether a row behind the first one is of another group: its own Best row is lost, or it was moved here."""
        return row.group not in (self.first.group, self.number) and row.witness != self.first.path

    def judge(self, rows: Iterable[Row]) -> Iterator[Judged]:
        """Each of the group's rows, from the first one on."""
        # Two of the duplicates may err about the path of the kept one in the same way only if it is the one that errs.
        path = self.witnesses.value if self.witnesses.lead > 1 else None
        best = replace(self.first, path=path or self.first.path)
        size = self.rows if self.rows in (self.first.size, self.sizes.value) else self.first.size
        lost: tuple[int, str] | None = None
        for row in rows:
            first, stray = row.line == self.first.line, False
            if first:
                reason = self._wrong_first(row, best, size)
            elif stray := self.is_stray(row):
                again, lost = lost == (row.group, row.witness), (row.group, row.witness)
                reason = None if again else f"there is no Best row of its group {row.group} before it"
            else:
                reason = self._wrong_member(row, best, size)
            yield Judged(row, first, None if stray else best, reason and f"{reason}; {WAY_OUT}")

    def _wrong_first(self, row: Row, best: Row, size: int) -> str | None:
        if row.group != self.number:
            return f"it begins group {row.group}, where group {self.number} should begin"
        if not row.best:
            return f"it begins group {row.group} and is not its Best row"
        if row.witness or row.relation:
            return "it is Best and names a witness"
        if row.path != best.path:
            return f"its duplicates name another witness, {best.path}"
        if row.size != size or size != self.rows:
            return f"its group has {self.rows:,} rows, not {row.size:,}"
        return None

    def _wrong_member(self, row: Row, best: Row, size: int) -> str | None:
        if row.best:
            return "its group has another Best row"
        if row.group not in (self.first.group, self.number):
            return f"it is of group {row.group}, its witness of group {self.number}"
        if row.size != size:
            return f"it counts {row.size:,} pictures in its group, not {size:,}"
        if row.witness != best.path:
            return f"its witness {row.witness or '(none)'} is not the Best row of its group"
        if row.relation not in _RELATIONS:
            return f"its relation {row.relation!r} is none"
        return None


def _groups(rows: Iterator[Row]) -> Iterator[_Group]:
    """Groups, numbered from 1; behind a number that is wrong, both its place and what it says may go on."""
    group: _Group | None = None
    placed = said = 0
    for row in rows:
        if group is not None and not group.ends_before(row):
            group.add(row)
            if group.is_stray(row):
                said = row.group
            continue
        if group is not None:
            yield group
        number = row.group if row.group in (placed + 1, said + 1) else placed + 1
        group = _Group(row, number)
        placed, said = number, row.group
    if group is not None:
        yield group
