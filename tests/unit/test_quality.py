"""The quality score, its measures, and colour."""

from __future__ import annotations

import io
import warnings

import cv2
import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_sample_images

from modules.feature_extraction import Analyser
from modules.features.decode import DecodedHeader, decode
from modules.quality.chroma import HALVED, chroma
from modules.quality.colour import correlation, dominant_colours, hsv_histogram, mean_correlation, palette
from modules.quality.compression import compression, earlier, earlier_quality, jpeg_quality, saved
from modules.quality.measures import (
    content,
    contrast,
    edges,
    exposure,
    fineness,
    noise,
    noise_level,
    sharpness,
    steepness,
)
from modules.quality.score import score
from modules.records import UInt8Array

MEASURES = ("sharpness", "exposure", "contrast", "noise", "compression", "content")
NAMES = ["china", "flower", "astronaut", "coffee", "chelsea", "rocket"]


def photo(name: str) -> UInt8Array:
    from skimage import data

    if name in NAMES[:2]:
        return np.asarray(load_sample_images().images[NAMES.index(name)], np.uint8)
    return np.asarray(getattr(data, name)(), np.uint8)


def encoded(picture: UInt8Array, quality: int = 92, subsampling: int = 2) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(stream, "JPEG", quality=quality, subsampling=subsampling)
    return stream.getvalue()


def rated(data: bytes) -> float:
    facts = Analyser((), 10**8).analyse(data, facts=True, keypoints=False, extractors=frozenset()).facts
    assert facts is not None
    width, height = np.array([[facts.width], [facts.height]], np.int32)
    columns = {name: np.array([getattr(facts, name)], np.float32) for name in MEASURES}
    return float(score(width, height, **columns)[0])


def as_png(picture: UInt8Array) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(stream, "PNG")
    return stream.getvalue()


def recompressed(picture: UInt8Array, quality: int) -> UInt8Array:
    return np.asarray(Image.open(io.BytesIO(encoded(picture, quality))).convert("RGB"), np.uint8)


def noisy(picture: UInt8Array, sigma: float) -> UInt8Array:
    grain = np.random.default_rng(1).normal(0, sigma, picture.shape)
    return np.asarray(np.clip(np.rint(picture + grain), 0, 255), np.uint8)


def grey_of(picture: UInt8Array) -> UInt8Array:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)


@pytest.mark.parametrize("tone", [0, 255, 90])
@pytest.mark.parametrize("name", NAMES)
def test_plain_borders_and_corners_are_no_content(name: str, tone: int) -> None:
    picture = photo(name)
    assert content(grey_of(picture)) >= 0.98
    framed = cv2.copyMakeBorder(picture, 60, 60, 60, 60, cv2.BORDER_CONSTANT, value=(tone,) * 3)
    shown = picture.size / framed.size
    assert content(grey_of(framed)) == pytest.approx(shown, abs=0.03)
    height, width = picture.shape[:2]
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), 45, 0.5)
    turned = cv2.warpAffine(picture, turn, (width, height), borderMode=cv2.BORDER_CONSTANT, borderValue=(tone,) * 3)
    assert content(grey_of(turned)) < 0.75
    assert rated(as_png(framed)) < rated(as_png(picture)) + 1.5


@pytest.mark.parametrize("name", NAMES)
def test_worse_copies_score_lower(name: str) -> None:
    picture = photo(name)
    best = rated(encoded(picture))
    half = cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    slightly = cv2.resize(picture, None, fx=0.85, fy=0.85, interpolation=cv2.INTER_AREA)
    copies = {
        "jpeg 70": rated(encoded(picture, 70)),
        "jpeg 30": rated(encoded(picture, 30)),
        "half": rated(encoded(half)),
        "0.85": rated(encoded(slightly)),
        "blurred": rated(encoded(cv2.GaussianBlur(picture, (0, 0), 2))),
        "noisy": rated(encoded(noisy(picture, 14))),
        "jpeg 40, then 95": rated(encoded(recompressed(picture, 40), 95)),
        "jpeg 40, then png": rated(as_png(recompressed(picture, 40))),
    }
    assert {edit: value for edit, value in copies.items() if value >= best} == {}
    assert copies["jpeg 30"] < copies["jpeg 70"]


def test_resolution_counts_most() -> None:
    high = np.ones(1, np.float32)
    bad = dict.fromkeys(MEASURES, np.zeros(1, np.float32)) | {"content": high}
    large = score(np.array([4000], np.int32), np.array([3000], np.int32), **bad)
    small = score(np.array([640], np.int32), np.array([480], np.int32), **bad | {"noise": high})
    assert large.dtype == np.float32
    assert large[0] > small[0]
    assert 0 <= small[0] <= large[0] <= 100


@pytest.mark.parametrize("quality", [10, 30, 50, 75, 90, 95, 100])
def test_jpeg_quality_is_read_from_the_tables(quality: int) -> None:
    table = decode(encoded(photo("coffee"), quality), 10**8).header.quantisation
    assert table is not None
    assert jpeg_quality(table) == quality


