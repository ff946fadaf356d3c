"""Which copy is kept under every policy, on real files from end to end."""

from __future__ import annotations

import csv
import io
import json
import os
import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import skimage.data
from PIL import Image

import pipeline
from modules.errors import UsageError
from modules.progress import SilentProgress
from modules.records import RunSummary
from modules.settings import AzureCredentials, Settings
from modules.state.manifest import SCHEMA
from tests.azurite import Azurite
from tests.command import imgsieve
from tests.drawings import leaves
from tests.pictures import draw, encode
from tests.unit.test_jpeg import with_hole

DAY = 86_400
#: Copies of one picture: how each is made of it, and the day on which it was changed last.
COPIES: dict[str, tuple[Callable[[Image.Image], bytes], int]] = {
    "a/web.jpg": (lambda picture: encode(picture, quality=60), 5),
    "b/best.png": (lambda picture: encode(picture, "PNG"), 4),
    "c/bulky.bmp": (lambda picture: encode(picture.resize((608, 456)), "BMP"), 3),
    "d/Originals/scan.jpg": (lambda picture: encode(picture, quality=80), 6),
    "e/small.jpg": (lambda picture: encode(picture.resize((320, 240)), quality=50), 7),
    "f/new.jpg": (lambda picture: encode(picture, quality=75), 9),
    "g/Originals/old.jpg": (lambda picture: encode(picture, quality=70), 1),
}


def run(source: Path | str, credentials: AzureCredentials | None = None, **settings: Any) -> RunSummary:
    asked = Settings(source=str(source), features=("perceptual",), num_process_workers=2, **settings)
    return pipeline.run(asked, credentials or AzureCredentials(), SilentProgress(), threading.Event())


def report(folder: Path) -> dict[str, dict[str, str]]:
    """Rows by path below the source."""
    output = folder.with_name(f"{folder.name}_deduplicated")
    rows = csv.DictReader(io.StringIO((output / "image_report.csv").read_text("utf-8")))
    return {row["Image Path"].removeprefix(f"{folder}/"): row for row in rows}


def best(folder: Path) -> list[str]:
    """What lies in best/, and the report says so too."""
    kept = folder.with_name(f"{folder.name}_deduplicated") / "best"
    found = sorted(str(path.relative_to(kept)) for path in kept.rglob("*") if path.is_file())
    assert found == sorted(path for path, row in report(folder).items() if row["Status"] == "Best")
    return found


def put(folder: Path, name: str, data: bytes, day: int) -> None:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (day * DAY, day * DAY))


