"""What of a listing is a picture of the source: by name or content type, and not below an output of ours."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from modules.outputs.layout import MANIFEST, STATE_FOLDER
from modules.records import BlobInfo

log = logging.getLogger(__name__)

#: Endings by which a blob is taken for a picture whatever its content type says.
PICTURE_ENDINGS = frozenset(("jpg", "jpeg", "jpe", "jfif", "png", "webp", "bmp", "tif", "tiff", "gif"))
_MARKER = STATE_FOLDER + MANIFEST


class ListingFilter:
    """Fed with the blobs of one listing in key order; True for the pictures.

    An output is known by its marker ``X/_state/manifest.json``, which in that order comes before ``X/best/`` and
    ``X/duplicates/``, so one pass is enough. excluded: prefixes left out so far; given to the filter that goes on
    with a listing, and for outputs known beforehand.
    """

    def __init__(self, excluded: Iterable[str] = ()) -> None:
        self.excluded = tuple(excluded)

    def __call__(self, blob: BlobInfo) -> bool:
        """Whether a blob is a picture of the source."""
        if blob.key.startswith(self.excluded):
            return False
        if blob.key.endswith("/" + _MARKER):
            prefix = blob.key.removesuffix(_MARKER)
            self.excluded += (prefix,)
            log.info("left out, an output of imgsieve: %s", prefix)
        return is_picture(blob)


def is_picture(blob: BlobInfo) -> bool:
    """By its ending, whatever its case, or its content type."""
    _, dot, ending = blob.key.rpartition("/")[2].rpartition(".")
    return bool(dot and ending.lower() in PICTURE_ENDINGS) or (blob.content_type or "").lower().startswith("image/")
