"""What files hold besides their first picture decides as much as that one does."""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, TiffImagePlugin

from modules.feature_extraction import Analyser
from modules.features.sequences import unpacked
from modules.matching.evidence import Evidence, evidence_of
from modules.matching.verdicts import verify_pair
from modules.records import Effort, Grade, Kind
from tests.pictures import draw, encode

SIZE = (240, 180)
TIMED = ("GIF", "WEBP", "PNG", "AVIF")
Frames = list[Image.Image]


def evidence(data: bytes, effort: Effort = "balanced") -> Evidence:
    found = Analyser((), 10**7, effort).analyse(data, facts=True, keypoints=True, extractors=frozenset())
    assert found.facts is not None
    assert found.keypoints is not None
    return evidence_of(found.keypoints, (found.facts.width, found.facts.height))


def kind(one: bytes, other: bytes, effort: Effort = "balanced") -> Kind:
    """Of the verdict at usual strictness, which is the same both ways."""
    a, b = evidence(one, effort), evidence(other, effort)
    kinds = {
        Kind(int(found["kind"])) if found["grade"] >= Grade.NORMAL else Kind.NONE
        for found in (verify_pair(a, b), verify_pair(b, a))
    }
    assert len(kinds) == 1
    return kinds.pop()


def several(frames: Frames, name: str, **options: Any) -> bytes:
    out = io.BytesIO()
    frames[0].save(out, name, save_all=True, append_images=frames[1:], **options)
    return out.getvalue()


def story(*seeds: int) -> Frames:
    return [draw(seed, SIZE) for seed in seeds]


def told_apart(frames: Frames) -> Frames:
    """The same, none of which a format joins with the one before."""
    marked = [frame.copy() for frame in frames]
    for number, frame in enumerate(marked):
        ImageDraw.Draw(frame).rectangle((0, 0, 3, 3), (255 * (number % 2), 0, 0))
    return marked