@pytest.fixture(scope="module")
def analysed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of copies of one picture and another picture, whose features are in the state."""
    folder = tmp_path_factory.mktemp("keep") / "photos"
    picture = draw(1, (640, 480))
    for name, (make, day) in COPIES.items():
        put(folder, name, make(picture), day)
    put(folder, "other.jpg", encode(draw(2)), 2)
    run(folder)
    return folder


@pytest.mark.parametrize(
    ("keep", "kept"),
    [
        (("quality",), "b/best.png"),
        (("lexi",), "a/web.jpg"),
        (("smallest",), "e/small.jpg"),
        (("largest",), "c/bulky.bmp"),
        (("newest",), "f/new.jpg"),
        (("oldest",), "g/Originals/old.jpg"),
        (("folder:Originals",), "d/Originals/scan.jpg"),
        (("folder:Originals", "oldest"), "g/Originals/old.jpg"),
        (("folder:g/*", "newest"), "g/Originals/old.jpg"),
        (("folder:nowhere", "smallest"), "e/small.jpg"),
    ],
)
def test_each_policy_keeps_the_copy_that_it_names(analysed: Path, keep: tuple[str, ...], kept: str) -> None:
    summary = run(analysed, keep=keep)
    assert (summary.downloaded, summary.groups, summary.duplicates) == (0, 2, 6)
    assert best(analysed) == sorted([kept, "other.jpg"])
    rows = report(analysed)
    assert {row["Kept Witness"] for row in rows.values()} == {"", str(analysed / kept)}
    assert rows[kept]["Group Size"] == "7"
    assert (analysed.with_name("photos_deduplicated") / "best" / kept).read_bytes() == (analysed / kept).read_bytes()


def test_the_policy_chooses_among_equal_bytes_too(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    for day, name in ((3, "a.jpg"), (9, "b.jpg"), (1, "c.jpg")):
        put(folder, name, encode(draw(1)), day)
    for keep, kept in (("quality", "a.jpg"), ("newest", "b.jpg"), ("oldest", "c.jpg")):
        run(folder, keep=(keep,))
        assert best(folder) == [kept]
        others = {path: row for path, row in report(folder).items() if path != kept}
        assert [(row["Relation"], row["Kept Witness"]) for row in others.values()] == [
            ("exact", str(folder / kept))
        ] * 2


def test_a_crop_joins_a_much_smaller_copy_of_the_whole_when_that_is_asked_for(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    picture = draw(3, (800, 600))
    put(folder, "whole.png", encode(picture, "PNG"), 1)
    put(folder, "small.jpg", encode(picture.resize((240, 180))), 2)
    put(folder, "crop.png", encode(picture.crop((100, 60, 780, 560)), "PNG"), 3)
    run(folder, keep=("smallest",))
    assert best(folder) == ["small.jpg"]
    assert report(folder)["crop.png"]["Relation"] == "part"
    run(folder)
    assert best(folder) == ["whole.png"]


def test_of_equals_the_copy_with_its_metadata_is_kept(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    told = Image.Exif()
    told[0x010F], told[0x0110] = "Canon", "=EOS"
    told.get_ifd(0x8769)[0x9003] = "2024:05:01 12:00:00"
    told.get_ifd(0x8825).update({1: "N", 2: (47.0, 22.0, 0.0), 3: "E", 4: (8.0, 32.0, 0.0)})
    part = Image.Exif()
    part[0x010F] = "Canon"
    for name, exif in (("a.jpg", None), ("b.jpg", part), ("c.jpg", told)):
        out = io.BytesIO()
        draw(1).save(out, "JPEG", quality=85, **({} if exif is None else {"exif": exif}))
        put(folder, name, out.getvalue(), 1)
    run(folder)
    assert best(folder) == ["c.jpg"]
    rows = report(folder)
    assert len({row["Quality Score"] for row in rows.values()}) == 1
    columns = ("Taken", "Camera", "GPS")
    assert [rows["a.jpg"][name] for name in columns] == ["", "", ""]
    assert [rows["b.jpg"][name] for name in columns] == ["", "Canon", ""]
    assert [rows["c.jpg"][name] for name in columns] == ["2024-05-01 12:00:00", "Canon =EOS", "yes"]


def test_the_report_shows_what_the_score_is_made_of(analysed: Path) -> None:
    run(analysed)
    rows = report(analysed)
    names = list(rows["other.jpg"])
    parts = ["Sharpness", "Exposure", "Contrast", "Noise", "Compression"]
    assert names[names.index("Format") :] == [
        "Format",
        *parts,
        "Palette",
        "Taken",
        "Camera",
        "GPS",
        "Output Path",
        "Damaged",
        "Confidence",
        "SHA-256",
    ]
    for row in rows.values():
        assert all(0 <= float(row[part]) <= 1 for part in parts)
        colours = row["Palette"].split("; ")
        assert len(colours) == int(row["Dominant Colors"])
        shares = [int(colour.split(" ")[1].removesuffix("%")) for colour in colours]
        assert shares == sorted(shares, reverse=True)
        assert 90 <= sum(shares) <= 110
    assert float(rows["a/web.jpg"]["Compression"]) < float(rows["b/best.png"]["Compression"])


def test_an_unfinished_epoch_of_an_older_format_is_followed_by_a_new_one_on_its_cache(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    put(folder, "a.jpg", encode(draw(1)), 1)
    put(folder, "b.jpg", encode(draw(1)), 2)
    run(folder)
    manifest = tmp_path / "photos_deduplicated" / "_state" / "manifest.json"
    values = json.loads(manifest.read_bytes())
    manifest.write_text(json.dumps({**values, "schema": 1, "phase": "matching"}))
    again = run(folder)
    assert (again.resumed, again.epoch, again.downloaded) == (False, 2, 0)
    assert json.loads(manifest.read_bytes())["schema"] == SCHEMA


@pytest.mark.parametrize(
    ("keep", "reason"),
    [
        ("nicest", "unknown policy 'nicest'; known are quality, lexi,"),
        ("folder:", "folder needs a pattern: folder:PATTERN"),
        ("newest,newest", "'newest' is named twice"),
    ],
)
def test_a_policy_that_is_none_ends_the_job_before_its_first_request(tmp_path: Path, keep: str, reason: str) -> None:
    nobody = "DefaultEndpointsProtocol=http;AccountName=a;AccountKey=YQ==;BlobEndpoint=http://127.0.0.1:1/a;"
    done = imgsieve(tmp_path, "az://photos", "--keep", keep, AZURE_STORAGE_CONNECTION_STRING=nobody)
    assert done.returncode == 2
    assert reason in done.stderr
    assert len(done.stderr.splitlines()) == 1
    with pytest.raises(UsageError, match=r"^keep: "):
        run("az://photos", AzureCredentials.model_validate({"connection_string": nobody}), keep=tuple(keep.split(",")))


@pytest.fixture
def container(azurite: Azurite) -> Iterator[Any]:
    azurite.make_container("keep")
    with azurite.service() as service:
        yield service.get_container_client("keep")
        service.delete_container("keep")


def upload(container: Any, name: str, data: bytes) -> Any:
    """When the service says that the blob was changed last."""
    return container.get_blob_client(name).upload_blob(data, overwrite=True)["last_modified"]


def test_newest_and_oldest_go_by_the_time_that_azure_lists(container: Any, azurite: Azurite) -> None:
    data = encode(draw(1))
    last = None
    for name in ("pics/b.jpg", "pics/a.jpg", "pics/c.jpg"):
        # The service tells full seconds: written again until its clock has gone on.
        while (moment := upload(container, name, data)) == last:
            pass
        last = moment
    for keep, kept in (("newest", "c.jpg"), ("oldest", "b.jpg"), ("quality", "a.jpg")):
        run("az://keep/pics", azurite.credentials, keep=(keep,))
        names = [blob.name for blob in container.list_blobs("pics_deduplicated/best/")]
        assert names == [f"pics_deduplicated/best/{kept}"]
        text = container.download_blob("pics_deduplicated/image_report.csv").readall().decode("utf-8")
        assert next(row["Image Path"] for row in csv.DictReader(io.StringIO(text))) == f"az://keep/pics/{kept}"


def test_a_damaged_picture_is_marked_and_kept_beside_no_whole_one(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    picture = leaves(3)
    hurt = with_hole(encode(picture, quality=95, dpi=(300, 300)), share=0.85)
    put(folder, "a.jpg", hurt, 9)
    put(folder, "b.jpg", encode(picture, quality=70), 1)
    put(folder, "c.jpg", with_hole(encode(leaves(4))), 1)
    for keep in ("quality", "lexi", "newest", "largest"):
        run(folder, keep=(keep,))
        assert best(folder) == ["b.jpg", "c.jpg"]
        rows = report(folder)
        assert {name: row["Damaged"] for name, row in rows.items()} == {"a.jpg": "yes", "b.jpg": "", "c.jpg": "yes"}
        assert rows["a.jpg"]["Kept Witness"] == str(folder / "b.jpg")


def test_of_equal_bytes_the_one_with_companions_is_kept_then_the_plain_name(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    for seed, names in enumerate((("a/IMG_1.jpg", "b/IMG_1.jpg"), ("Copy of IMG_2.jpg", "IMG_2.jpg"))):
        for name in names:
            put(folder, name, encode(draw(seed)), 1)
    run(folder)
    assert best(folder) == ["IMG_2.jpg", "a/IMG_1.jpg"]
    for name in ("b/IMG_1.CR2", "b/IMG_1.xmp"):
        put(folder, name, b"no picture", 1)
    run(folder)
    assert best(folder) == ["IMG_2.jpg", "b/IMG_1.jpg"]


def test_the_full_picture_without_loss_is_kept_before_a_small_jpeg_of_it(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    photograph = Image.open(Path(skimage.data.__file__).parent / "astronaut.png").convert("RGB")
    drawing = Image.new("RGB", (518, 518), "white")
    rng = random.Random(5)
    for x in range(60, 460, 20):
        for y in range(60, 460, 20):
            drawing.paste("black" if rng.random() < 0.5 else "white", (x, y, x + 20, y + 20))
    for name, full in (("photograph", photograph), ("drawing", drawing)):
        half = full.resize((full.width // 2, full.height // 2), Image.Resampling.LANCZOS)
        put(folder, f"{name}_full.png", encode(full, "PNG"), 1)
        put(folder, f"{name}_half.jpg", encode(half, quality=75), 1)
    run(folder)
    assert best(folder) == ["drawing_full.png", "photograph_full.png"]


def test_true_colour_is_kept_before_a_palette(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    picture = draw(7, (640, 480))
    put(folder, "a.gif", encode(picture.quantize(256), "GIF"), 1)
    put(folder, "b.png", encode(picture.quantize(128), "PNG"), 1)
    put(folder, "c.png", encode(picture, "PNG"), 1)
    run(folder)
    assert best(folder) == ["c.png"]
