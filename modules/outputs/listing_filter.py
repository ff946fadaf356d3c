"""What of a listing is a picture of the source: by name or content type, and not below an output of ours."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable

from modules.outputs.layout import MANIFEST, STATE_FOLDER
from modules.records import BlobInfo

log = logging.getLogger(__name__)

#: Endings by which a blob is taken for a picture whatever its content type says.
PICTURE_ENDINGS = frozenset(
    ("jpg", "jpeg", "jpe", "jfif", "mpo", "png", "webp", "bmp", "tif", "tiff", "gif")
) | frozenset(("avif", "avifs", "heic", "heics", "heif", "heifs", "hif"))
#: Endings that are counted by themselves; names are data, and there may be as many endings as names.
_MOST_ENDINGS = 1000
_MARKER = STATE_FOLDER + MANIFEST


class ListingFilter:
    """Fed with the blobs of one listing in key order; True for the pictures.

    An output is known by its marker ``X/_state/manifest.json``, which in that order comes before ``X/best/`` and
    ``X/duplicates/``, so one pass is enough. is_ours: reads the marker at a key and tells whether imgsieve wrote it;
    a file of that name alone must not hide a collection. excluded: prefixes left out so far; given to the filter that
    goes on with a listing. others: how many blobs were no pictures, by the ending of their names, which is "..." for
    those of endings beyond the first thousand.
    """

    def __init__(self, is_ours: Callable[[str], bool], excluded: Iterable[str] = ()) -> None:
        self._is_ours = is_ours
        self.excluded = tuple(excluded)
        self.others: Counter[str] = Counter()

    def __call__(self, blob: BlobInfo) -> bool:
        """Whether a blob is a picture of the source."""
        if blob.key.startswith(self.excluded):
            return False
        if blob.key.endswith("/" + _MARKER) and self._is_ours(blob.key):
            prefix = blob.key.removesuffix(_MARKER)
            self.excluded += (prefix,)
            log.warning("left out, an output of imgsieve: %s", prefix)
            return False
        if is_picture(blob):
            return True
        ending = ending_of(blob)
        known = ending in self.others or len(self.others) < _MOST_ENDINGS
        self.others[ending if known else "..."] += 1
        return False


def is_picture(blob: BlobInfo) -> bool:
    """By its ending, whatever its case, or its content type."""
    return ending_of(blob) in PICTURE_ENDINGS or (blob.content_type or "").lower().startswith("image/")


def ending_of(blob: BlobInfo) -> str:
    """What comes behind the last dot of its name, in lower case; empty without one.

    Names are data, so no more than its first letters.
    """
    _, dot, ending = blob.key.rpartition("/")[2].rpartition(".")
    return ending[:12].lower() if dot else ""
