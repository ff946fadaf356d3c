"""The matching story: real pictures through verify_pair, and made-up verdicts through match."""

from __future__ import annotations

import functools
import random
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from modules import deduplication
from modules.matching import relations
from modules.matching.relations import Verdicts
from modules.records import VERDICT_DTYPE, Kind, LookLevel, Pictures
from tests.drawings import as_png, evidence, leaves, page
from tests.edits import EDITS

ACCEPTED = (Kind.COPY, Kind.PART)


def judge(a: bytes, b: bytes) -> Verdicts:
    return deduplication.verify_pair(evidence(a), evidence(b))


@functools.cache
def original() -> bytes:
    return as_png(leaves(1))


def edited(name: str) -> bytes:
    return EDITS[name].apply(leaves(1), 5)


COPIES = ["jpeg75", "jpeg30", "png", "webp", "smaller", "larger", "brightness", "contrast", "saturation"]
MORE_COPIES = ["blur", "sharpen", "grey", "crop5", "text", "border", "stretch", "quarter", "mirror"]


@pytest.mark.parametrize("name", COPIES + MORE_COPIES)
def test_an_edit_of_the_whole_picture_is_a_copy(name: str) -> None:
    verdict = judge(edited(name), original())
    assert Kind(int(verdict["kind"])) == Kind.COPY
    assert verdict["cover_a"] >= relations.HELD_COVER
    assert verdict["cover_b"] >= relations.HELD_COVER
    assert bool(verdict["mirrored"]) == (name == "mirror")


@pytest.mark.parametrize(("name", "area"), [("crop20", 0.8), ("crop50", 0.5), ("crop30", 0.3)])
def test_a_crop_is_a_part_of_what_it_was_cut_from(name: str, area: float) -> None:
    verdict = judge(edited(name), original())
    assert verdict["kind"] == Kind.PART
    assert verdict["cover_a"] > 0.97
    assert verdict["cover_b"] == pytest.approx(area, abs=0.04)
    assert verdict["scale"] == pytest.approx(1, abs=0.02)


@pytest.mark.parametrize("name", ["screenshot", "pasted", "caption"])
def test_a_picture_in_a_composition_is_embedded(name: str) -> None:
    verdict = judge(original(), edited(name))
    assert verdict["kind"] == Kind.EMBEDDED
    assert verdict["cover_a"] > 0.97
    assert verdict["cover_b"] < 0.85


def test_overlapping_crops_are_related() -> None:
    whole = leaves(1)
    left, right = whole.crop((0, 0, 320, 360)), whole.crop((160, 0, 480, 360))
    verdict = judge(as_png(left), as_png(right))
    assert verdict["kind"] == Kind.RELATED
    assert verdict["cover_a"] == pytest.approx(0.5, abs=0.05)


def test_scale_and_turn_are_those_of_the_edit() -> None:
    turned = leaves(1).resize((960, 720)).transpose(Image.Transpose.ROTATE_90)
    verdict = judge(original(), as_png(turned))
    assert verdict["kind"] == Kind.COPY
    assert verdict["scale"] == pytest.approx(2, abs=0.03)
    assert verdict["turn"] == pytest.approx(-90, abs=1)


@pytest.mark.parametrize("name", ["crop50", "quarter", "mirror", "stretch", "screenshot", "combined"])
def test_a_verdict_reads_the_same_from_both_sides(name: str) -> None:
    forth, back = judge(edited(name), original()), judge(original(), edited(name))
    swapped = relations.orient(back)
    assert forth["kind"] == swapped["kind"] != Kind.NONE
    for field, tolerance in (("cover_a", 0.02), ("cover_b", 0.02), ("scale", 0.03)):
        assert forth[field] == pytest.approx(swapped[field], abs=tolerance), field
    assert (forth["turn"] - swapped["turn"] + 180) % 360 == pytest.approx(180, abs=1)


def test_different_pictures_are_nothing_to_each_other() -> None:
    assert judge(original(), as_png(leaves(2)))["kind"] == Kind.NONE


