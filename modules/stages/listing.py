"""List stage: the source's pictures, written down in parts once, then frozen for the epoch."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from functools import partial

from modules.bounded_queue import Cancellation
from modules.errors import LeaseHeldError
from modules.outputs.listing_filter import ListingFilter
from modules.outputs.ownership import is_marker
from modules.state.companions import companion_stem
from modules.state.listing import ListingPart, last_listing_part, write_listing_part
from modules.store_thread import StoreThread

log = logging.getLogger(__name__)


def freeze_listing(
    thread: StoreThread,
    source_prefix: str,
    state_prefix: str,
    epoch: int,
    *,
    part_size: int,
    cancel: Cancellation,
    advance: Callable[[int], None],
) -> int:
    """List ``source_prefix`` into parts, going on behind the last part that is there; how many parts there are.

    Pictures only, by name or content type, without what lies below an output of ours. Raises InterruptedRunError,
    LeaseHeldError when another job lists the same epoch, and what the store raises.
    """
    last = last_listing_part(thread, state_prefix, epoch)
    if last is not None and last.marker is None:
        return last.part + 1
    number = 0 if last is None else last.part + 1
    keep = ListingFilter(partial(is_marker, thread), () if last is None else last.excluded)
    marker = None if last is None else last.marker
    for page in thread.pages(source_prefix, marker=marker, page_size=part_size):
        cancel.check()
        blobs = [blob for blob in page.blobs if keep(blob)]
        stems = (companion_stem(blob.key) for blob in page.blobs)
        beside = tuple(sorted({stem for stem in stems if stem is not None}))
        part = ListingPart(number, blobs, page.marker, keep.excluded, beside)
        write_listing_part(thread, state_prefix, epoch, part)
        advance(len(blobs))
        number += 1
        if page.marker is None:
            _tell_others(keep.others)
            return number
    raise LeaseHeldError("the listing ended without its last page; run again")


def _tell_others(others: Counter[str]) -> None:
    """Say what was left out: nobody should believe that formats were looked at which are not read."""
    if others:
        most = others.most_common(10)
        kinds = ", ".join(f"{count} {f'.{ending}' if ending else 'without ending'}" for ending, count in most)
        log.info("left out, no pictures by their names: %s", kinds)
