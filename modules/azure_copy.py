"""A copy that the blob service makes by itself (Copy Blob): begun or found under way, and followed to its end.

The service leaves an empty blob where a copy is pending or has failed, and says so in the blob's copy properties:
https://learn.microsoft.com/rest/api/storageservices/copy-blob.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from modules.checksums import found_copied
from modules.errors import ConditionFailedError, NotFoundError, StoreError

if TYPE_CHECKING:
    from modules.io_utils import Store

#: Seconds after which a copy is not waited for any more; inside one account nearly all end at once.
PENDING_SECONDS = 600.0
#: Seconds between looks at a pending copy.
_LOOK = 1.0


@dataclass(frozen=True, slots=True)
class Target:
    """The place that is copied to. copy_id, status, source (a URL): of the last copy to it, None where none was."""

    etag: str
    copy_id: str | None
    status: str | None
    source: str | None


@dataclass(frozen=True, slots=True)
class ServiceCopy:
    """One copy from key to key. url: of the source. start: begins it; look: asks for its target; both make requests."""

    store: Store
    source: str
    source_etag: str
    target: str
    url: str
    start: Callable[[], Awaitable[Target]]
    look: Callable[[], Awaitable[Target]]
    sleep: Callable[[float], Awaitable[None]]

    async def run(self) -> str:
        """The copy's ETag when it has ended well. Raises as :meth:`Store.copy`, StoreError when it failed."""
        try:
            begun = await self.start()
        except ConditionFailedError as conflict:
            return await self._go_on(conflict)
        return await self._follow(begun)

    async def _go_on(self, conflict: ConditionFailedError) -> str:
        """Something lies there. It may be what an earlier attempt has begun, spoilt, or ended with its answer lost."""
        there = await self._there()
        if there is not None and there.status in ("failed", "aborted"):
            await self.store.delete(self.target, if_match=there.etag)
            return await self._follow(await self.start())
        if there is not None and there.status == "pending":
            await self._follow(there)
        # An earlier attempt may have copied another version of the source.
        if (etag := await found_copied(self.store, self.source, self.source_etag, self.target)) is None:
            raise conflict
        return etag

    async def _there(self) -> Target | None:
        """The target if this source was copied to it last: of anything else, nothing is waited for or removed."""
        try:
            there = await self.look()
        except NotFoundError:
            return None
        return there if there.source is not None and _path(there.source) == _path(self.url) else None

    async def _follow(self, begun: Target) -> str:
        """Wait for a copy's end. One that ends badly leaves nothing behind, so that the next attempt can be made."""
        now, waited = begun, 0.0
        copy = f"the copy of {self.store.address(self.source)} to {self.store.address(self.target)}"
        while now.status == "pending":
            if waited >= PENDING_SECONDS:
                raise StoreError(f"{copy} is still pending after {waited:.0f} s: run again later")
            await self.sleep(_LOOK)
            waited += _LOOK
            now = await self.look()
            if now.copy_id != begun.copy_id:
                raise StoreError(f"another job copies to {self.store.address(self.target)} at the same time")
        if now.status != "success":
            with suppress(ConditionFailedError):  # somebody else's by now
                await self.store.delete(self.target, if_match=now.etag)
            raise StoreError(f"{copy} ended as {now.status}")
        return now.etag


def _path(url: str) -> str:
    """Container and name; neither the SAS nor how the service spells hosts and odd letters counts."""
    return unquote(urlsplit(url).path)
