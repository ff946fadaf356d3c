"""Fit what weighs when the original is chosen among its copies: the numbers of modules/matching/keeper.json.

    python -m training.keeper FILE [--families N] [--seed N] [--held-out-seed N]

Makes families of pictures in memory: an original, and one to seven edits of it, most of them those of tests/edits.py
but for the ones that benchmarks/held_out.toml keeps out of all tuning. Compares all with all as a run does, fits the
weights by conditional logistic regression (D. McFadden, "Conditional logit analysis of qualitative choice behavior",
1973), and says how often the original of families of another seed is chosen by them.
"""

from __future__ import annotations

import argparse
import io
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter
from scipy.optimize import minimize

from benchmarks.held_out import held_out
from modules.deduplication import verify_pair
from modules.feature_extraction import Analyser
from modules.matching.common_ground import PANEL, mean_signs
from modules.matching.evidence import Evidence, evidence_of
from modules.matching.ledger import Ledger
from modules.matching.relations import demand
from modules.matching.signs import COSTS, NAMES
from modules.quality.score import score
from modules.records import VERDICT_DTYPE, Facts, Grade, Pictures
from tests.drawings import leaves, page
from tests.edits import EDITS
from training.pictures import load_photos

Values = NDArray[np.float64]

#: How strongly weights are drawn to those of the fit before this one, per family: of 3e-4 to 1e-2, the most under which
#: the share of originals chosen in families that were not fitted to is at its best.
RIDGE = 1e-2
_BEFORE = Path(__file__).with_name("keeper_before.json")
#: Most sides of originals, pixels.
_SIDES = (260, 700)
#: Shares of families: of an original without loss, with EXIF data, with a companion; of photographs, drawn pictures.
_LOSSLESS, _WITH_EXIF, _ACCOMPANIED, _PHOTOGRAPHS = 0.1, 0.4, 0.15, 0.75
#: Share of copies that keep the metadata of what they were made from: the others lose all.
_KEEPS = 0.3


@dataclass(frozen=True, slots=True)
class Family:
    """signs: mean signs of each picture, (n, len(NAMES)), the original first."""

    signs: Values


def originals_chosen(families: Sequence[Family], weights: Values) -> float:
    """Share of the families whose original has the best score; one of several best counts in part."""
    hits = []
    for family in families:
        found = np.round(family.signs @ weights, 2)
        best = found == found.max()
        hits.append(best[0] / best.sum())
    return float(np.mean(hits))


def fit(families: Sequence[Family], before: Values, ridge: float = RIDGE) -> Values:
    """The weights, (len(NAMES),), under which the originals are likeliest; costs at most 0, leans at least 0.

    before: weights of an earlier fit, which count as much as ``ridge`` says.
    """
    count = len(families)
    starts = np.cumsum([0, *(len(family.signs) for family in families)])[:-1]
    every = np.concatenate([family.signs for family in families])
    first = every[starts]
    sizes = np.diff([*starts, len(every)])

    def loss(weights: Values) -> tuple[float, Values]:
        scores = every @ weights
        top = np.repeat(np.maximum.reduceat(scores, starts), sizes)
        likely = np.exp(scores - top)
        total = np.add.reduceat(likely, starts)
        value = float((np.log(total) + top[starts] - scores[starts]).mean() + ridge * ((weights - before) ** 2).sum())
        share = likely / np.repeat(total, sizes)
        return value, np.asarray((share @ every - first.sum(axis=0)) / count + 2 * ridge * (weights - before))

    bounds = [(None, 0.0) if name in COSTS else (0.0, None) for name in NAMES]
    found = minimize(loss, before, jac=True, method="L-BFGS-B", bounds=bounds)
    if not found.success:
        raise ArithmeticError(f"the fit did not end: {found.message}")
    return np.asarray(found.x, np.float64)


def earlier_weights() -> Values:
    """The weights of the fit before this one, (len(NAMES),), costs negative."""
    found = json.loads(_BEFORE.read_bytes())
    return np.array([-found[name] if name in COSTS else found[name] for name in NAMES], np.float64)


