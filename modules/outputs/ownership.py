"""How an output of ours is known: by ``_state/manifest.json`` below it, the manifest itself or a pointer to it."""

from __future__ import annotations

import json
import logging
from typing import Any

from modules.errors import AccessError, ConditionFailedError, NotFoundError, StoreError, TransientError, UsageError
from modules.io_utils import Store
from modules.outputs.layout import MANIFEST, STATE_FOLDER, Layout
from modules.outputs.listing_filter import is_picture
from modules.store_thread import StoreThread

log = logging.getLogger(__name__)

_POINTER = "imgsieve"

_LARGEST = 1024 * 1024
"""Bytes of a marker, of which the longest have some thousands; a larger file is none, and is not read."""


def check_output_is_ours(thread: StoreThread, layout: Layout) -> None:
    """Raise UsageError before anything is written where it does not belong.

    That is: an output with content that imgsieve did not make, one whose state lies elsewhere than asked for, a
    state that belongs to another output, and a source that is an output itself.
    """
    thread.run(_check(thread.store, layout))


def claim_output(thread: StoreThread, layout: Layout) -> None:
    """Under the run lock, before anything else is written: the output and this state belong together from here on.

    An output whose state lies elsewhere gets a pointer to it. Raises what :func:`check_output_is_ours` raises: while
    this job waited for the lock, or held that of another state, another one may have begun here.
    """
    check_output_is_ours(thread, layout)
    if layout.marker == layout.manifest:
        return
    pointer = {_POINTER: 1, "state": _plain_address(thread.store, layout.state)}
    if thread.run(_read(thread.store, layout.marker)) is None:
        data = json.dumps(pointer, indent=2, ensure_ascii=False).encode() + b"\n"
        try:
            thread.run(thread.store.write(layout.marker, data, if_absent=True))
        except ConditionFailedError:
            check_output_is_ours(thread, layout)


def is_marker(thread: StoreThread, key: str) -> bool:
    """Whether the file at a key marks an output: a manifest of imgsieve, or a pointer to one.

    One that cannot be read marks none: it lies among the pictures, and no file there ends a run.
    """
    try:
        return _is_ours(thread.run(_read(thread.store, key)))
    except (AccessError, TransientError):
        raise
    except StoreError as error:
        log.warning("taken for no output of imgsieve: %s", error)
        return False


def check_source_has_pictures(thread: StoreThread, layout: Layout) -> None:
    """Raise UsageError for a source without one: a mistyped prefix, or a volume that is not mounted.

    As an empty listing it would count as a finished job, and the copies of an earlier run would all be removed.
    """
    if not thread.run(_has_picture(thread.store, layout.source)):
        address = thread.store.address(layout.source)
        raise UsageError(f"there are no pictures below {address}: nothing was done; check the address")


async def _has_picture(store: Store, prefix: str) -> bool:
    async for page in store.list(prefix):
        if any(is_picture(blob) for blob in page.blobs):
            return True
    return False


async def _check(store: Store, layout: Layout) -> None:
    if _is_ours(await _read(store, layout.source + STATE_FOLDER + MANIFEST)):
        best = store.address(layout.source + "best")
        raise UsageError(f"the source is an output of imgsieve: name its folder of kept pictures, {best}")
    await _check_state(store, layout)
    marker = await _read(store, layout.marker)
    output = _plain_address(store, layout.output)
    if marker is None:
        state = await _read(store, layout.manifest)  # a kill may have come between the manifest and the pointer
        if state is None and await _has_content(store, layout):
            raise UsageError(f"{output} holds files that imgsieve did not make: empty it, or choose another --output")
        return
    if not _is_ours(marker):
        address = store.address(layout.marker)
        raise UsageError(f"{address} is damaged or was made by another tool: choose another --output")
    wanted = _plain_address(store, layout.state)
    used = marker["state"] if _POINTER in marker else _plain_address(store, layout.output + STATE_FOLDER)
    if used != wanted:
        raise UsageError(f"{output} has its state at {used}, not at {wanted}: say --state {used}")


async def _check_state(store: Store, layout: Layout) -> None:
    manifest = await _read(store, layout.manifest)
    if manifest is None or _POINTER in manifest or not _is_ours(manifest):
        return  # a pointer is judged with the output, damage by whoever loads the manifest
    output = _plain_address(store, layout.output)
    owner = str(manifest["state_of"]).rstrip("/")
    if owner != output:
        state = _plain_address(store, layout.state)
        raise UsageError(f"the state {state} belongs to the output {owner}, not to {output}: choose another place")


async def _has_content(store: Store, layout: Layout) -> bool:
    """Whether anything but our own lock lies there: a run killed right at its start leaves that behind."""
    async for page in store.list(layout.output, page_size=10):
        if any(blob.key != layout.lock for blob in page.blobs):
            return True
    return False


async def _read(store: Store, key: str) -> dict[str, Any] | None:
    """A JSON object; empty for anything else, None where there is nothing."""
    found = await store.stat(key)
    if found is not None and found.size > _LARGEST:
        return {}
    try:
        content = await store.read(key)
    except NotFoundError:
        return None
    try:
        values = json.loads(content.data)
    except (ValueError, RecursionError):
        return {}
    return values if isinstance(values, dict) else {}


def _is_ours(values: dict[str, Any] | None) -> bool:
    return values is not None and ({_POINTER, "state"} <= values.keys() or {"run_id", "state_of"} <= values.keys())


def _plain_address(store: Store, prefix: str) -> str:
    return store.address(prefix).rstrip("/")