def halved(frames: Frames) -> Frames:
    return [frame.resize((SIZE[0] // 2, SIZE[1] // 2), Image.Resampling.LANCZOS) for frame in frames]


@pytest.mark.parametrize("name", TIMED)
def test_animations_are_the_same_where_they_are_over_all_their_time(name: str) -> None:
    told = several(story(1, 2, 3), "GIF", duration=[200, 300, 400])
    options = {} if name in ("GIF", "PNG") else {"quality": 60}
    assert kind(told, several(halved(story(1, 2, 3)), name, duration=[200, 300, 400], **options)) == Kind.COPY
    for other in (story(1, 2, 4), story(1, 4, 3), story(1, 3, 2), story(1, 2)):
        lengths = [200, 300, 400][: len(other)]
        assert kind(told, several(other, name, duration=lengths, **options)) == Kind.NONE


@pytest.mark.parametrize("name", [*TIMED, "TIFF"])
@pytest.mark.parametrize("effort", ["fast", "balanced", "thorough"])
def test_a_still_picture_is_no_copy_of_what_begins_with_it(name: str, effort: Effort) -> None:
    told = several(story(1, 2, 3), name)
    assert kind(encode(draw(1, SIZE), quality=95), told, effort) == Kind.NONE
    assert kind(told, told, effort) == Kind.COPY


def test_frames_that_are_alike_may_be_one() -> None:
    one, two = story(1, 2)
    apart = several(told_apart([one, one, one, two, two]), "WEBP", duration=100, quality=90)
    joined = several([one, two], "GIF", duration=[300, 200])
    first, second = evidence(apart).frames, evidence(joined).frames
    assert first is not None
    assert second is not None
    assert (first.count, second.count) == (5, 2)
    assert kind(apart, joined) == Kind.COPY


def test_animations_are_laid_on_each_other_as_their_first_pictures_are() -> None:
    told = several(story(1, 2, 3), "GIF")
    mirrored = [frame.transpose(Image.Transpose.FLIP_LEFT_RIGHT) for frame in story(1, 2, 3)]
    assert kind(told, several(mirrored, "WEBP", quality=80)) == Kind.COPY
    inner = [frame.crop((40, 30, 220, 170)) for frame in story(1, 2, 3)]
    assert kind(told, several(inner, "WEBP", quality=80)) == Kind.PART
    assert kind(told, several([*inner[:2], draw(4, (180, 140))], "WEBP", quality=80)) == Kind.NONE
    brighter = [ImageEnhance.Brightness(frame).enhance(1.1) for frame in story(1, 2, 3)]
    assert kind(told, several(brighter, "WEBP", quality=80)) == Kind.COPY
    titled = story(1, 2, 3)
    for frame in titled:
        ImageDraw.Draw(frame).rectangle((0, 160, 240, 180), "white")
    assert kind(told, several(titled, "WEBP", quality=80)) == Kind.COPY


def test_a_short_scene_in_a_long_animation_is_seen() -> None:
    long, cut = (
        several(told_apart(story(*([1] * 38), *scene, *([3] * 39))), "WEBP", duration=40, quality=80)
        for scene in ([2, 2, 2], [1, 3, 3])
    )
    half = several(halved(told_apart(story(*([1] * 38), 2, 2, 2, *([3] * 39)))), "GIF", duration=40)
    assert kind(long, half) == Kind.COPY
    assert kind(cut, half) == kind(long, cut) == Kind.NONE


def page(seed: int, size: tuple[int, int] = (620, 877)) -> Image.Image:
    """Lines of words at places that all pages share."""
    random = np.random.default_rng(seed)
    sheet = Image.new("L", size, "white")
    pen = ImageDraw.Draw(sheet)
    for y in range(60, size[1] - 60, 20):
        words = ("".join(random.choice(list("abcdefghijklmnop"), 6)) for _ in range(11))
        pen.text((50, y), " ".join(words), "black", font_size=13)
    return sheet


def cover() -> Image.Image:
    sheet = Image.new("L", (620, 877), "white")
    sheet.paste(draw(7, (400, 300)).convert("L"), (100, 200))
    return sheet


def test_documents_are_compared_by_their_pages() -> None:
    document = several([cover(), page(1), page(2)], "TIFF", compression="tiff_lzw")
    half = [sheet.resize((310, 438), Image.Resampling.LANCZOS) for sheet in (cover(), page(1), page(2))]
    assert kind(document, several(half, "TIFF")) == Kind.COPY
    for others in ([page(1), page(3)], [page(2), page(1)], [page(1)], [page(1), page(2), page(2)]):
        assert kind(document, several([cover(), *others], "TIFF", compression="tiff_lzw")) == Kind.NONE


def tiff_with(second: Image.Image, **tags: int) -> bytes:
    """A TIFF file of a picture and a second page with tags of its own."""
    out = io.BytesIO()
    with TiffImagePlugin.AppendingTiffWriter(out) as writer:
        draw(1, SIZE).save(writer, "TIFF")
        writer.newFrame()
        told = TiffImagePlugin.ImageFileDirectory_v2()
        for tag, value in tags.items():
            told[int(tag[1:])] = value
        second.save(writer, "TIFF", tiffinfo=told)
        writer.newFrame()
    return out.getvalue()


def test_reduced_pages_and_masks_are_no_pages() -> None:
    still = encode(draw(1, SIZE), "PNG")
    small = draw(1, SIZE).resize((60, 45))
    for tags in ({"t254": 1}, {"t254": 4}, {"t255": 2}):
        assert kind(still, tiff_with(small, **tags)) == Kind.COPY
    assert kind(still, tiff_with(draw(2, SIZE))) == Kind.NONE
    assert kind(still, tiff_with(draw(2, SIZE), t254=2)) == Kind.NONE  # a page of several, it says


def test_a_second_view_counts_and_a_gain_map_does_not() -> None:
    still = encode(draw(1, SIZE), quality=95)
    stereo = several(story(1, 2), "MPO", quality=95)
    assert kind(still, stereo) == Kind.NONE
    assert kind(stereo, several(halved(story(1, 2)), "MPO", quality=90)) == Kind.COPY
    assert kind(stereo, several(story(1, 3), "MPO", quality=95)) == Kind.NONE
    gain = draw(1, SIZE).convert("L").resize((120, 90))
    assert kind(still, several([draw(1, SIZE), gain], "MPO", quality=95)) == Kind.COPY
    marked = draw(1, SIZE).convert("L")
    marked.encoderinfo = {}
    told = b'<x:xmpmeta xmlns:x="adobe:ns:meta/" hdrgm:Version="1.0"/>'
    whole = several([draw(1, SIZE), marked], "MPO", quality=95)
    second = whole.index(b"\xff\xd8\xff", 4)
    assert kind(still, whole) == Kind.NONE
    segment = b"\xff\xfe" + (len(told) + 2).to_bytes(2, "big") + told
    assert kind(still, whole[: second + 2] + segment + whole[second + 2 :]) == Kind.COPY
    assert kind(still, whole[:second]) == Kind.COPY  # what says it has two, and lost one


def test_images_of_a_heic_file() -> None:
    still = encode(draw(1, SIZE), quality=95)
    collection = several(story(1, 2), "HEIF", quality=90)
    assert kind(still, collection) == Kind.NONE
    assert kind(collection, several(halved(story(1, 2)), "HEIF", quality=80)) == Kind.COPY
    assert kind(collection, several(story(1, 3), "HEIF", quality=90)) == Kind.NONE
    out = io.BytesIO()
    draw(1, SIZE).save(out, "HEIF", quality=90, thumbnails=[64])
    assert kind(still, out.getvalue()) == Kind.COPY
    preview = draw(1, SIZE).resize((80, 60))
    assert kind(still, several([draw(1, SIZE), preview], "HEIF", quality=90)) == Kind.COPY
    track = (16).to_bytes(4, "big") + b"moov" + (8).to_bytes(4, "big") + b"free"
    assert kind(still, out.getvalue() + track) == Kind.NONE


def test_what_is_too_much_to_look_at_is_like_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    told = several(story(1, 2, 3), "GIF")
    monkeypatch.setattr("modules.features.sequences.MOST_PIXELS", 3 * SIZE[0] * SIZE[1] - 1)
    assert kind(told, told) == Kind.NONE
    monkeypatch.undo()
    monkeypatch.setattr("modules.features.sequences.MOST_FRAMES", 2)
    assert kind(told, told) == Kind.NONE


def test_a_later_frame_of_a_gif_cannot_claim_more_than_any_picture_may() -> None:
    told = bytearray(several(story(1, 2), "GIF"))
    frame = told.rindex(b"\x2c\0\0\0\0" + SIZE[0].to_bytes(2, "little"))
    told[frame + 5 : frame + 9] = b"\xff" * 4
    frames = evidence(bytes(told)).frames
    assert frames is not None
    assert (frames.count, frames.planes) == (2, None)


@pytest.mark.parametrize("name", ["GIF", "PNG"])
def test_what_is_broken_behind_the_first_frame_ends_it(name: str) -> None:
    data = several(story(1, 2, 3, 4), name)
    found = Analyser((), 10**7).analyse(data[: len(data) * 5 // 8], facts=False, keypoints=True, extractors=frozenset())
    assert found.keypoints is not None
    frames = unpacked(found.keypoints.frames)
    assert frames is None or frames.planes is not None
    assert kind(data, data) == Kind.COPY
    assert frames is None or frames.count < 4


def drawing(seed: int, colour: str | tuple[int, int, int]) -> Image.Image:
    """Strokes of one colour on nothing."""
    random = np.random.default_rng(seed)
    sheet = Image.new("RGBA", (400, 400), (255, 255, 255, 0))
    pen = ImageDraw.Draw(sheet)
    for _ in range(25):
        pen.line([tuple(random.integers(0, 400, 2)) for _ in range(2)], colour, width=5)
    for _ in range(8):
        x, y, size = (int(number) for number in random.integers(30, 300, 3))
        pen.ellipse((x, y, x + size // 2, y + size // 2), outline=colour, width=6)
    return sheet


def flat(picture: Image.Image, ground: str) -> bytes:
    below = Image.new("RGBA", picture.size, ground)
    below.alpha_composite(picture)
    return encode(below.convert("RGB"), quality=92)


@pytest.mark.parametrize("colour", ["white", "black", "gray", "firebrick"])
@pytest.mark.parametrize("name", ["PNG", "WEBP", "GIF"])
def test_drawings_on_nothing_are_told_apart_and_their_copies_found(name: str, colour: str) -> None:
    one = encode(drawing(1, colour), "PNG")
    small = drawing(1, colour).resize((300, 300), Image.Resampling.LANCZOS)
    assert kind(one, encode(small, name, quality=80)) == Kind.COPY
    assert kind(one, encode(drawing(2, colour), name, quality=80)) == Kind.NONE


@pytest.mark.parametrize(("colour", "ground"), [("white", "black"), ("black", "white"), ("firebrick", "white")])
def test_a_drawing_on_nothing_is_found_on_the_ground_on_which_it_is_seen(colour: str, ground: str) -> None:
    one = encode(drawing(1, colour), "PNG")
    assert kind(one, flat(drawing(1, colour), ground)) == Kind.COPY
    assert kind(one, flat(drawing(2, colour), ground)) == Kind.NONE


def test_opacity_is_compared_where_the_colours_agree() -> None:
    whole = np.asarray(draw(3, (300, 300)))
    y, x = np.mgrid[0:300, 0:300]
    holes = [np.hypot(x - cx, y - cy) > 70 for cx, cy in ((90, 90), (210, 210))]
    one, other = (Image.fromarray(np.dstack([whole, np.where(hole, 255, 0).astype(np.uint8)])) for hole in holes)
    assert kind(encode(one, "PNG"), encode(one.resize((200, 200)), "WEBP", quality=80)) == Kind.COPY
    assert kind(encode(one, "PNG"), encode(other, "PNG")) == Kind.NONE
    opaque = Image.fromarray(np.dstack([whole, np.full((300, 300), 255, np.uint8)]))
    assert evidence(encode(opaque, "PNG")).alpha is None
    assert kind(encode(opaque, "PNG"), encode(opaque.convert("RGB"), "JPEG")) == Kind.COPY
    turned = one.transpose(Image.Transpose.ROTATE_90)
    assert kind(encode(one, "PNG"), encode(turned, "PNG")) == Kind.COPY


def test_opacity_fits_the_thumbnail() -> None:
    picture = evidence(encode(drawing(1, "black").crop((0, 0, 400, 250)), "PNG"))
    assert picture.alpha is not None
    assert picture.alpha.shape == picture.grey.shape
    # Black on white: what is opaque is dark.
    assert cv2.mean(picture.grey + picture.alpha.astype(np.float32))[0] == pytest.approx(255, abs=4)