def make_family(number: int, seed: int) -> Family | None:
    """One family as a run sees it; None where its original is alone."""
    cv2.setNumThreads(1)
    rng = random.Random(f"{seed} {number}")
    files, traits = _files(rng)
    analyser = Analyser((), 10**8)
    seen = [analyser.analyse(file, facts=True, keypoints=True, extractors=frozenset()) for file in files]
    facts = [one.facts for one in seen if one.facts is not None]
    evidence = [
        evidence_of(one.keypoints, (one.facts.width, one.facts.height))
        for one in seen
        if one.keypoints is not None and one.facts is not None
    ]
    ledger = _compared(evidence)
    related = np.unique(ledger.related()[0])
    found = mean_signs(_pictures(facts, traits), ledger)
    beside = [row for row in related if row != 0]
    return Family(found[[0, *beside]]) if 0 in related and beside else None


def _compared(evidence: Sequence[Evidence]) -> Ledger:
    ledger = Ledger(len(evidence))
    pairs = [(a, b) for a in range(len(evidence)) for b in range(a + 1, len(evidence))]
    verdicts = np.array([verify_pair(evidence[a], evidence[b]) for a, b in pairs], VERDICT_DTYPE)
    ledger.add(np.array(pairs, np.int32), demand(verdicts, Grade.NORMAL))
    return ledger


def _pictures(facts: Sequence[Facts], traits: Sequence[tuple[int, bool]]) -> Pictures:
    """traits: told and accompanied of each, which lie in no pixels."""
    count = len(facts)

    def column(name: str, kind: type = np.float32) -> NDArray[Any]:
        return np.array([getattr(one, name) for one in facts], kind)

    measured = {n: column(n) for n in ("sharpness", "exposure", "contrast", "noise", "compression", "content")}
    width, height = column("width", np.int32), column("height", np.int32)
    quality = score(width, height, **measured)
    del measured["contrast"]
    traced = {n: column(n) for n in ("texture", "steepness", "saved", "earlier", "chroma", "described")}
    # A copy that keeps what its original told keeps all of it.
    described = np.where([told > 0 for told, _ in traits], traced["described"][0], traced["described"])
    traced["described"] = described.astype(np.float32)
    rank = np.argsort(np.argsort(-quality, kind="stable")).astype(np.int32)
    return Pictures(
        sha=np.zeros((count, 32), np.uint8),
        width=width,
        height=height,
        size=column("size", np.int64),
        quality=quality,
        **measured,
        **traced,
        damaged=column("damaged", np.bool_),
        indexed=column("indexed", np.bool_),
        told=np.array([told for told, _ in traits], np.float32),
        accompanied=np.array([beside for _, beside in traits], np.bool_),
        phash=column("phash", np.uint64),
        rank=rank,
    )


def _files(rng: random.Random) -> tuple[list[bytes], list[tuple[int, bool]]]:
    """An original's bytes and those of its copies, and what is told of each and whether it is accompanied."""
    picture = _picture(rng)
    told = rng.choice((1, 2, 3)) if rng.random() < _WITH_EXIF else 0
    original = _original(picture, told, rng)
    files, traits = [original], [(told, rng.random() < _ACCOMPANIED)]
    with Image.open(io.BytesIO(original)) as opened:
        shown = opened.convert("RGB")
    for name in rng.sample(_edits(), rng.randint(1, PANEL - 1)):
        edited = _EXTRA[name](shown, rng) if name in _EXTRA else EDITS[name].apply(shown, rng.getrandbits(30))
        keeps = told and rng.random() < _KEEPS
        files.append(edited)
        # A companion beside a copy belongs to another picture, or was copied along.
        traits.append((told if keeps else 0, rng.random() < _ACCOMPANIED / 5))
    return files, traits


def _edits() -> list[str]:
    left_out = held_out("edits")
    known = [name for name, edit in EDITS.items() if edit.level != "embedded" and name not in left_out]
    return sorted([*known, *_EXTRA])


def _picture(rng: random.Random) -> Image.Image:
    """A part of a photograph, or a drawn picture or page, at some size."""
    if rng.random() > _PHOTOGRAPHS:
        drawn = leaves(rng.getrandbits(30)) if rng.random() < 0.6 else page(rng.getrandbits(30))
        return _within(drawn, rng)
    photo = Image.fromarray(_photos()[rng.randrange(len(_photos()))])
    share = rng.uniform(0.5, 1.0)
    width, height = round(photo.width * share), round(photo.height * min(1.0, share * rng.uniform(0.85, 1.15)))
    left, top = rng.randint(0, photo.width - width), rng.randint(0, photo.height - height)
    part = photo.crop((left, top, left + width, top + height))
    return _within(part.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else part, rng)


_loaded: list[NDArray[np.uint8]] = []


def _photos() -> list[NDArray[np.uint8]]:
    if not _loaded:
        _loaded.extend(load_photos())
    return _loaded


