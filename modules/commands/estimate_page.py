"""What ``estimate`` found, as a page for people and as fields for machines; it says what is guessed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from modules.commands.census import Amount, Copies
from modules.commands.prices import Prices
from modules.commands.timing import Timing
from modules.commands.transactions import CLASSES, costs, price_of
from modules.log_lines import visible
from modules.progress import duration, size

GIB = 1 << 30
#: Endings that are named; the rest are summed up.
_NAMED = 8
_WHAT = {
    "list": "listings of source, state and output",
    "read": "pictures and what is cached",
    "write": "cache, plan and report",
    "copy": "copies to the output, priced as writes",
    "other": "lease, and looks at single files",
}


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run has to do; print it, or take :meth:`as_json`.

    note: on the extractors. state: of earlier runs, in words. endings, others: of pictures' names and of files that are
    none. unusable: pictures that are known to fail. claimed: files equal to another one by size and Content-MD5.
    to_read: what is downloaded. copies: by ``--uniques``; of ``skip`` the least that is known; groups_known: that is
    all. moving: copies that other settings than the last run's may put into the other folder, at most. free: bytes at
    a folder's output. rates: pictures per second that each part of the run allows. reading, copying: seconds, None if
    not timed. requests: by price class, None for a folder. example: the prices are the ones that ship.
    """

    source: str
    output: str
    extractors: tuple[str, ...]
    note: str
    state: str
    pictures: Amount
    endings: Counter[str]
    others: Counter[str]
    unusable: Amount
    claimed: Amount
    to_read: Amount
    copies: dict[str, Copies]
    moving: Amount
    groups_known: bool
    uniques: str
    dry_run: bool
    free: int | None
    timing: Timing | None
    rates: dict[str, float]
    reading: float | None
    copying: float | None
    requests: dict[str, int] | None
    prices: Prices
    example: bool

    def __rich__(self) -> RenderableType:
        """The page."""
        parts: list[RenderableType] = [
            Text(f"imgsieve: estimate for {visible(self.source)}", style="bold"),
            Text("Nothing was written there. What does not say that it is guessed was counted.\n"),
            *_section("Pictures", self._pictures()),
            *_section("What a run has to do", self._left()),
            *_section("Time (guessed)", self._time()),
            Text(f"Copies under each --uniques (this run: {self.uniques})", style="bold"),
            self._copies(),
        ]
        if self.requests is not None:
            title = Text("Requests to the store (guessed)", style="bold")
            parts += [title, self._requests(self.requests), Text(self._note())]
        return Group(*parts)

    def as_json(self) -> dict[str, Any]:
        """The same as plain values; seconds and requests are guesses."""
        return {
            "source": self.source,
            "output": self.output,
            "extractors": self.extractors,
            "note": self.note,
            "state": self.state,
            "pictures": _plain(self.pictures),
            "endings": dict(self.endings.most_common()),
            "no_pictures": dict(self.others.most_common()),
            "unusable": _plain(self.unusable),
            "claimed_equal": _plain(self.claimed),
            "to_read": _plain(self.to_read),
            "copies": {name: self._plain_copies(name) for name in self.copies},
            "moving_most": _plain(self.moving),
            "uniques": self.uniques,
            "dry_run": self.dry_run,
            "free_bytes": self.free,
            "pictures_per_second": self.rates,
            "reading_seconds": self.reading,
            "copying_seconds": self.copying,
            "requests": self.requests,
            "cost": None if self.requests is None else self._costs(self.requests),
        }

    @property
    def left(self) -> Amount:
        """Copies still to be made, at least."""
        return self.copies[self.uniques].left

    def most(self, uniques: str) -> Amount:
        """Copies under ``--uniques`` that there can be at most."""
        certain = uniques == "copy" or self.groups_known
        return self.copies[uniques if certain else "copy"].all

    def _pictures(self) -> Iterable[tuple[str, str]]:
        yield "Taken for pictures", f"{_amount(self.pictures)}: {_counts(self.endings)}"
        if self.others:
            yield "Left out by their names", f"{self.others.total():,}: {_counts(self.others)}"
        if self.claimed.count:
            yield "Exact duplicates", f"{_amount(self.claimed)}, by size and Content-MD5 of the listing"
        if self.unusable.count:
            yield "Known to fail", f"{_amount(self.unusable)}: archived, too large, or found broken"

    def _left(self) -> Iterable[tuple[str, str]]:
        yield "Earlier runs", self.state
        yield "To read and analyse", f"{_amount(self.to_read)}, for {', '.join(self.extractors)}"
        if self.note:
            yield "", self.note
        there = self.copies[self.uniques].there
        most = self.most(self.uniques) - there + self.moving
        yield "To copy", "nothing: a dry run" if self.dry_run else _span(self.left, most)
        if self.moving.count and not self.dry_run:
            yield "", f"up to {self.moving.count:,} of them only to change between best/ and duplicates/"
        yield "Copied to", visible(self.output) + ("" if self.free is None else f" ({size(self.free)} free)")

    def _copies(self) -> Table:
        table = _columns("--uniques", "Copies", "Bytes", "There already", "Which")
        which = {"copy": "every picture that can be used", "skip": "only pictures that have a duplicate"}
        for name, copies in self.copies.items():
            least, most = copies.all, self.most(name)
            table.add_row(
                name,
                _between(f"{least.count:,}", f"{most.count:,}"),
                _between(size(least.bytes), size(most.bytes)),
                f"{copies.there.count:,}",
                which[name],
            )
        return table

    def _time(self) -> Iterable[tuple[str, str]]:
        if self.timing is not None:
            failed = f", of which {self.timing.failed:,} cannot be used" if self.timing.failed else ""
            slowest = min(self.rates, key=lambda name: self.rates[name])
            rates = ", ".join(f"{name} {rate:,.1f}" for name, rate in self.rates.items())
            yield "Timed", f"{self.timing.pictures:,} pictures{failed}"
            yield "Pictures per second", f"{rates}; the {slowest} set the pace"
        yield "Reading and analysing", _seconds(self.reading)
        yield "Copying", _seconds(self.copying) + (", if a copy needs as long as a download" if self.copying else "")
        yield "On top of these", "starting, and comparing, which grows with how many pictures look alike"

    def _requests(self, requests: dict[str, int]) -> Table:
        table = _columns("Class", "Requests", "For 10,000", "Cost", "For what")
        prices, cost = self.prices, costs(requests, self.prices)
        for name in CLASSES:
            price = f"{price_of(name, prices):g}"
            table.add_row(name, f"{requests[name]:,}", price, _money(cost[name]), _WHAT[name])
        values = self._costs(requests)
        if prices.retrieval_gib:
            table.add_row("retrieval", "", "", _money(values["retrieval"]), "bytes that are read and copied")
        table.add_section()
        currency = Text(visible(prices.currency))
        table.add_row("all", f"{sum(requests.values()):,}", "", _money(values["total"]), currency)
        month = currency + f" a month for the copies, at {prices.storage_gib_month:g} a GiB"
        table.add_row("storage", "", "", _money(values["storage_month"]), month)
        return table

    def _costs(self, requests: dict[str, int]) -> dict[str, float]:
        """In the currency of the prices; total is without the storage."""
        copied = Amount() if self.dry_run else self.most(self.uniques)
        left = Amount() if self.dry_run else copied - self.copies[self.uniques].there + self.moving
        classes = costs(requests, self.prices)
        retrieval = (self.to_read.bytes + left.bytes) / GIB * self.prices.retrieval_gib
        return {
            **classes,
            "retrieval": retrieval,
            "total": sum(classes.values()) + retrieval,
            "storage_month": copied.bytes / GIB * self.prices.storage_gib_month,
        }

    def _note(self) -> str:
        example = " They are an example: give your own with --prices FILE." if self.example else ""
        return f"Prices: {visible(self.prices.name)}, in {visible(self.prices.currency)}.{example}"

    def _plain_copies(self, uniques: str) -> dict[str, Any]:
        copies = self.copies[uniques]
        return {"least": _plain(copies.all), "most": _plain(self.most(uniques)), "there": _plain(copies.there)}


