"""What parts two copies on their common ground, and which of several copies the others were made from."""

from __future__ import annotations

import functools
import io
import random
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

from modules.deduplication import match, verify_pair
from modules.matching import relations
from modules.matching.common_ground import PANEL, comparisons, standing, unsettled
from modules.matching.evidence import Evidence, evidence_of
from modules.matching.groups import assign
from modules.matching.ledger import Ledger
from modules.matching.relations import Verdicts, orient
from modules.quality.score import score
from modules.records import VERDICT_DTYPE, Kind, Margin, Pictures
from tests.drawings import analysed, leaves
from tests.edits import EDITS
from tests.judged import COPY, ledger
from tests.pictures import encode

ACCEPTED = (Kind.COPY, Kind.PART)
MEASURES = ("sharpness", "exposure", "contrast", "noise", "compression", "content")


@functools.cache
def photo(name: str) -> Image.Image:
    from skimage import data

    return Image.fromarray(np.asarray(getattr(data, name)(), np.uint8)).convert("RGB").resize((500, 400))


def jpeg(picture: Image.Image, quality: int = 90) -> bytes:
    return encode(picture, quality=quality)


def pictures(files: list[bytes]) -> tuple[Pictures, list[Evidence]]:
    """The columns of some files in their order, and what is compared of each."""
    found = [analysed(file) for file in files]
    facts = [one.facts for one in found if one.facts is not None]
    width, height = (np.array([getattr(f, side) for f in facts], np.int32) for side in ("width", "height"))
    columns = {name: np.array([getattr(f, name) for f in facts], np.float32) for name in MEASURES}
    quality = score(width, height, **columns)
    del columns["contrast"]
    for name in ("texture", "steepness", "saved", "earlier", "chroma", "described"):
        columns[name] = np.array([getattr(f, name) for f in facts], np.float32)
    columns["told"] = np.array([bool(f.taken) + bool(f.camera) + f.gps for f in facts], np.float32)
    count = len(files)
    rank = np.empty(count, np.int32)
    rank[np.argsort(-quality, kind="stable")] = np.arange(count, dtype=np.int32)
    zeros = np.zeros(count, np.int64)
    made = Pictures(
        sha=np.zeros((count, 32), np.uint8),
        width=width,
        height=height,
        size=zeros,
        quality=quality,
        **columns,
        damaged=np.array([f.damaged for f in facts], np.bool_),
        indexed=np.array([f.indexed for f in facts], np.bool_),
        accompanied=np.zeros(count, np.bool_),
        phash=zeros.astype(np.uint64),
        rank=rank,
    )
    evidence = [
        evidence_of(one.keypoints, (one.facts.width, one.facts.height))
        for one in found
        if one.keypoints is not None and one.facts is not None
    ]
    return made, evidence


def kept(files: list[bytes]) -> list[int]:
    """Keepers of the files, every pair of which may be asked for."""
    made, evidence = pictures(files)
    count = len(files)

    def all_pairs(rows: np.ndarray) -> np.ndarray:
        return np.array([(i, j) for i in rows for j in rows if i < j], np.int32).reshape(-1, 2)

    def verify(pairs: np.ndarray) -> Verdicts:
        return np.array([verify_pair(evidence[i], evidence[j]) for i, j in pairs], VERDICT_DTYPE)

    grouping = match(made, [all_pairs], verify, ACCEPTED)
    assert len(grouping.keeper) == count
    return sorted(set(grouping.keeper.tolist()))


def between(a: Image.Image, b: Image.Image) -> Verdicts:
    sides = [analysed(jpeg(picture, 95)) for picture in (a, b)]
    evidence = [
        evidence_of(one.keypoints, (one.facts.width, one.facts.height))
        for one in sides
        if one.keypoints is not None and one.facts is not None
    ]
    return verify_pair(*evidence)


def edited(name: str, picture: Image.Image, seed: int = 1) -> Image.Image:
    return EDITS[name].draw(picture, random.Random(seed))


