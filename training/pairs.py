"""Pairs of pictures of which it is known whether they are the same, and the evidence that the matcher finds of each.

True pairs are a picture and its edits, or two edits of one picture; wrong ones are look-alikes, and different pictures
in one and the same frame. No family that ``benchmarks/held_out.toml`` names is among them. Every pair is a function of
the seed and its number.
"""

from __future__ import annotations

import io
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing import get_context

import cv2
from PIL import Image, ImageOps

from benchmarks.held_out import held_out
from benchmarks.lookalikes import FAMILIES, pictures
from benchmarks.quality.negatives import AROUND
from modules.feature_extraction import Analyser
from modules.features.decode import decode
from modules.matching.confidence import inputs_of
from modules.matching.evidence import Evidence, evidence_of
from modules.matching.second_look import look_closely, look_of_thumbs
from modules.matching.verdicts import verify_pair
from modules.records import Float32Array, Kind, UInt8Array
from tests.edits import EDITS
from training.pictures import load_photos

#: Pixels of a picture at most; all that are made have far fewer.
_MAX_PIXELS = 50_000_000
#: Sides of the crops of photographs that edits are made of, pixels.
_SIDES = (220, 900)
#: Pictures of one scene of look-alikes.
_SCENE = 3
#: Of all tasks the shares that are edits of photographs, look-alikes, and different photographs in one frame.
_SHARES = (0.5, 0.44, 0.06)
_QUALITIES = (60, 75, 85, 90, 95)

Photos = Sequence[Image.Image]


@dataclass(frozen=True, slots=True)
class Sample:
    """One pair. family: of look-alikes, or ``edits``; what: the edits of both; same: whether they are one picture.

    first, second: float32 (len(INPUTS),), by the thumbnails and by the pictures; None where the matcher takes the two
    for different pictures without a look.
    """

    family: str
    what: str
    same: bool
    first: Float32Array | None
    second: Float32Array | None


def make_samples(seed: int, tasks: int, processes: int) -> Iterator[Sample]:
    """The samples of ``tasks`` tasks, some three each, in order."""
    with get_context("spawn").Pool(processes, _start, (seed,)) as pool:
        for found in pool.imap(_task, range(tasks), chunksize=4):
            yield from found


_seed = 0
_photos: Photos = ()


def _start(seed: int) -> None:
    """In a process of the pool."""
    global _seed, _photos
    cv2.setNumThreads(1)
    _seed, _photos = seed, [Image.fromarray(photo) for photo in load_photos()]


def _task(number: int) -> list[Sample]:
    rng = random.Random(f"pairs {_seed} {number}")
    kind = rng.choices((_edited, _resembling, _framed), _SHARES)[0]
    return list(kind(rng, number))


@dataclass(frozen=True, slots=True)
class _File:
    """A picture as the matcher has it. what: the edit; own: pictures with the same are the same."""

    what: str
    own: str
    rgb: UInt8Array
    evidence: Evidence


def _edited(rng: random.Random, number: int) -> Iterator[Sample]:
    """A photograph and two edits of it."""
    photo = _crop(rng)
    away = held_out("edits")
    names = rng.sample([name for name in EDITS if name not in away], 2)
    files = [_file(_saved(photo, rng), "original", "a")]
    files += [_file(EDITS[name].apply(photo, rng.getrandbits(32)), name, "a") for name in names]
    yield from _pairs(files, "edits")


def _resembling(rng: random.Random, number: int) -> Iterator[Sample]:
    """Pictures of one scene, and an easy copy of one of them."""
    away = held_out("lookalikes")
    family = rng.choice(sorted(name for name in FAMILIES if name not in away))
    made = pictures(family, _seed, number, _SCENE, _photos)
    suffix = "PNG" if rng.random() < 0.4 else "JPEG"
    files = [_file(_saved(picture, rng, suffix), "original", str(place)) for place, picture in enumerate(made)]
    easy = [name for name, edit in EDITS.items() if edit.level == "easy" and name not in held_out("edits")]
    name = rng.choice(easy)
    files.append(_file(EDITS[name].apply(made[0], rng.getrandbits(32)), name, "0"))
    yield from _pairs(files, family)


def _framed(rng: random.Random, number: int) -> Iterator[Sample]:
    """Different photographs with the same logo, frame, caption or screen around them."""
    family = rng.choice(sorted(AROUND))
    drawn = rng.getrandbits(32)
    files = []
    for place in range(2):
        picture = AROUND[family](_crop(rng, place), random.Random(drawn))
        files.append(_file(_saved(picture, rng), "original", str(place)))
    yield from _pairs(files, family)


def _crop(rng: random.Random, turn: int | None = None) -> Image.Image:
    """A part of a photograph. turn: of every other photograph, so that two turns never show the same."""
    photos = _photos if turn is None else _photos[turn::2]
    photo = rng.choice(photos)
    longest = min(max(photo.size), round(_size_between(rng, *_SIDES)))
    shape = rng.uniform(0.6, 1.0)
    width, height = (longest, round(longest * shape)) if rng.random() < 0.7 else (round(longest * shape), longest)
    width, height = min(width, photo.width), min(height, photo.height)
    left, top = rng.randint(0, photo.width - width), rng.randint(0, photo.height - height)
    part = photo.crop((left, top, left + width, top + height)).convert("RGB")
    if rng.random() < 0.5:
        part = ImageOps.mirror(part)
    # Few photographs are at hand: other colours and tones make more of them.
    red, green, blue = part.split()
    part = Image.merge("RGB", rng.choice([(red, green, blue), (green, red, blue), (blue, green, red)]))
    power = rng.uniform(0.7, 1.4)
    return part.point([round(255 * (level / 255) ** power) for level in range(256)] * 3)


def _size_between(rng: random.Random, low: float, high: float) -> float:
    """Between two sizes, every ratio as likely."""
    return float(low * (high / low) ** rng.random())


def _saved(picture: Image.Image, rng: random.Random, suffix: str = "JPEG") -> bytes:
    out = io.BytesIO()
    if suffix == "JPEG" and picture.mode not in ("RGB", "L"):
        picture = picture.convert("RGB")
    picture.save(out, suffix, **({"quality": rng.choice(_QUALITIES)} if suffix == "JPEG" else {}))
    return out.getvalue()


def _file(data: bytes, what: str, own: str) -> _File:
    analysis = Analyser((), _MAX_PIXELS).analyse(data, facts=False, keypoints=True, extractors=frozenset())
    rgb = decode(data, _MAX_PIXELS).rgb
    assert analysis.keypoints is not None
    return _File(what, own, rgb, evidence_of(analysis.keypoints, (rgb.shape[1], rgb.shape[0])))


def _pairs(files: Sequence[_File], family: str) -> Iterator[Sample]:
    for place, a in enumerate(files):
        for b in files[:place]:
            yield _sample(a, b, family)


def _sample(a: _File, b: _File, family: str) -> Sample:
    verdict = verify_pair(a.evidence, b.evidence)
    what, same = f"{a.what}/{b.what}", a.own == b.own
    if verdict["kind"] == Kind.NONE:
        return Sample(family, what, same, None, None)
    looks = look_of_thumbs(a.evidence, b.evidence, verdict), look_closely(a.rgb, b.rgb, verdict)
    first, second = (inputs_of(look, verdict) for look in looks)
    return Sample(family, what, same, first, second)