@pytest.mark.parametrize("name", ["screenshot"])
def test_different_pictures_in_one_frame_are_nothing_to_each_other(name: str) -> None:
    framed = [EDITS[name].apply(leaves(seed), 5) for seed in (1, 2)]
    assert judge(*framed)["kind"] == Kind.NONE


def test_pages_of_different_text_are_nothing_to_each_other() -> None:
    assert judge(as_png(page(1)), as_png(page(2)))["kind"] == Kind.NONE
    assert judge(as_png(page(1)), EDITS["jpeg75"].apply(page(1), 1))["kind"] == Kind.COPY


@pytest.mark.parametrize(
    ("colour", "size", "kind"),
    [
        ("#f0f0f0", (300, 200), Kind.COPY),
        ("#f1f0ef", (600, 400), Kind.COPY),
        ("#ffffff", (300, 200), Kind.NONE),
        ("#f0f0e0", (300, 200), Kind.NONE),
        ("#f0f0f0", (200, 300), Kind.NONE),
    ],
)
def test_blank_pictures_join_only_in_one_colour_and_shape(colour: str, size: tuple[int, int], kind: Kind) -> None:
    blank, other = Image.new("RGB", (300, 200), "#f0f0f0"), Image.new("RGB", size, colour)
    assert judge(as_png(blank), as_png(other))["kind"] == kind


def pictures(quality: list[float]) -> Pictures:
    count = len(quality)
    numbers = np.arange(count)
    return Pictures(
        sha=np.zeros((count, 32), np.uint8),
        width=np.full(count, 100, np.int32),
        height=np.full(count, 100, np.int32),
        size=np.full(count, 1000, np.int64),
        quality=np.asarray(quality, np.float32),
        sharpness=np.ones(count, np.float32),
        exposure=np.ones(count, np.float32),
        noise=np.ones(count, np.float32),
        compression=np.ones(count, np.float32),
        content=np.ones(count, np.float32),
        texture=np.ones(count, np.float32),
        steepness=np.ones(count, np.float32),
        saved=np.ones(count, np.float32),
        earlier=np.ones(count, np.float32),
        chroma=np.ones(count, np.float32),
        described=np.ones(count, np.float32),
        damaged=np.zeros(count, np.bool_),
        indexed=np.zeros(count, np.bool_),
        told=np.zeros(count, np.float32),
        accompanied=np.zeros(count, np.bool_),
        phash=numbers.astype(np.uint64),
        rank=np.argsort(np.argsort(-np.asarray(quality), kind="stable")).astype(np.int32),
    )


class World:
    """Verdicts by a rule, candidates by a list; notes every pair that it is asked."""

    def __init__(self, count: int, verdicts: dict[tuple[int, int], np.ndarray], candidates: np.ndarray) -> None:
        self.count, self.verdicts, self.candidates = count, verdicts, candidates
        self.asked: list[tuple[int, int]] = []

    def propose(self, subset: np.ndarray) -> np.ndarray:
        return self.candidates[np.isin(self.candidates, subset).all(axis=1)]

    def verify(self, pairs: np.ndarray) -> np.ndarray:
        out = np.zeros(len(pairs), VERDICT_DTYPE)
        for row, (i, j) in enumerate(pairs.tolist()):
            assert i < j
            self.asked.append((i, j))
            if (i, j) in self.verdicts:
                out[row] = self.verdicts[i, j]
        return out


COPY = relations.verdict(Kind.COPY, cover_a=1, cover_b=1, agreement=1)


def test_a_chain_does_not_make_one_group() -> None:
    world = World(3, {(0, 1): COPY, (1, 2): COPY}, np.array([[0, 1], [1, 2]], np.int32))
    blurred = replace(pictures([9, 5, 8]), sharpness=np.array([1, 0.2, 1], np.float32))
    found = deduplication.match(blurred, [world.propose], world.verify, ACCEPTED)
    assert found.keeper.tolist() == [0, 0, 2]
    assert (0, 2) in world.asked  # the partner's keeper was asked before a second keeper was left alone


