"""Download stage: one blob's bytes, their SHA-256, and what is still to be computed of them."""

from __future__ import annotations

import asyncio
import hashlib

from modules.errors import (
    AccessError,
    BadNameError,
    ConditionFailedError,
    NotFoundError,
    PictureError,
    StoreError,
    TransientError,
)
from modules.io_utils import Store
from modules.records import BlobInfo, Fetched, Processed, WorkItem
from modules.state.index import ScratchIndex

#: Bytes from which hashing is long enough (about a millisecond) to be kept off the event loop.
HASH_ASIDE = 1 << 20


class Fetcher:
    """Reads the version of a blob that was listed; a blob's own trouble becomes a failed row, the store's is raised."""

    def __init__(self, store: Store, index: ScratchIndex, max_bytes: int) -> None:
        self._store = store
        self._index = index
        self._max_bytes = max_bytes
        self.downloaded = 0

    async def __call__(self, item: WorkItem) -> Fetched | Processed:
        """Fetched when its bytes are to be decoded, else Processed: known already, or failed.

        Raises AccessError and StoreAwayError: they would meet every other blob as well.
        """
        try:
            data = await read_blob(self._store, item.blob, self._max_bytes)
        except PictureError as error:
            return Processed(item, None, None, failure=str(error), permanent=False)
        self.downloaded += 1
        sha = await sha256(data)
        if known_failure := self._index.failure_of(sha):
            return Processed(item, sha, None, failure=known_failure)
        missing = self._index.missing(sha, item.families)
        if not missing:
            return Processed(item, sha, None)
        return Fetched(WorkItem(item.part, item.blob, missing), sha, data)


async def read_blob(store: Store, blob: BlobInfo, max_bytes: int) -> bytes:
    """The listed version's bytes. Raises PictureError with the reason for failed.csv, AccessError, StoreAwayError."""
    if blob.size > max_bytes:
        raise PictureError(f"has {blob.size} bytes, over the limit of {max_bytes} (IMGSIEVE_MAX_IMAGE_BYTES)")
    try:
        return (await store.read(blob.key, if_match=blob.etag)).data
    except AccessError:
        raise
    except BadNameError:
        raise PictureError("has a name that is not valid UTF-8: rename it") from None
    except NotFoundError:
        raise PictureError("is gone since it was listed") from None
    except ConditionFailedError:
        raise PictureError("changed since it was listed; run again to take its new version") from None
    except TransientError as error:
        raise PictureError(f"could not be downloaded ({error}); run again to try once more") from error
    except StoreError as error:
        raise PictureError(f"could not be downloaded ({error})") from error


async def sha256(data: bytes) -> bytes:
    """Of a picture's bytes, 32 bytes."""
    if len(data) < HASH_ASIDE:
        return hashlib.sha256(data).digest()
    return await asyncio.to_thread(lambda: hashlib.sha256(data).digest())
