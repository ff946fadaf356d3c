"""Size and MD5 as a store lists them, and what they tell."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from modules.io_utils import Store


def measure(data: bytes | Path) -> tuple[int, bytes]:
    """Size in bytes and MD5, 16 bytes, of bytes or a local file's content."""
    if isinstance(data, bytes):
        return len(data), hashlib.md5(data, usedforsecurity=False).digest()
    with data.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).digest()
        return file.tell(), digest


async def found_copied(store: Store, source: str, source_etag: str, target: str) -> str | None:
    """ETag of ``target`` if it holds the bytes of this version of ``source``, else None.

    Both are read where no MD5 tells. Raises as :meth:`Store.read`.
    """
    there, origin = await store.stat(target), await store.stat(source)
    if there is None or origin is None or origin.etag != source_etag or there.size != origin.size:
        return None
    if there.md5 and origin.md5:
        return there.etag if there.md5 == origin.md5 else None
    contents = [(await store.read(blob.key, if_match=blob.etag)).data for blob in (there, origin)]
    return there.etag if contents[0] == contents[1] else None