def test_dominant_colours() -> None:
    stripes = np.repeat(np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8), 20, axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert dominant_colours(np.full((40, 50, 3), 7, np.uint8)) == 1
        assert dominant_colours(np.repeat(stripes[:, None], 60, axis=1)) in (3, 4, 5)
        half = np.zeros((32, 32, 3), np.uint8)
        half[16:] = 255
        assert dominant_colours(half) == 2
    assert dominant_colours(photo("coffee")) == dominant_colours(photo("coffee"))


def test_histogram_correlation_is_opencvs() -> None:
    hists = [hsv_histogram(photo(name)) for name in NAMES]
    assert all(len(hist) == 128 for hist in hists)
    shares = [((np.frombuffer(h, np.uint8) / 255.0) ** 2).astype(np.float32) for h in hists]
    for i, j in [(0, 1), (2, 3), (4, 4)]:
        expected = cv2.compareHist(shares[i], shares[j], cv2.HISTCMP_CORREL)
        assert correlation(hists[i], hists[j]) == pytest.approx(expected, abs=1e-5)
    rows = np.stack([np.frombuffer(h, np.uint8) for h in hists])
    pairs = np.array([[correlation(a, b) for b in hists] for a in hists])
    expected_means = (pairs.sum(axis=1) - np.diag(pairs)) / (len(hists) - 1)
    np.testing.assert_allclose(mean_correlation(rows), expected_means, atol=1e-5)
    assert mean_correlation(rows[:1]).tolist() == [1.0]


def test_a_flat_histogram_correlates_with_everything() -> None:
    flat, other = bytes([23] * 128), hsv_histogram(photo("rocket"))
    assert correlation(flat, other) == 1.0
    rows = np.stack([np.frombuffer(h, np.uint8) for h in (flat, other)])
    assert mean_correlation(rows).tolist() == [1.0, 1.0]


@pytest.mark.parametrize("name", ["china", "flower", "coffee", "rocket"])
def test_an_enlarged_copy_scores_lower(name: str) -> None:
    picture = cv2.resize(photo(name), None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)
    best = rated(encoded(picture))
    for way in (cv2.INTER_CUBIC, cv2.INTER_LANCZOS4, cv2.INTER_LINEAR):
        larger = cv2.resize(picture, None, fx=1.5, fy=1.5, interpolation=way)
        assert rated(encoded(larger)) < best


@pytest.mark.parametrize("name", ["china", "flower", "astronaut", "coffee", "chelsea"])
def test_a_copy_without_colour_scores_lower(name: str) -> None:
    picture = photo(name)
    grey = np.repeat(grey_of(picture)[:, :, None], 3, axis=2)
    assert rated(as_png(grey)) < rated(as_png(picture))
    assert contrast(grey) < contrast(picture)


@pytest.mark.parametrize("quality", [20, 40, 60, 75, 85])
@pytest.mark.parametrize("name", ["china", "astronaut", "coffee"])
def test_earlier_compression_shows_through(name: str, quality: int) -> None:
    once = recompressed(photo(name), quality)
    assert earlier_quality(grey_of(once)) == pytest.approx(quality, abs=3)
    assert earlier_quality(grey_of(recompressed(once, 95))) == pytest.approx(quality, abs=4)


@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea"])
def test_pictures_without_earlier_compression_show_none(name: str) -> None:
    picture = photo(name)
    small = cv2.resize(recompressed(picture, 40), None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA)
    for pixels in (picture, noisy(picture, 5), small, picture[3:, 5:]):
        assert earlier_quality(grey_of(np.ascontiguousarray(pixels))) == 100


def test_noise_is_measured_and_no_texture_is() -> None:
    flat = np.full((256, 256, 3), 128, np.uint8)
    for sigma in (2.0, 5.0, 12.0):
        grey = np.asarray(np.rint(128 + np.random.default_rng(2).normal(0, sigma, (256, 256))), np.uint8)
        assert noise_level(grey) == pytest.approx(sigma, rel=0.2)
        assert noise_level(grey_of(noisy(photo("astronaut"), sigma))) > 0.4 * sigma
    ramp = np.tile(np.arange(256, dtype=np.uint8), (256, 1))
    assert noise_level(grey_of(flat)) == noise_level(ramp) == 0
    assert noise(0) == 1 > noise(3) > noise(10) > 0


def test_noise_is_not_taken_for_sharpness() -> None:
    picture = cv2.GaussianBlur(photo("coffee"), (0, 0), 2)
    blurred, grainy = grey_of(picture), grey_of(noisy(picture, 8))
    assert edges(steepness(grainy, noise_level(grainy))) < edges(steepness(grainy, 0)) - 0.1
    assert fineness(blurred) < 0.2


