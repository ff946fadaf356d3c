"""Which pictures are compared: copies, parts, collages, look-alikes and pictures that have nothing in common."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from PIL import Image, ImageOps

from benchmarks.held_out import held_out
from benchmarks.quality import drawn
from benchmarks.quality.negatives import AROUND, DRAWN
from modules.records import Effort
from tests.compositions import caption
from tests.drawings import as_png, page
from tests.edits import EDITS
from tests.golden.pictures import bases, before_depths, jpeg, lit, one_line_more, scene

#: Pictures that each edit is made of, and every so many of those pairs are judged by a fast run too.
PER_EDIT, FAST_EVERY = 5, 7
#: Shares of the area that a moved thing takes, and one that only one picture shows.
MOVED, GONE = (0.02, 0.05, 0.1, 0.2, 0.3), (0.01, 0.03, 0.08)

#: Makes a picture's file.
Make = Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two pictures to compare, each by a name of its own and how its file is made."""

    family: str
    a: tuple[str, Make]
    b: tuple[str, Make]
    effort: Effort = "balanced"

    @property
    def name(self) -> str:
        """Unique among all pairs."""
        return f"{self.a[0]} | {self.b[0]} | {self.effort}"


def pairs() -> list[Pair]:
    """All of them, in the same order every time."""
    steps = (_edited, _collages, _parts, _different, _around, _drawn, _texts, _textures, _scenes, _lit)
    return [pair for step in steps for pair in step()]


def _base(name: str) -> tuple[str, Make]:
    return name, lambda: jpeg(bases()[name], 92)


def _of(name: str, draw: Callable[[], Image.Image], make: Callable[[Image.Image], bytes] = jpeg) -> tuple[str, Make]:
    return name, lambda: make(draw())


