"""The pixels of a JPEG, and whether some of its data were lost: libjpeg goes on after them and only warns.

Pillow decodes with the same library and passes no warning on, so the pixels come from simplejpeg, which does: to the
bit the same ones, at the same cost. What it refuses is left to Pillow, which says what viewers would show.
"""

from __future__ import annotations

import re

import simplejpeg
from PIL import Image, ImageFile

# libjpeg's warnings that tell of lost pixels (jerror.h of libjpeg-turbo); others are about marks beside them.
_LOST = re.compile(r"Corrupt JPEG data(?!: bad ICC)|Premature end of JPEG file")
_EXTRANEOUS = re.compile(r"Corrupt JPEG data: (\d+) extraneous bytes before marker 0x([0-9a-f]{2})")
_COLOURS = {"L": "GRAY", "RGB": "RGB"}


def load(image: ImageFile.ImageFile, data: bytes) -> tuple[Image.Image, bool]:
    """Its pixels, and whether data were lost, of an opened JPEG, at the size that it was drafted to.

    The pixels come as ``image`` itself, loaded, or as a picture without metadata. Modes that only Pillow reads (CMYK)
    count as whole. Raises what Pillow raises of a file that it cannot decode.
    """
    colours = _COLOURS.get(image.mode)
    lost = False
    if colours is not None:
        width, height = image.size
        try:
            pixels = simplejpeg.decode_jpeg(data, colours, min_height=height, min_width=width, strict=True)
        except ValueError as error:
            lost = is_loss(str(error), data)
        else:
            # Others scale by other steps than Pillow's: then the sizes differ, and only the warnings count.
            if pixels.shape[:2] == (height, width):
                return Image.fromarray(pixels[..., 0] if image.mode == "L" else pixels), False
    image.load()
    return image, lost


def is_loss(warning: str, data: bytes) -> bool:
    """Whether a warning of libjpeg tells of pixels that were lost. data: the file.

    Some cameras fill a file up with equal bytes before its end; other bytes that no pixel came of do tell.
    """
    if _LOST.match(warning) is None:
        return False
    found = _EXTRANEOUS.match(warning)
    if found is None:
        return True
    count, marker = int(found[1]), bytes((0xFF, int(found[2], 16)))
    return re.search(rb"([^\xff])\1{%d}%b" % (count - 1, re.escape(marker)), data, re.DOTALL) is None