STRANGE = {
    "a pixel": np.zeros((1, 1), np.uint8),
    "a line": np.arange(256, dtype=np.uint8)[None],
    "a column": np.arange(256, dtype=np.uint8)[:, None].repeat(3, axis=1),
    "black": np.zeros((200, 300), np.uint8),
    "white": np.full((512, 512), 255, np.uint8),
    "a chequerboard": np.asarray(np.indices((300, 300)).sum(axis=0) % 2 * 255, np.uint8),
    "grain": np.random.default_rng(3).integers(0, 256, (400, 400), np.uint8),
}


@pytest.mark.parametrize("name", STRANGE)
def test_measures_stay_in_their_range(name: str) -> None:
    grey = STRANGE[name]
    rgb = np.repeat(grey[:, :, None], 3, axis=2)
    sigma = noise_level(grey)
    assert sigma >= 0
    header = DecodedHeader(grey.shape[1], grey.shape[0], "PNG", None, True, False)
    values = [
        sharpness(steepness(grey, sigma), grey, grey.size, sigma),
        sharpness(1.0, None, grey.size),
        exposure(grey),
        contrast(rgb),
    ]
    values += [noise(sigma), compression(header, grey, earlier(header, grey)), fineness(grey)]
    assert all(0 <= value <= 1 for value in values), values
    colours = np.frombuffer(palette(rgb), np.uint8).reshape(-1, 4)
    assert 1 <= len(colours) <= 5
    assert 200 <= int(colours[:, 3].sum()) <= 257


def test_palette() -> None:
    flag = np.zeros((40, 60, 3), np.uint8)
    flag[:, :30], flag[:, 30:45], flag[:, 45:] = (200, 30, 40), (250, 250, 250), (20, 60, 160)
    colours = np.frombuffer(palette(flag), np.uint8).reshape(-1, 4).astype(int)
    assert len(colours) == dominant_colours(flag) >= 3
    assert (np.diff(colours[:, 3]) <= 0).all()
    assert np.abs(colours[0] - (200, 30, 40, 128)).max() <= 12
    for wanted in ((250, 250, 250), (20, 60, 160)):
        assert np.abs(colours[:, :3] - wanted).max(axis=1).min() <= 12
    assert palette(np.full((9, 9, 3), (12, 200, 99), np.uint8)) == bytes((12, 200, 99, 255))
    assert palette(photo("coffee")) == palette(photo("coffee"))


def traces(data: bytes) -> float:
    decoded = decode(data, 10**8)
    return earlier(decoded.header, decoded.native)


def kept_colours(data: bytes) -> float:
    decoded = decode(data, 10**8)
    return chroma(decoded.header.chroma, decoded.colour)


@pytest.mark.parametrize(("first", "second"), [(60, 75), (75, 90), (80, 92)])
@pytest.mark.parametrize("name", NAMES)
def test_a_jpeg_of_a_stronger_jpeg_shows_what_that_one_was(name: str, first: int, second: int) -> None:
    picture = photo(name)
    assert traces(encoded(picture, second)) == 1.0
    own = saved(decode(encoded(picture, first), 10**8).header)
    assert traces(encoded(recompressed(picture, first), second)) == pytest.approx(own, abs=0.02)
    # The other way round nothing is stronger than what the file itself says.
    assert traces(encoded(recompressed(picture, second), first)) == 1.0


@pytest.mark.parametrize("name", ["china", "flower", "astronaut", "coffee", "rocket"])
def test_colours_at_full_resolution_show(name: str) -> None:
    picture = photo(name)
    assert kept_colours(as_png(picture)) == kept_colours(encoded(picture, subsampling=0)) == 1.0
    assert kept_colours(encoded(picture)) == HALVED
    assert kept_colours(encoded(picture, subsampling=1)) == pytest.approx(0.5**0.5)
    # What was halved once is no finer in a file that keeps every pixel, nor where its grid does not begin at the edge.
    assert kept_colours(as_png(recompressed(picture, 92))) == HALVED
    assert kept_colours(as_png(recompressed(picture, 92)[3:, 5:])) == HALVED


def test_pictures_without_colour_and_tiny_ones_claim_none() -> None:
    grey = np.repeat(grey_of(photo("china"))[:, :, None], 3, axis=2)
    assert kept_colours(as_png(grey)) == HALVED
    assert kept_colours(as_png(photo("china")[:12, :12])) == HALVED


def test_the_file_is_believed_where_there_is_no_part_at_its_own_size() -> None:
    assert chroma(1.0, None) == 1.0
    assert chroma(0.5, None) == 0.5


def test_a_format_that_no_camera_writes_counts_as_a_copy() -> None:
    stream = io.BytesIO()
    Image.fromarray(photo("china")).save(stream, "WEBP", quality=95)
    assert saved(decode(stream.getvalue(), 10**8).header) < saved(decode(encoded(photo("china"), 75), 10**8).header)
    stream = io.BytesIO()
    Image.fromarray(photo("china")).save(stream, "WEBP", lossless=True)
    assert saved(decode(stream.getvalue(), 10**8).header) == 1.0
