"""Pictures that resemble each other and are not the same, made anew with any seed: see ``docs/benchmarks.md``.

``FAMILIES`` has a scene function for each kind; ``held_out.toml`` names those that nothing may be tuned on.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from types import MappingProxyType

from PIL import Image

from benchmarks.lookalikes import bursts, charts, documents, drawings, portraits, screens, sheets
from benchmarks.lookalikes.base import Photos, Scene, Setup, scene_of

_SETUPS: dict[str, Setup] = {
    "burst-moved": bursts.burst_moved,
    "burst-small": bursts.burst_small,
    "burst-camera": bursts.burst_camera,
    "burst-zoom": bursts.burst_zoom,
    "burst-light": bursts.burst_light,
    "faces": portraits.faces,
    "expressions": portraits.expressions,
    "frames": portraits.frames,
    "receipts": documents.receipts,
    "forms": documents.forms,
    "text-pages": documents.text_pages,
    "blanks": documents.blanks,
    "calendars": sheets.calendars,
    "sheet-music": sheets.sheet_music,
    "app-screens": screens.app_screens,
    "feed": screens.feed,
    "web-pages": screens.web_pages,
    "charts": charts.charts,
    "boards": charts.boards,
    "maps": charts.maps,
    "icons": drawings.icons,
    "flags": drawings.flags,
    "transparent": drawings.transparent,
}
FAMILIES: Mapping[str, Scene] = MappingProxyType({name: scene_of(setup) for name, setup in _SETUPS.items()})


def pictures(family: str, seed: int, number: int, count: int, photos: Photos) -> list[Image.Image]:
    """``count`` different pictures of one scene, which hang on the arguments alone: scenes can be made in any order.

    Modes are L, RGB or, in ``transparent``, RGBA.

    Raises:
        KeyError: no such family.
        ValueError: the family is made of photographs, and there are none or too few.
    """
    return FAMILIES[family](random.Random(f"{family} {seed} {number}"), count, photos)


def pair(family: str, seed: int, number: int, photos: Photos) -> tuple[Image.Image, Image.Image]:
    """Two different pictures of one scene; raises as ``pictures`` does."""
    first, second = pictures(family, seed, number, 2, photos)
    return first, second


def pairs(family: str, seed: int, count: int, photos: Photos) -> Iterator[tuple[Image.Image, Image.Image]]:
    """``count`` pairs of different pictures, each of a scene of its own; raises as ``pictures`` does."""
    for number in range(count):
        yield pair(family, seed, number, photos)
