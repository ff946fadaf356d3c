"""How many requests of which price class a run makes, reckoned from what it has to do.

Follows the run phase by phase; tests hold it against the requests that a real run makes of an emulator. What is left
out: retries, throttled attempts, and polls of copies that are not done at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from modules.commands.prices import Prices
from modules.outputs.journal import BATCH
from modules.outputs.plan import ROWS

#: Names of a page, of every listing but the source's own.
PAGE = 2000
#: Price classes, in the order of the table; a copy costs what a write costs.
CLASSES = ("list", "read", "write", "copy", "other")
_LEASE_RENEWAL = 5.0
_SMALL_SHARDS = 4
"""Further commits at a start: its first shards are small."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a run has to do.

    pages: of the source's listing. pictures: all, usable or not. to_read: files to download. families: shard families
    (facts, keypoints, one per extractor). new_epoch: the listing is made anew. catalogue: shards of it that are cached.
    copies: to make. there: files in the output. seconds: expected time.
    """

    pages: int
    pictures: int
    to_read: int
    families: int
    new_epoch: bool
    catalogue: int
    copies: int
    there: int
    seconds: float
    shard_rows: int
    shard_seconds: float


def transactions(work: Work) -> dict[str, int]:
    """Requests by price class. Deletions cost nothing and are not counted."""
    commits = 0
    if work.to_read:
        by_time = work.seconds / work.shard_seconds
        commits = max(work.pages, math.ceil(max(work.to_read / work.shard_rows, by_time))) + _SMALL_SHARDS
    shards = work.catalogue + commits
    plan = max(1, math.ceil(work.pictures / ROWS))
    listed_shards = math.ceil(max(1, shards) / PAGE)
    batches = math.ceil(work.copies / BATCH)
    listing = work.pages if work.new_epoch else 0
    return {
        # check, first page, source; families and catalogue, each family again for matching; output and journal; tidying
        "list": 4 + listing + listed_shards * (2 * work.families + 3) + 2 * max(1, math.ceil(work.there / PAGE)) + 2,
        # manifest and markers; parts; catalogue, facts, vectors, keypoints; plan for survey and report; pictures
        "read": 6 + work.pages + shards * work.families + work.catalogue + 2 * plan + work.to_read,
        # pointer, lock, phases; parts; shards with their catalogue rows; verdicts; plan; journal; tables
        "write": 7 + listing + commits * (work.families + 1) + 1 + plan + 2 * batches + 4,
        "copy": work.copies,
        # looks at what is replaced, fences, the lease
        "other": 12 + batches + math.ceil(work.seconds / _LEASE_RENEWAL),
    }


def costs(counts: dict[str, int], prices: Prices) -> dict[str, float]:
    """Price of each class, in the table's currency."""
    return {name: counts[name] / 10_000 * price_of(name, prices) for name in CLASSES}


def price_of(name: str, prices: Prices) -> float:
    """Price of 10,000 transactions of a class."""
    price: float = getattr(prices, "write" if name == "copy" else name)
    return price