def test_a_part_joins_the_whole_even_if_the_part_is_better() -> None:
    part = relations.verdict(Kind.PART, cover_a=1, cover_b=0.5, agreement=1)
    world = World(2, {(0, 1): part}, np.array([[0, 1]], np.int32))
    found = deduplication.match(pictures([9, 5]), [world.propose], world.verify, ACCEPTED)
    assert found.keeper.tolist() == [1, 1]
    assert found.verdict["cover_a"][0] == 1
    only_copies = deduplication.match(pictures([9, 5]), [world.propose], world.verify, (Kind.COPY,))
    assert only_copies.keeper.tolist() == [0, 1]


@pytest.mark.parametrize(("any_resolution", "keeper"), [(False, [0, 1]), (True, [1, 1])])
def test_a_part_that_shows_more_detail_is_kept_unless_detail_does_not_count(
    any_resolution: bool, keeper: list[int]
) -> None:
    finer = relations.verdict(Kind.PART, cover_a=1, cover_b=0.5, scale=0.4, agreement=1)
    world = World(2, {(0, 1): finer}, np.array([[0, 1]], np.int32))
    found = deduplication.match(
        pictures([9, 5]), [world.propose], world.verify, ACCEPTED, any_resolution=any_resolution
    )
    assert found.keeper.tolist() == keeper


def test_the_rank_decides_whatever_the_quality() -> None:
    world = World(2, {(0, 1): COPY}, np.array([[0, 1]], np.int32))
    made = replace(pictures([9, 5]), rank=np.array([1, 0], np.int32))
    assert deduplication.match(made, [world.propose], world.verify, ACCEPTED).keeper.tolist() == [1, 1]


def test_a_composition_joins_its_picture_only_on_request_and_a_collage_never() -> None:
    def joined(share: float, accepted: tuple[Kind, ...]) -> list[int]:
        embedded = relations.verdict(Kind.EMBEDDED, cover_a=1, cover_b=share, agreement=1)
        world = World(2, {(0, 1): embedded}, np.array([[0, 1]], np.int32))
        found = deduplication.match(pictures([3, 9]), [world.propose], world.verify, accepted)
        return [int(keeper) for keeper in found.keeper]

    assert joined(0.7, ACCEPTED) == [0, 1]
    assert joined(0.7, (*ACCEPTED, Kind.EMBEDDED)) == [0, 0]
    assert joined(0.2, (*ACCEPTED, Kind.EMBEDDED)) == [0, 1]


def test_a_crop_joins_the_photograph_and_not_the_screenshot_of_it() -> None:
    # 0: crop, 1: photograph, 2: its screenshot, of higher resolution and so of better quality.
    verdicts = {
        (0, 1): relations.verdict(Kind.PART, cover_a=1, cover_b=0.7, agreement=1),
        (0, 2): relations.verdict(Kind.PART, cover_a=1, cover_b=0.4, agreement=1),
        (1, 2): relations.verdict(Kind.EMBEDDED, cover_a=1, cover_b=0.6, agreement=1),
    }
    world = World(3, verdicts, np.array([[0, 1], [0, 2], [1, 2]], np.int32))
    found = deduplication.match(pictures([4, 5, 9]), [world.propose], world.verify, ACCEPTED)
    assert found.keeper.tolist() == [1, 1, 2]


def test_a_thousand_copies_with_twenty_neighbours_each_make_one_group() -> None:
    count, known = 1000, 20
    rng = np.random.default_rng(3)
    drawn = np.stack([np.repeat(np.arange(count), known), rng.integers(0, count, count * known)], axis=1)
    drawn = np.unique(np.sort(drawn[drawn[:, 0] != drawn[:, 1]], axis=1), axis=0).astype(np.int32)
    everything = {(i, j): COPY for i in range(count) for j in range(i + 1, count)}
    world = World(count, everything, drawn)
    found = deduplication.match(pictures(rng.uniform(0, 100, count).tolist()), [world.propose], world.verify, ACCEPTED)
    assert len(found.keepers()) == 1
    assert len(world.asked) == len(set(world.asked))
    assert len(world.asked) < 2 * count * known