def _edited() -> Iterator[Pair]:
    """Each edit of some of the pictures, beside its original; then two edits of one picture beside each other."""
    names, made = sorted(bases()), list[tuple[str, str, tuple[str, Make]]]()
    kept = [edit for edit in EDITS.values() if edit.name not in held_out("edits")]
    for number in range(PER_EDIT * len(kept)):
        edit, name = kept[number // PER_EDIT], names[number % len(names)]
        copy = f"{name} {edit.name}", functools.partial(_edit, edit.name, name)
        made.append((name, edit.level, copy))
        yield Pair(edit.level, _base(name), copy)
        if number % FAST_EVERY == 0:
            yield Pair(f"{edit.level}, fast", _base(name), copy, "fast")
    for name in names:
        own = [(level, copy) for of, level, copy in made if of == name]
        for (_, first), (level, second) in list(pairwise(own))[::5]:
            yield Pair(f"two edits, {level}", first, second)


def _edit(edit: str, name: str) -> bytes:
    return EDITS[edit].apply(bases()[name], 7)


def _collages() -> Iterator[Pair]:
    """Four pictures in one beside each of them, and beside a collage that shares two of them."""
    names = sorted(bases())
    for start in range(0, 20, 5):
        shown = names[start : start + 4]
        sheet = _of(f"collage {start}", functools.partial(_collage, shown))
        for name in shown:
            yield Pair("collage", sheet, _base(name))
        other = [*shown[2:], *names[start + 20 : start + 22]]
        yield Pair("collages that share", sheet, _of(f"other collage {start}", functools.partial(_collage, other)))


def _collage(names: list[str]) -> Image.Image:
    return drawn.collage([bases()[name] for name in names])


def _parts() -> Iterator[Pair]:
    """Two crops of one picture: that share a third of it, and that share nothing."""
    for name in sorted(bases())[::3]:
        left, right = (_of(f"{name} {side}", functools.partial(_side, name, side, 0.65)) for side in ("left", "right"))
        yield Pair("crops that overlap", left, right)
        first, second = (
            _of(f"{name} {side} half", functools.partial(_side, name, side, 0.48)) for side in ("left", "right")
        )
        yield Pair("crops beside each other", first, second)


def _side(name: str, side: str, share: float) -> Image.Image:
    picture = bases()[name]
    width = round(share * picture.width)
    start = 0 if side == "left" else picture.width - width
    return picture.crop((start, 0, start + width, picture.height))


def _different() -> Iterator[Pair]:
    for first, second in pairwise(sorted(bases())):
        yield Pair("different", _base(first), _base(second))
    for first, second in list(pairwise(sorted(bases())))[::3]:
        yield Pair("different, fast", _base(first), _base(second), "fast")


def _around() -> Iterator[Pair]:
    """The same frame, logo and so on around different photographs; other words above the same one."""
    names = sorted(bases())
    for turn, (family, draw) in enumerate(AROUND.items()):
        shown = [
            _of(f"{name} in {family}", functools.partial(_drawn_around, draw, name, family))
            for name in names[turn * 4 :][:5]
        ]
        for first, second in pairwise(shown):
            yield Pair(f"same {family}", first, second)
    for name in names[::5]:
        said = [_of(f"{name}, {words}", functools.partial(_drawn_around, caption, name, words)) for words in "xyz"]
        for first, second in pairwise(said):
            yield Pair("rival captions", first, second)


def _drawn_around(draw: Callable[[Image.Image, random.Random], Image.Image], name: str, words: str) -> Image.Image:
    return draw(bases()[name], random.Random(words))


def _drawn() -> Iterator[Pair]:
    """Neighbours of one kind of drawing or empty picture; and one of them saved anew."""
    kinds = {family: draw for family, (draw, _) in DRAWN.items()}
    for family, draw in kinds.items():
        made = [functools.partial(_seeded, draw, f"{family} {number}") for number in range(6)]
        files = [_of(f"{family} {number}", one, as_png) for number, one in enumerate(made)]
        for first, second in pairwise(files):
            yield Pair(f"other {family}", first, second)
            yield Pair(f"other {family}, fast", first, second, "fast")
        for number in (0, 1):
            yield Pair(f"saved anew, {family}", files[number], _of(f"{family} {number} anew", made[number], _saved))
    blanks = [_of(f"blank {number}", functools.partial(_blank, number), as_png) for number in range(0, 90, 10)]
    for first, second in pairwise(blanks):
        yield Pair("other blank", first, second)


def _seeded(draw: Callable[[random.Random], Image.Image], seed: str) -> Image.Image:
    return draw(random.Random(seed))


def _saved(picture: Image.Image) -> bytes:
    return jpeg(ImageOps.scale(picture, 0.7), 60)


def _blank(number: int) -> Image.Image:
    return drawn.blank(number, random.Random(number))


def _texts() -> Iterator[Pair]:
    """Pages of one layout with other words; one page with one other line."""
    sheets = [_of(f"page {seed}", functools.partial(page, seed), as_png) for seed in range(7)]
    for first, second in pairwise(sheets):
        yield Pair("other page", first, second)
    for seed, sheet in enumerate(sheets):
        yield Pair("one other line", sheet, _of(f"page {seed} rewritten", functools.partial(one_line_more, seed)))


def _textures() -> Iterator[Pair]:
    for kind in drawn.TEXTURES:
        frames = [_of(f"{kind} {number}", functools.partial(_texture, kind, number)) for number in range(4)]
        for first, second in pairwise(frames):
            yield Pair("one texture", first, second)


@functools.cache
def _textured(kind: str) -> list[Image.Image]:
    return drawn.texture_frames(kind, random.Random(kind), 4)


def _texture(kind: str, number: int) -> Image.Image:
    return _textured(kind)[number]


def _scenes() -> Iterator[Pair]:
    """One background: its subject moved, or gone; and what a camera sees that was moved itself."""
    for number in range(3):
        for share in MOVED:
            first, second = [_shot(number, share, place) for place in ((0.1, 0.2), (0.9, 0.7))]
            yield Pair("moved subject", first, second)
        for share in GONE:
            yield Pair("subject gone", _shot(number, share, (0.4, 0.6)), _shot(number, share, None))
        for step in (2, 5, 15):
            first, second = [
                _of(f"depths {number} from {at}", functools.partial(before_depths, number, at)) for at in (0, step)
            ]
            yield Pair("moved camera", first, second)


def _shot(number: int, share: float, place: tuple[float, float] | None) -> tuple[str, Make]:
    return _of(f"scene {number} with {share} at {place}", functools.partial(scene, number, share, place))


def _lit() -> Iterator[Pair]:
    for turn, name in enumerate(sorted(bases())[::4]):
        for strength in (0.3, 0.6):
            first, second = [
                _of(f"{name} lit {side} {strength}", functools.partial(_in_light, name, turn + side, strength))
                for side in (0.0, 3.14)
            ]
            yield Pair("other light", first, second)


def _in_light(name: str, angle: float, strength: float) -> Image.Image:
    return lit(bases()[name], angle, strength)
