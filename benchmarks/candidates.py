"""How many true pairs extractors bring among a picture's nearest neighbours, and how fast they are.

    python -m benchmarks.candidates [PHOTOS] [--half a|b] [--edits 7] [--features perceptual,descriptor]
                                    [--weights NAME=FILE] [--seed 0]

Makes copies of PHOTOS (a folder; without it a self-made one, partly of what the descriptor was trained on) by the named
edits of ``tests/edits.py``. A true pair is a copy and its original; it is found when either is among the 20 nearest of
the other, of all pictures and by cosine, as they are or mirrored and turned where the extractor can tell. Then the same
for all extractors together, each naming an equal share of the 20. ``--features`` and ``--weights`` are as for ``main.py
run``, so CLIP and EfficientNet can be put beside. Pictures per second are those of the extractor alone, without
decoding, on all cores or the GPU.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.quality.build import Wanted, build
from benchmarks.quality.negatives import TILES
from benchmarks.quality.photographs import find_photographs, make_photographs
from benchmarks.quality.truth import Row
from modules.devices import devices_for
from modules.feature_extraction import Analyser
from modules.features.base import Extractor
from modules.features.registry import needs_models, resolve
from modules.hardware import MODEL_MEMORY, keep_freed_memory, tune_environment
from modules.records import Float32Array, UInt8Array

#: Neighbours of each picture.
NEAREST = 20
LEVELS = ("easy", "medium", "hard", "embedded")
#: Edits that are told apart: those of which the most pairs are missed.
WEAKEST = 12

Nearest = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Answer:
    """What one extractor says. variants: its vectors of all pictures, (n, d), as they are, then mirrored and turned."""

    name: str
    variants: Sequence[Float32Array]
    pictures_per_second: float


def main() -> None:
    """Command line."""
    asked = _options()
    tune_environment()  # as a job does
    keep_freed_memory(MODEL_MEMORY)
    with tempfile.TemporaryDirectory() as scratch:
        photos = asked.folder
        if photos is None:
            photos = Path(scratch) / "photographs"
            make_photographs(photos)
        found = find_photographs(photos, asked.half, asked.seed)
        folder = Path(scratch) / "set"
        rows = build(folder, found, Wanted(len(found) - TILES, asked.edits, 0, 0), asked.seed)
        extractors = resolve(asked.features, asked.weights)
        inputs = _inputs(extractors, [folder / "images" / row.name for row in rows])
    print(f"python -m benchmarks.candidates {' '.join(sys.argv[1:])}")
    print(f"{os.cpu_count()} cores, {platform.platform()}, Python {platform.python_version()}")
    print(f"{len(rows):,} pictures, {sum(row.is_copy for row in rows):,} of them copies; {NEAREST} nearest\n")
    answers = [_embedded(extractor, inputs[extractor.name]) for extractor in extractors]
    print("\n".join(page(rows, answers)))


def _inputs(extractors: Sequence[Extractor], files: Sequence[Path]) -> dict[str, UInt8Array]:
    """Every extractor's inputs of all pictures, (n, ...)."""
    analyser = Analyser(tuple(extractors), 10**9)
    names = frozenset(extractor.name for extractor in extractors)
    seen = [
        analyser.analyse(file.read_bytes(), facts=False, keypoints=False, extractors=names).pixels for file in files
    ]
    return {name: np.stack([one[name] for one in seen]) for name in names}


def _embedded(extractor: Extractor, inputs: UInt8Array) -> Answer:
    device = devices_for(["auto"], None, 0.9, 32, models=needs_models([extractor]))[0]
    extractor.setup(device)
    extractor.embed(inputs[: device.batch_size])  # what is made at first use is no work of a picture
    began = time.perf_counter()
    vectors = extractor.embed(inputs)
    seconds = time.perf_counter() - began
    return Answer(extractor.name, extractor.variants(vectors), len(inputs) / seconds)


def nearest(variants: Sequence[Float32Array], count: int) -> Nearest:
    """Rows of the ``count`` nearest of each picture, int64 (n, count), nearest first; not itself."""
    closeness = np.max([variant @ variants[0].T for variant in variants], axis=0)
    np.fill_diagonal(closeness, -2.0)
    return np.argsort(-closeness, axis=1, kind="stable")[:, :count]


def found_pairs(rows: Sequence[Row], neighbours: Nearest) -> NDArray[np.bool_]:
    """For each row, whether it is a copy that is found; neighbours: (n, k)."""
    originals = {row.group: number for number, row in enumerate(rows) if row.is_original}
    return np.array(
        [
            row.is_copy and bool(originals[row.group] in neighbours[n] or n in neighbours[originals[row.group]])
            for n, row in enumerate(rows)
        ],
        np.bool_,
    )


def page(rows: Sequence[Row], answers: Sequence[Answer]) -> list[str]:
    """Lines of Markdown: a table by level, and one of the edits that are found least."""
    columns = {answer.name: found_pairs(rows, nearest(answer.variants, NEAREST)) for answer in answers}
    speeds = {answer.name: f"{answer.pictures_per_second:,.0f}" for answer in answers}
    if len(answers) > 1:
        share = NEAREST // len(answers)
        together = np.concatenate([nearest(answer.variants, share) for answer in answers], axis=1)
        columns[f"together, {share} of each"] = found_pairs(rows, together)
    levels = {level: frozenset([level]) for level in LEVELS}
    levels |= {"without embedded": frozenset(LEVELS) - {"embedded"}, "all": frozenset(LEVELS)}
    by_level = {name: np.array([row.level in those for row in rows], np.bool_) for name, those in levels.items()}
    lines = [f"| | {' | '.join(by_level)} | pictures/s |", f"|---|{'---|' * (len(by_level) + 1)}"]
    for name, found in columns.items():
        shares = [f"{_share(rows, found, which):.3f}" for which in by_level.values()]
        lines.append(f"| {name} | {' | '.join(shares)} | {speeds.get(name, '')} |")
    return [*lines, "", *_weakest(rows, columns, len(answers))]


def _weakest(rows: Sequence[Row], columns: dict[str, NDArray[np.bool_]], alone: int) -> list[str]:
    """The edits that the last of the extractors, the first ``alone`` columns, finds least."""
    edits = sorted({row.transform for row in rows if row.is_copy})
    which = {edit: np.array([row.transform == edit for row in rows], np.bool_) for edit in edits}
    shares = {edit: [_share(rows, found, which[edit]) for found in columns.values()] for edit in edits}
    chosen = sorted(edits, key=lambda edit: shares[edit][alone - 1])[:WEAKEST]
    lines = [f"| | {' | '.join(columns)} |", f"|---|{'---|' * len(columns)}"]
    return lines + [f"| {edit} | {' | '.join(f'{share:.2f}' for share in shares[edit])} |" for edit in chosen]


def _share(rows: Sequence[Row], found: NDArray[np.bool_], which: NDArray[np.bool_]) -> float:
    """Of the copies among ``which``: how many are found."""
    copies = which & np.array([row.is_copy for row in rows], np.bool_)
    return float(found[copies].mean()) if copies.any() else 1.0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, metavar="PHOTOS", help="a folder of photographs, all different")
    parser.add_argument("--half", choices=("a", "b"), help="every other photograph (default: all)")
    parser.add_argument("--edits", type=int, default=7, metavar="N", help="edits of each (default: 7)")
    parser.add_argument("--features", type=lambda names: names.split(","), default=["perceptual", "descriptor"])
    parser.add_argument("--weights", action="append", default=[], metavar="NAME=FILE")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