def _section(title: str, rows: Iterable[tuple[str, str]]) -> list[RenderableType]:
    table = Table.grid(padding=(0, 2))
    table.add_column(min_width=24, no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(Text("  " + name), Text(value))
    return [Text(title, style="bold"), table, Text()]


def _columns(*names: str) -> Table:
    """Texts, numbers in between, a text at the end."""
    table = Table(box=SIMPLE_HEAD)
    for place, name in enumerate(names):
        table.add_column(name, justify="left" if place in (0, len(names) - 1) else "right")
    return table


def _amount(amount: Amount) -> str:
    return f"{amount.count:,} ({size(amount.bytes)})"


def _span(least: Amount, most: Amount) -> str:
    return _amount(least) if least == most else f"{_amount(least)} to {_amount(most)}"


def _between(least: str, most: str) -> str:
    return least if least == most else f"{least} to {most}"


def _counts(counts: Counter[str]) -> str:
    named = [f"{visible(name) or 'none'} {count:,}" for name, count in counts.most_common(_NAMED)]
    rest = counts.total() - sum(count for _, count in counts.most_common(_NAMED))
    return ", ".join(named) + (f", others {rest:,}" if rest else "")


def _seconds(seconds: float | None) -> str:
    return "not timed" if seconds is None else duration(seconds)


def _money(value: float) -> str:
    return "under 0.01" if 0 < value < 0.005 else f"{value:,.2f}"


def _plain(amount: Amount) -> dict[str, int]:
    return {"count": amount.count, "bytes": amount.bytes}