def test_a_plain_copy_differs_in_nothing() -> None:
    verdict = between(leaves(1), leaves(1).resize((360, 270)))
    assert verdict["kind"] == Kind.COPY
    assert max(verdict["light"], verdict["colour"], verdict["bend"]) <= 2
    assert max(verdict["drawn_a"], verdict["drawn_b"]) <= 4
    assert min(verdict["area_a"], verdict["area_b"]) > 0.98
    assert verdict["margin_a"] == verdict["margin_b"] == Margin.NONE
    assert not verdict["grey_a"]
    assert not verdict["grey_b"]


@dataclass(frozen=True)
class Seen:
    """What must be seen where b is an edited a."""

    edit: Callable[[Image.Image], Image.Image]
    column: str
    least: float
    other: str | None = None


SEEN = {
    "brightness": Seen(lambda p: ImageEnhance.Brightness(p).enhance(0.7), "light", 12),
    "saturation": Seen(lambda p: ImageEnhance.Color(p).enhance(0.1), "colour", 6),
    "grey": Seen(lambda p: ImageOps.grayscale(p).convert("RGB"), "grey_b", 1, "grey_a"),
    "stretch": Seen(lambda p: p.resize((round(p.width * 1.3), p.height)), "bend", 20),
    "text": Seen(lambda p: edited("slogan", p), "drawn_b", 5, "drawn_a"),
    "sticker": Seen(lambda p: edited("sticker", p), "drawn_b", 10, "drawn_a"),
    "border": Seen(lambda p: ImageOps.expand(p, 40, "#2a4a7a"), "margin_b", Margin.BORDER, "margin_a"),
}


@pytest.mark.parametrize("name", SEEN)
@pytest.mark.parametrize("picture", ["chelsea", "astronaut"])
def test_an_edit_is_seen_on_the_side_that_was_edited(name: str, picture: str) -> None:
    seen = SEEN[name]
    verdict = between(photo(picture), seen.edit(photo(picture)))
    assert verdict[seen.column] >= seen.least
    if seen.other is not None:
        assert verdict[seen.other] < verdict[seen.column]
    back = orient(verdict)
    swapped = seen.column.replace("_b", "_a")
    assert back[swapped] == verdict[seen.column]


def test_what_a_crop_lacks_is_measured_exactly() -> None:
    whole = photo("coffee")
    verdict = between(whole, whole.crop((0, 0, 475, 400)))
    assert verdict["area_a"] == pytest.approx(0.95, abs=0.01)
    assert verdict["area_b"] == pytest.approx(1.0, abs=0.01)


def enlarged(picture: Image.Image) -> Image.Image:
    larger = picture.resize((round(picture.width * 1.8), round(picture.height * 1.8)), Image.Resampling.LANCZOS)
    return larger.filter(ImageFilter.UnsharpMask(3, 200))


WORSE: dict[str, Callable[[Image.Image], bytes]] = {
    "enlarged and sharpened": lambda p: jpeg(enlarged(p), 95),
    "blurred": lambda p: jpeg(p.filter(ImageFilter.GaussianBlur(1.5)), 95),
    "compressed": lambda p: jpeg(p, 40),
    "smaller": lambda p: jpeg(p.resize((300, 240)), 95),
    "cut": lambda p: jpeg(p.crop((12, 8, 492, 392)), 92),
    "captioned": lambda p: jpeg(edited("slogan", p), 92),
    "watermarked": lambda p: jpeg(edited("watermark", p), 92),
    "grey": lambda p: jpeg(ImageOps.grayscale(p).convert("RGB"), 92),
    "bordered": lambda p: jpeg(ImageOps.expand(p, 40, "white"), 92),
    "turned by 25 degrees": lambda p: jpeg(edited("rotate25", p), 92),
    "pixelated": lambda p: jpeg(edited("pixelate", p), 92),
}


@pytest.mark.parametrize("name", WORSE)
@pytest.mark.parametrize("picture", ["chelsea", "coffee"])
def test_the_original_is_kept_of_two(name: str, picture: str) -> None:
    original = photo(picture)
    assert kept([WORSE[name](original), jpeg(original, 94)]) == [1]