def test_no_pictures_and_no_candidates_are_no_groups() -> None:
    nothing = World(0, {}, np.zeros((0, 2), np.int32))
    assert len(deduplication.match(pictures([]), [nothing.propose], nothing.verify, ACCEPTED).keeper) == 0
    alone = World(2, {}, np.zeros((0, 2), np.int32))
    assert deduplication.match(pictures([1, 2]), [alone.propose], alone.verify, ACCEPTED).keeper.tolist() == [0, 1]


WorldOf = tuple[list[float], dict[tuple[int, int], Verdicts], list[tuple[int, int]]]
KINDS = [Kind.NONE, Kind.COPY, Kind.COPY, Kind.PART, Kind.EMBEDDED, Kind.RELATED]


@st.composite
def worlds(draw: st.DrawFn) -> WorldOf:
    count = draw(st.integers(2, 12))
    quality = draw(st.lists(st.sampled_from([10.0, 20.0, 30.0]), min_size=count, max_size=count))
    ends = [(i, j) for i in range(count) for j in range(i + 1, count)]
    verdicts = {}
    for pair in ends:
        covers = draw(st.tuples(st.sampled_from([0.4, 0.95]), st.sampled_from([0.4, 0.95])))
        kind, scale = draw(st.sampled_from(KINDS)), draw(st.sampled_from([0.4, 1.0, 2.0]))
        verdicts[pair] = relations.verdict(kind, cover_a=covers[0], cover_b=covers[1], scale=scale)
    return quality, verdicts, draw(st.lists(st.sampled_from(ends), unique=True))


@settings(max_examples=150, deadline=None)
@given(worlds(), st.randoms(use_true_random=False))
def test_every_duplicate_has_a_direct_accepted_verdict_with_its_keeper(world_of: WorldOf, rng: random.Random) -> None:
    quality, verdicts, candidates = world_of
    pairs = np.array(sorted(candidates), np.int32).reshape(-1, 2)
    world = World(len(quality), verdicts, pairs)
    found = deduplication.match(pictures(quality), [world.propose], world.verify, ACCEPTED)
    assert (found.keeper[found.keeper] == found.keeper).all()
    assert len(world.asked) == len(set(world.asked))
    for row, keeper in enumerate(found.keeper.tolist()):
        if keeper == row:
            assert found.verdict["kind"][row] == Kind.NONE
            continue
        direct = verdicts[min(row, keeper), max(row, keeper)]
        direct = direct if row < keeper else relations.orient(direct)
        assert relations.holds(direct[None], ACCEPTED)[0]
        assert found.verdict[row] == direct
    shuffled = World(len(quality), verdicts, np.array(rng.sample(pairs.tolist(), len(pairs)), np.int32).reshape(-1, 2))
    again = deduplication.match(pictures(quality), [shuffled.propose], shuffled.verify, ACCEPTED)
    assert again.keeper.tolist() == found.keeper.tolist()


class Eye:
    """A closer look that refuses some pairs; notes every pair that it is asked."""

    def __init__(self, refused: set[tuple[int, int]]) -> None:
        self.refused = refused
        self.asked: list[tuple[int, int]] = []

    def __call__(self, pairs: np.ndarray, verdicts: np.ndarray) -> np.ndarray:
        assert (pairs[:, 0] < pairs[:, 1]).all()
        assert (verdicts["kind"] != Kind.NONE).all()
        seen = verdicts.copy()
        seen["looked"] = LookLevel.PICTURES
        for row, pair in enumerate(map(tuple, pairs.tolist())):
            self.asked.append(pair)
            seen["kind"][row] = Kind.NONE if pair in self.refused else seen["kind"][row]
        return seen


