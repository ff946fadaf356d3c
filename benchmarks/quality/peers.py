"""Other tools on the same pictures, run by a Python that has them: it needs nothing of this project.

    VENV/bin/python benchmarks/quality/peers.py installed
    VENV/bin/python benchmarks/quality/peers.py METHOD IMAGES GROUPS.csv

Their pairs at the thresholds that their makers or users take; groups are connected components, as these tools have no
better rule. GROUPS.csv has the columns Image Path and Group ID.
"""

from __future__ import annotations

import csv
import importlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

Pairs = Iterator[tuple[str, str]]

PHASH_BITS = 10
PDQ_BITS = 31
FASTDUP_COSINE = 0.90


def imagededup_phash(folder: Path) -> Pairs:
    """imagededup's PHash: 64 bits, at most 10 of them different, its own default."""
    methods = importlib.import_module("imagededup.methods")
    hasher = methods.PHash(verbose=False)
    codes = hasher.encode_images(image_dir=str(folder))
    for name, others in hasher.find_duplicates(encoding_map=codes, max_distance_threshold=PHASH_BITS).items():
        yield from ((name, other) for other in others)


def imagehash_phash(folder: Path) -> Pairs:
    """imagehash's phash, at most 10 of 64 bits different, all pairs by a table of bit counts."""
    imagehash, image = importlib.import_module("imagehash"), importlib.import_module("PIL.Image")
    numpy = importlib.import_module("numpy")
    names, codes = [], []
    for path in sorted(folder.iterdir()):
        with image.open(path) as picture:
            codes.append(imagehash.phash(picture).hash.reshape(-1))
        names.append(path.name)
    yield from _near(names, numpy.packbits(numpy.array(codes), axis=1), PHASH_BITS)


def pdq(folder: Path) -> Pairs:
    """PDQ by pdqhash: 256 bits, at most 31 different, the threshold that its authors give."""
    pdqhash, image = importlib.import_module("pdqhash"), importlib.import_module("PIL.Image")
    numpy = importlib.import_module("numpy")
    names, codes = [], []
    for path in sorted(folder.iterdir()):
        with image.open(path) as picture:
            code, _ = pdqhash.compute(numpy.asarray(picture.convert("RGB")))
        codes.append(code)
        names.append(path.name)
    yield from _near(names, numpy.packbits(numpy.array(codes, dtype=numpy.uint8), axis=1), PDQ_BITS)


def fastdup(folder: Path) -> Pairs:
    """fastdup's own model, pairs with a cosine of at least 0.90, its default for near duplicates."""
    library = importlib.import_module("fastdup")
    with tempfile.TemporaryDirectory() as work:
        job = library.create(work_dir=work, input_dir=str(folder))
        job.run(ccthreshold=FASTDUP_COSINE, threshold=FASTDUP_COSINE, print_summary=False, verbose=False)
        similar = job.similarity()
        for first, second in zip(similar["filename_from"], similar["filename_to"], strict=True):
            yield Path(first).name, Path(second).name


#: Package that it needs, and how it finds its pairs.
METHODS: dict[str, tuple[str, Callable[[Path], Pairs]]] = {
    "imagededup-phash": ("imagededup", imagededup_phash),
    "imagehash-phash": ("imagehash", imagehash_phash),
    "pdq": ("pdqhash", pdq),
    "fastdup": ("fastdup", fastdup),
}


def _near(names: list[str], codes: object, most: int) -> Pairs:
    """Pairs whose packed codes (n, bytes) differ in at most ``most`` bits; a block of rows against all at a time."""
    numpy = importlib.import_module("numpy")
    every = numpy.asarray(codes)
    ones = numpy.array([bin(byte).count("1") for byte in range(256)], dtype=numpy.uint8)
    for row in range(len(names)):
        apart = ones[every[row] ^ every[row + 1 :]].sum(axis=1)
        yield from ((names[row], names[row + 1 + int(place)]) for place in numpy.flatnonzero(apart <= most))


def components(names: list[str], pairs: Pairs) -> dict[str, str]:
    """Group of each name: the first of its connected component."""
    above = {name: name for name in names}

    def top(name: str) -> str:
        while above[name] != name:
            above[name] = above[above[name]]
            name = above[name]
        return name

    for first, second in pairs:
        low, high = sorted((top(first), top(second)))
        above[high] = low
    return {name: top(name) for name in names}


def main() -> None:
    """Command line."""
    if sys.argv[1:] == ["installed"]:
        print(" ".join(name for name, (package, _) in METHODS.items() if importlib.util.find_spec(package)))
        return
    method, folder, result = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    os.environ["SENTRY_OPT_OUT"] = "1"  # fastdup reports home otherwise
    names = sorted(path.name for path in folder.iterdir())
    groups = components(names, METHODS[method][1](folder))
    with result.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("Image Path", "Group ID"))
        writer.writerows(groups.items())


if __name__ == "__main__":
    main()