@pytest.mark.parametrize("picture", ["chelsea", "coffee", "astronaut"])
def test_the_original_is_kept_of_many(picture: str) -> None:
    original = photo(picture)
    rng = random.Random(picture)
    names = [name for name, edit in EDITS.items() if edit.level in ("easy", "medium") and name != "png"]
    for seed in range(3):
        copies = [EDITS[name].apply(original, seed) for name in rng.sample(names, 5)]
        assert 2 in kept([*copies[:2], jpeg(original, 95), *copies[2:]])


def test_the_one_in_the_middle_is_the_original_whatever_its_score() -> None:
    # Three edits of one picture, all saved better than it is: none is like another one.
    original = photo("coffee")
    files = [
        jpeg(ImageEnhance.Contrast(original).enhance(1.25), 95),
        jpeg(ImageEnhance.Brightness(original).enhance(0.8), 95),
        jpeg(ImageOps.mirror(original), 95),
        jpeg(original, 92),
    ]
    assert kept(files) == [3]


def test_a_large_copy_is_kept_before_many_small_ones() -> None:
    large = photo("coffee")
    small = [jpeg(large.resize((160 + 8 * n, 128 + 6 * n)), 85) for n in range(5)]
    assert kept([*small, jpeg(large, 90)]) == [5]


def uniform(count: int) -> Pictures:
    ones = np.ones(count, np.float32)
    numbers = np.arange(count)
    sides = np.full(count, 100, np.int32)
    return Pictures(
        sha=np.zeros((count, 32), np.uint8),
        width=sides,
        height=sides,
        size=numbers.astype(np.int64),
        quality=ones,
        sharpness=ones,
        exposure=ones,
        noise=ones,
        compression=ones,
        content=ones,
        texture=ones,
        steepness=ones,
        saved=ones,
        earlier=ones,
        chroma=ones,
        described=ones,
        damaged=np.zeros(count, np.bool_),
        indexed=np.zeros(count, np.bool_),
        told=np.zeros(count, np.float32),
        accompanied=np.zeros(count, np.bool_),
        phash=numbers.astype(np.uint64),
        rank=numbers[::-1].astype(np.int32),
    )


NONE = np.zeros((), VERDICT_DTYPE)


def test_without_copies_the_rank_stays_as_it_is() -> None:
    made = uniform(4)
    assert standing(made, Ledger(4)).tolist() == made.rank.tolist()
    related = relations.verdict(Kind.RELATED, cover_a=0.5, cover_b=0.5, agreement=1)
    assert standing(made, ledger(4, {(0, 1): related})).tolist() == made.rank.tolist()
    assert standing(made, ledger(4, {(0, 1): COPY, (2, 3): COPY})).tolist() == made.rank.tolist()


def test_every_picture_has_a_place_of_its_own() -> None:
    drawn = COPY.copy()
    drawn["drawn_a"] = 50
    found = standing(uniform(5), ledger(5, {(0, 1): COPY, (1, 2): drawn, (3, 4): drawn}))
    assert sorted(found.tolist()) == list(range(5))
    assert found[2] < found[1]
    assert found[4] < found[3]


def test_the_best_of_a_group_are_all_compared_and_no_more() -> None:
    count = 60
    verdicts = {(0, j): COPY for j in range(1, count)}
    made = ledger(count, verdicts)
    asked = comparisons(assign(np.arange(count, dtype=np.int32), made, ACCEPTED), made)
    assert len(asked) == (PANEL - 1) * (PANEL - 2) // 2
    assert (asked < PANEL).all()
    made.add(asked, np.array([COPY] * len(asked), VERDICT_DTYPE))
    assert len(comparisons(assign(np.arange(count, dtype=np.int32), made, ACCEPTED), made)) == 0


