"""A small collection to try imgsieve on: real photographs, drawn pictures, known edits of them, and trouble.

The photographs come from installed packages (scikit-image and scikit-learn carry them in their wheels); nothing is
downloaded. The same call always makes the same files.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFont, ImageOps

PHOTOS = {
    "skimage": (
        "data/astronaut.png data/brick.png data/camera.png data/cell.png data/chelsea.png data/clock_motion.png "
        "data/coffee.png data/coins.png data/grass.png data/gravel.png data/hubble_deep_field.jpg data/ihc.png "
        "data/moon.png data/motorcycle_left.png data/retina.jpg data/rocket.jpg"
    ),
    "sklearn": "datasets/images/china.jpg datasets/images/flower.jpg",
}
DRAWN = 12
EASY = ("re-encoded", "resized", "brightened", "cropped")
EXACT = "exact copy"


@dataclass(frozen=True, slots=True)
class Copy:
    """A file that shows the same picture as ``of``: both relative to the sample's folder."""

    path: str
    of: str
    edit: str


@dataclass(frozen=True, slots=True)
class Truth:
    """What is known of a sample. Paths are relative to its folder; broken: files that are no pictures."""

    originals: tuple[str, ...] = ()
    copies: tuple[Copy, ...] = ()
    broken: tuple[str, ...] = ()

    def save(self, path: Path) -> None:
        """Write as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False), encoding="utf-8")


def _brighten(picture: Image.Image) -> Image.Image:
    return ImageEnhance.Brightness(picture).enhance(1.25)


def _resize(picture: Image.Image) -> Image.Image:
    return picture.resize((round(picture.width * 0.6), round(picture.height * 0.6)), Image.Resampling.LANCZOS)


def _crop(picture: Image.Image) -> Image.Image:
    width, height = picture.size
    box = (round(width * 0.03), round(height * 0.02), round(width * 0.98), round(height * 0.97))
    return picture.crop(box)


def _caption(picture: Image.Image) -> Image.Image:
    picture = picture.copy()
    height = max(14, picture.height // 14)
    font = ImageFont.load_default(size=height)
    place = (picture.width // 20, picture.height - 2 * height)
    ImageDraw.Draw(picture).text(
        place, "Wish you were here", font=font, fill="white", stroke_fill="black", stroke_width=2
    )
    return picture


#: Edit, folder and name's end of its results, and what it does; Pillow writes the format that the end names.
EDITS: dict[str, tuple[str, str, Callable[[Image.Image], Image.Image]]] = {
    "re-encoded": ("phone backup", " (1).jpg", lambda picture: picture),
    "resized": ("web/thumbs", "_small.jpg", _resize),
    "brightened": ("edited", "-bright.jpg", _brighten),
    "cropped": ("edited", "-cropped.png", _crop),
    "grey": ("Ausflüge/schwarzweiß", ".webp", lambda picture: ImageOps.grayscale(picture).convert("RGB")),
    "mirrored": ("edited", "-mirrored.jpg", ImageOps.mirror),
    "turned": ("scans", "-turned.jpg", lambda picture: picture.transpose(Image.Transpose.ROTATE_90)),
    "captioned": ("web", "-postcard.jpg", _caption),
}
RARE = tuple(name for name in EDITS if name not in EASY)


def make_sample(folder: Path) -> Truth:
    """Fill ``folder`` (made, must be absent or empty) with about 170 files, and say what they are."""
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty")
    originals: list[str] = []
    copies: list[Copy] = []
    for number, (name, source) in enumerate(photographs()):
        original = _place(folder, f"photos/{name}")
        shutil.copyfile(source, original)
        originals.append(f"photos/{name}")
        copies += _edit(folder, originals[-1], (*EASY, RARE[number % len(RARE)]))
    for number in range(DRAWN):
        name = f"drawn/picture {number + 1:02d}.png"
        draw_picture(number).save(_place(folder, name))
        originals.append(name)
        copies += _edit(folder, name, tuple(list(EDITS)[(number * 3 + step) % len(EDITS)] for step in range(3)))
    copies += _exact_copies(folder, originals)
    return Truth(tuple(originals), tuple(copies), tuple(_trouble(folder)))


def draw_picture(seed: int) -> Image.Image:
    """Overlapping discs, boxes and bars over a gradient, 480 x 360, the same for the same seed."""
    random = np.random.default_rng(1000 + seed)
    across = np.linspace(0, 1, 480)[None, :, None]
    down = np.linspace(0, 1, 360)[:, None, None]
    corners = random.integers(40, 215, (3, 3))
    gradient = corners[0] * (1 - across) + corners[1] * across * (1 - down) + corners[2] * across * down
    picture = Image.fromarray(gradient.astype(np.uint8))
    pen = ImageDraw.Draw(picture)
    for _ in range(60):
        x, y = int(random.integers(-20, 480)), int(random.integers(-20, 360))
        width, height = (int(side) for side in random.integers(10, 90, 2))
        box = (x, y, x + width, y + height)
        colour = tuple(int(part) for part in random.integers(0, 256, 3))
        shape = (pen.ellipse, pen.rectangle)[int(random.integers(0, 2))]
        shape(box, fill=colour, outline=(20, 20, 20))
    return picture


def photographs() -> Iterator[tuple[str, Path]]:
    """Name and file of each photograph that the installed packages carry."""
    for package, names in PHOTOS.items():
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            raise ModuleNotFoundError(f"{package} is not installed: run make setup")
        for name in names.split():
            path = Path(spec.origin).parent / name
            yield path.name, path


def _place(folder: Path, name: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _edit(folder: Path, original: str, edits: tuple[str, ...]) -> list[Copy]:
    with Image.open(folder / original) as opened:
        picture = opened.convert("RGB")
    made = []
    for edit in edits:
        under, end, change = EDITS[edit]
        name = f"{under}/{Path(original).stem}{end}"
        change(picture).save(_place(folder, name), quality=78)
        made.append(Copy(name, original, edit))
    return made


def _exact_copies(folder: Path, originals: list[str]) -> list[Copy]:
    names = {
        "photos/astronaut.png": "family album/the day we met her.png",
        "photos/chelsea.png": "family album/chelsea.png",
        "photos/coffee.png": "Ausflüge/Kaffee in Köln.png",
        "photos/rocket.jpg": "=SUM(A1) rocket.jpg",
        "photos/china.jpg": "Ausflüge/Größe 100 %.jpg",
        "photos/flower.jpg": "family album/more/even more/flower.jpg",
        "drawn/picture 01.png": "family album/picture 01.png",
    }
    made = []
    for original, name in names.items():
        shutil.copyfile(folder / original, _place(folder, name))
        made.append(Copy(name, originals[originals.index(original)], EXACT))
    return made


def _trouble(folder: Path) -> Iterator[str]:
    whole = (folder / "photos/china.jpg").read_bytes()
    for name, data in {
        "phone backup/broken off.jpg": whole[: len(whole) // 3],
        "family album/a letter.jpg": b"Dear all, this is a text, whatever its name says.\n",
    }.items():
        _place(folder, name).write_bytes(data)
        yield name


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Make the sample, and the truth about it in FOLDER.json beside it.")
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    folder: Path = parser.parse_args().folder
    truth = make_sample(folder)
    truth.save(folder.with_suffix(".json"))
    count = len(truth.originals) + len(truth.copies) + len(truth.broken)
    print(f"{count} files in {folder}: {len(truth.originals)} pictures, {len(truth.copies)} copies of them")


if __name__ == "__main__":
    main()