def test_only_what_a_closer_look_confirms_is_joined_and_nothing_is_looked_at_twice() -> None:
    # All four resemble each other; 0 and 1 are copies, 2 and 3 are copies.
    everything = {(i, j): COPY for i in range(4) for j in range(i + 1, 4)}
    world = World(4, everything, np.array(sorted(everything), np.int32))
    eye = Eye({(0, 2), (0, 3), (1, 2), (1, 3)})
    found = deduplication.match(pictures([9, 8, 7, 6]), [world.propose], world.verify, ACCEPTED, look=eye)
    assert found.keeper.tolist() == [0, 0, 2, 2]
    assert len(eye.asked) == len(set(eye.asked))
    assert {(0, 1), (2, 3)} <= set(eye.asked)


@given(worlds(), st.randoms(use_true_random=False))
def test_every_joined_pair_was_looked_at_and_confirmed(made: WorldOf, rng: random.Random) -> None:
    quality, verdicts, candidates = made
    eye = Eye({pair for pair in verdicts if rng.random() < 0.5})
    world = World(len(quality), verdicts, np.array(candidates, np.int32).reshape(-1, 2))
    found = deduplication.match(pictures(quality), [world.propose], world.verify, ACCEPTED, look=eye)
    joined = {tuple(sorted((row, keeper))) for row, keeper in enumerate(found.keeper.tolist()) if row != keeper}
    assert joined <= set(eye.asked) - eye.refused
    assert len(eye.asked) == len(set(eye.asked))


def test_a_refused_picture_joins_another_keeper_or_stays_alone() -> None:
    # 2 resembles 0 and 1, which are nothing to each other; 3 resembles 0 alone.
    verdicts = {(0, 2): COPY, (1, 2): COPY, (0, 3): COPY}
    world = World(4, verdicts, np.array([[0, 1], [0, 2], [1, 2], [0, 3]], np.int32))
    eye = Eye({(0, 2), (0, 3)})
    found = deduplication.match(pictures([9, 8, 7, 6]), [world.propose], world.verify, ACCEPTED, look=eye)
    assert found.keeper.tolist() == [0, 1, 1, 3]
    assert eye.asked[:2] == [(0, 2), (0, 3)]
    assert set(eye.asked) == set(verdicts)


def test_pairs_that_join_nothing_are_not_looked_at() -> None:
    # 1 and 2 are copies as well, but both stand with 0.
    verdicts = {(0, 1): COPY, (0, 2): COPY, (1, 2): COPY, (0, 3): relations.verdict(Kind.RELATED)}
    world = World(4, verdicts, np.array(sorted(verdicts), np.int32))
    eye = Eye(set())
    found = deduplication.match(pictures([9, 8, 7, 6]), [world.propose], world.verify, ACCEPTED, look=eye)
    assert found.keeper.tolist() == [0, 0, 0, 3]
    assert sorted(eye.asked) == [(0, 1), (0, 2)]
    assert found.verdict["looked"].tolist() == [LookLevel.NONE, LookLevel.PICTURES, LookLevel.PICTURES, LookLevel.NONE]


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 12), st.randoms(use_true_random=False))
def test_groups_of_copies_do_not_depend_on_the_order_of_pictures(count: int, rng: random.Random) -> None:
    ends = [(i, j) for i in range(count) for j in range(i + 1, count)]
    copies, candidates, refused = ({pair for pair in ends if rng.random() < share} for share in (0.7, 0.5, 0.4))
    quality = rng.sample([10.0 * n for n in range(1, count + 1)], count)
    place = rng.sample(range(count), count)  # of each picture in the second order

    def keepers(place: list[int]) -> list[int]:
        """Of each picture the keeper, by their numbers in the first order, when they are numbered by their places."""

        def placed(pairs: set[tuple[int, int]]) -> set[tuple[int, int]]:
            return {(min(place[i], place[j]), max(place[i], place[j])) for i, j in pairs}

        world = World(
            count, dict.fromkeys(placed(copies), COPY), np.array([*placed(candidates)], np.int32).reshape(-1, 2)
        )
        sharp = pictures([quality[place.index(number)] for number in range(count)])
        found = deduplication.match(sharp, [world.propose], world.verify, ACCEPTED, look=Eye(placed(refused)))
        return [place.index(found.keeper[place[number]]) for number in range(count)]

    assert keepers(place) == keepers(list(range(count)))