def _within(picture: Image.Image, rng: random.Random) -> Image.Image:
    """Made smaller to a random side; never larger: an original is not blurred."""
    side = min(rng.randint(*_SIDES), *(2 * one for one in picture.size))
    picture.thumbnail((side, side), Image.Resampling.LANCZOS)
    return picture


def _original(picture: Image.Image, told: int, rng: random.Random) -> bytes:
    out = io.BytesIO()
    exif = Image.Exif()
    if told:
        exif[0x010F] = "Example"
    if rng.random() < _LOSSLESS:
        picture.save(out, "PNG", **({"exif": exif} if told else {}))
        return out.getvalue()
    with io.BytesIO() as camera:
        # Many an original was compressed before: by its camera, and again by a program at less loss or more.
        if rng.random() < 0.2:
            picture.save(camera, "JPEG", quality=rng.randint(75, 95))
            picture = Image.open(camera).convert("RGB")
    options = {"exif": exif} if told else {}
    quality = rng.choice((75, 80, 85, 88, 90, 92, 95, 97))
    picture.save(out, "JPEG", quality=quality, subsampling=rng.choice((0, 2, 2, 2)), **options)
    return out.getvalue()


def _saved(picture: Image.Image, name: str, **options: int) -> bytes:
    out = io.BytesIO()
    picture.save(out, name, **options)
    return out.getvalue()


def _half(picture: Image.Image, rng: random.Random) -> bytes:
    how = rng.choice((Image.Resampling.LANCZOS, Image.Resampling.BICUBIC, Image.Resampling.BOX))
    factor = rng.choice((2, 2, 3, 4))
    small = picture.resize((max(1, picture.width // factor), max(1, picture.height // factor)), how)
    return _saved(small, "JPEG", quality=rng.choice((60, 75, 85, 92)))


def _double(picture: Image.Image, rng: random.Random) -> bytes:
    factor = rng.uniform(1.3, 2.5)
    how = rng.choice((Image.Resampling.LANCZOS, Image.Resampling.BICUBIC, Image.Resampling.BILINEAR))
    large = picture.resize((round(picture.width * factor), round(picture.height * factor)), how)
    if rng.random() < 0.3:
        large = large.filter(ImageFilter.UnsharpMask(2, 120))
    return _saved(large, "PNG") if rng.random() < 0.3 else _saved(large, "JPEG", quality=rng.choice((85, 95)))


def _palette(picture: Image.Image, rng: random.Random) -> bytes:
    return _saved(picture.quantize(rng.choice((64, 128, 256))), rng.choice(("PNG", "GIF")))


def _again(picture: Image.Image, rng: random.Random) -> bytes:
    return _saved(picture, "JPEG", quality=rng.choice((70, 80, 90, 95, 98)))


def _as_png(picture: Image.Image, rng: random.Random) -> bytes:
    return _saved(picture, "PNG")


#: Edits that stand for more than the share of one: those that a person's own programs make.
_EXTRA = {"half": _half, "double": _double, "palette": _palette, "again": _again, "as png": _as_png}


def families(count: int, seed: int, processes: int) -> list[Family]:
    """``count`` families at most, those that hold together."""
    with get_context("spawn").Pool(processes) as pool:
        made = pool.imap(partial(make_family, seed=seed), range(count), chunksize=8)
        return [family for family in made if family is not None]


def main(arguments: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        "python -m training.keeper", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, metavar="FILE", help="the weights are written there")
    parser.add_argument("--families", type=int, default=260, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--held-out-seed", type=int, default=1, metavar="N")
    parser.add_argument("--processes", type=int, default=1, metavar="N")
    asked = parser.parse_args(arguments)
    made = families(asked.families, asked.seed, asked.processes)
    weights = fit(made, earlier_weights())
    others = families(max(1, asked.families // 5), asked.held_out_seed, asked.processes)
    print(f"originals chosen: {originals_chosen(made, weights):.3f} of {len(made)} families fitted to")
    print(f"originals chosen: {originals_chosen(others, weights):.3f} of {len(others)} families of another seed")
    asked.file.write_text(as_json(weights), encoding="utf-8")


def as_json(weights: Values) -> str:
    """Weights by name, costs as what they take away, to two digits behind the point."""
    named = zip(NAMES, weights.tolist(), strict=True)
    return json.dumps({n: round(-one if n in COSTS else one, 2) + 0.0 for n, one in named}, indent=1) + "\n"


if __name__ == "__main__":
    main()