def test_families_of_pictures_are_bridged_before_they_are_compared_and_wait_for_no_other_one() -> None:
    joined = [(0, 1), (0, 2), (3, 4), (3, 5), (5, 6)]
    made, rank = ledger(7, {pair: COPY for pair in joined}), np.arange(7, dtype=np.int32)
    # 6 matches 5, whose keeper it was not compared with; 4 and 5 wait for that, 1 and 2 have nothing to do with it.
    assert unsettled(assign(rank, made, ACCEPTED), made, ACCEPTED).tolist() == [[1, 2], [3, 6]]
    made.add(np.array([[1, 2], [3, 6]], np.int32), np.array([COPY, NONE], VERDICT_DTYPE))
    assert unsettled(assign(rank, made, ACCEPTED), made, ACCEPTED).tolist() == [[4, 5]]
    made.add(np.array([[4, 5]], np.int32), np.array([COPY], VERDICT_DTYPE))
    assert unsettled(assign(rank, made, ACCEPTED), made, ACCEPTED).tolist() == []


def test_nothing_is_compared_in_groups_of_one() -> None:
    made = Ledger(3)
    assert len(comparisons(assign(np.arange(3, dtype=np.int32), made, ACCEPTED), made)) == 0


def test_png_of_a_jpeg_is_not_kept_for_being_a_png() -> None:
    file = jpeg(photo("chelsea"), 92)
    out = io.BytesIO()
    Image.open(io.BytesIO(file)).save(out, "PNG")
    assert kept([out.getvalue(), file]) == [1]


def test_drawing_lines_on_a_copy_does_not_make_it_the_sharper_one() -> None:
    original = photo("coffee")
    lined = original.copy()
    pen = ImageDraw.Draw(lined)
    for y in range(20, 400, 50):
        pen.rectangle((0, y, 500, y + 6), fill="#dddddd")
    assert kept([jpeg(lined, 95), jpeg(original, 92)]) == [1]


def test_plain_corners_beside_a_turned_picture_are_nothing_that_the_other_one_lacks() -> None:
    turned = COPY.copy()
    turned["turn"], turned["margin_b"], turned["area_b"] = 25.0, Margin.PLAIN, 0.56
    made = uniform(2)
    assert standing(made, ledger(2, {(0, 1): COPY})).tolist() == [1, 0]
    assert standing(made, ledger(2, {(0, 1): turned})).tolist() == [0, 1]


@pytest.mark.parametrize("edit", ["mirror", "flip", "quarter", "saturation", "smaller"])
@pytest.mark.parametrize("name", ["astronaut", "coffee", "rocket"])
def test_colours_that_were_halved_tell_the_copy(name: str, edit: str) -> None:
    original = encode(photo(name), quality=90, subsampling=0)
    with Image.open(io.BytesIO(original)) as opened:
        copy = jpeg(edited(edit, opened.convert("RGB")), 95)
    assert kept([copy, original]) == [1]


@pytest.mark.parametrize(("first", "second"), [(60, 75), (75, 90), (80, 92)])
@pytest.mark.parametrize("name", ["astronaut", "coffee", "rocket"])
def test_a_jpeg_that_was_saved_again_less_strongly_is_the_copy(name: str, first: int, second: int) -> None:
    original = jpeg(photo(name), first)
    with Image.open(io.BytesIO(original)) as opened:
        again = jpeg(opened.convert("RGB"), second)
    assert kept([again, original]) == [1]


@pytest.mark.parametrize("quality", [70, 90])
def test_a_lossless_plain_picture_is_kept_before_its_jpeg(quality: int) -> None:
    wall = leaves(3).resize((1600, 1200), Image.Resampling.BICUBIC).crop((500, 400, 1000, 800)).convert("L")
    grain = np.random.default_rng(2).normal(0, 3, (400, 500))
    picture = Image.fromarray(np.clip(np.asarray(wall) + grain, 0, 255).astype(np.uint8)).convert("RGB")
    assert kept([jpeg(picture, quality), encode(picture, "PNG")]) == [1]


def test_of_equal_copies_the_file_that_says_more_of_itself_is_kept() -> None:
    original = encode(photo("coffee"), quality=75, dpi=(300, 300), comment=b"a cup")
    with Image.open(io.BytesIO(original)) as opened:
        again = jpeg(Image.fromarray(np.asarray(opened)), 75)
    assert kept([again, original]) == [1]
    assert kept([original, again]) == [0]
