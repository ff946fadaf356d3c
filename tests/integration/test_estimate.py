"""``estimate`` on real folders and on Azurite: it changes nothing, and what it says comes true in the run after it."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

import modules.job
import pipeline
from modules.commands.census import Amount
from modules.commands.estimate import run as estimate
from modules.commands.estimate_page import Estimate
from modules.commands.prices import EXAMPLE, read_prices
from modules.commands.transactions import CLASSES
from modules.errors import InterruptedRunError, RetryLaterError, UsageError
from modules.io_utils import Store
from modules.progress import SilentProgress
from modules.settings import AzureCredentials, Settings
from tests.azurite import Azurite
from tests.command import imgsieve
from tests.lost_devices import leave_no_room, lose_gpu
from tests.pictures import collection, draw, encode
from tests.weights import SMALL_TIMM, save_timm

ORIGINALS = 10  # 4 of them with three copies each, 2 with an exact one: 24 files
FILES = 24


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    for name, data in collection(ORIGINALS).items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (folder / "notes.txt").write_text("no picture", encoding="utf-8")
    return folder


def settings(source: Path | str, **changes: Any) -> Settings:
    return Settings(source=str(source), features=("perceptual",), num_process_workers=2, **changes)


def look(
    asked: Settings, credentials: AzureCredentials | None = None, *, sample: int = 24, prices: Path | None = None
) -> Estimate:
    way_in = credentials or AzureCredentials()
    return estimate(asked, way_in, SilentProgress(), threading.Event(), sample=sample, prices=prices)


def work(asked: Settings, credentials: AzureCredentials | None = None) -> None:
    pipeline.run(asked, credentials or AzureCredentials(), SilentProgress(), threading.Event())


def everything(folder: Path) -> dict[str, tuple[int, int, bytes]]:
    """Every file and folder below, with inode, time of change and content."""
    found = {}
    for path in [folder, *folder.rglob("*")]:
        status = path.stat()
        found[str(path)] = (status.st_ino, status.st_mtime_ns, path.read_bytes() if path.is_file() else b"")
    return found


def test_a_fresh_folder_is_counted_and_left_alone(source: Path) -> None:
    before = everything(source.parent)
    found = look(settings(source), sample=6)
    assert everything(source.parent) == before
    size = sum(path.stat().st_size for path in source.rglob("*.*") if path.suffix != ".txt")
    assert found.pictures == found.to_read == Amount(FILES, size)
    assert (found.endings, found.others) == ({"jpg": FILES - 4, "png": 4}, {"txt": 1})
    assert found.copies["copy"].all == found.most("skip") == Amount(FILES, size)
    assert found.copies["skip"].all == Amount(0, 0)  # a folder lists no check sums: nothing is certain yet
    assert found.timing is not None
    assert (found.timing.pictures, found.timing.failed) == (6, 0)
    assert found.reading == pytest.approx(FILES / min(found.rates.values()))
    assert found.requests is None


def test_a_finished_run_leaves_nothing_but_what_is_new(source: Path) -> None:
    work(settings(source))
    before = everything(source.parent)
    found = look(settings(source))
    assert everything(source.parent) == before
    assert (found.to_read, found.timing, found.reading, found.copying) == (Amount(), None, 0.0, 0.0)
    assert found.copies["copy"].there.count == FILES
    assert found.left == Amount()
    assert found.groups_known
    # What the run found a duplicate of is what skip would have copied.
    assert found.copies["skip"].all == found.most("skip")
    assert found.copies["skip"].all.count == 18

    (source / "new.png").write_bytes(encode(draw(77), "PNG"))
    os.utime(source / "0001.jpg", (1, 1))  # another version, as far as a listing can tell
    found = look(settings(source, uniques="skip"))
    assert found.to_read.count == 2
    assert found.timing is not None
    assert not found.groups_known
    assert (found.copies["skip"].all.count, found.most("skip").count) == (18, FILES + 1)
    assert look(settings(source, relations="copy,embedded")).copies["skip"].all == Amount(0, 0)


def test_another_keep_policy_may_put_copies_into_the_other_folder(source: Path) -> None:
    work(settings(source))
    assert look(settings(source, uniques="skip")).moving == Amount()
    asked = settings(source, keep="smallest")
    found = look(asked)
    assert (found.left, found.moving.count) == (Amount(), 18)  # all that have a duplicate
    done = pipeline.run(asked, AzureCredentials(), SilentProgress(), threading.Event())
    assert 0 < done.copied <= found.moving.count
    page = imgsieve(source.parent, "estimate", "pictures", "--features", "perceptual", "--keep", "largest")
    assert "up to 18 of them only to change between best/ and duplicates/" in page.stdout
    page = imgsieve(source.parent, "estimate", "pictures", "--features", "perceptual", "--keep", "smallest")
    assert "only to change" not in page.stdout


class StopsAt(SilentProgress):
    """Asks for the end when so many items of a phase are done."""

    def __init__(self, stop: threading.Event, phase: str, count: int) -> None:
        self.stop, self.wanted, self.left = stop, phase, count
        self.name = ""

    def phase(self, name: str, total: int | None) -> None:
        self.name = name

    def advance(self, count: int = 1) -> None:
        if self.name == self.wanted:
            self.left -= count
            if self.left <= 0:
                self.stop.set()


def test_an_unfinished_run_says_what_is_left_of_it(source: Path) -> None:
    asked = settings(source, shard_rows=4, batch_size=1, queue_items=1, min_download_workers=1, max_download_workers=1)
    stop = threading.Event()
    with pytest.raises(InterruptedRunError):
        pipeline.run(asked, AzureCredentials(), StopsAt(stop, "streaming", 2), stop)
    (source / "new.png").write_bytes(encode(draw(77), "PNG"))  # not of the listing that the run goes on with
    before = everything(source.parent)
    found = look(asked)
    assert everything(source.parent) == before
    assert found.pictures.count == FILES
    assert 0 < found.to_read.count < FILES
    assert "unfinished" in found.state
    assert look(settings(source, relations="copy")).pictures.count == FILES + 1  # another run: a new listing


def test_what_cannot_be_used_is_told_and_not_reckoned_with(source: Path) -> None:
    for name in ("0000.jpg", "0001.jpg"):
        (source / name).write_bytes(b"no picture")
    (source / "huge.jpg").write_bytes(encode(draw(1, (900, 900)), quality=100))
    found = look(settings(source, max_image_bytes=100_000), sample=1000)
    assert found.unusable.count == 1
    assert found.to_read.count == FILES
    assert found.timing is not None
    assert (found.timing.pictures, found.timing.failed) == (FILES, 2)
    assert look(settings(source), sample=0).reading is None


def blobs(azurite: Azurite, container: str) -> dict[str, tuple[str, Any]]:
    with azurite.service() as service:
        client = service.get_container_client(container)
        return {blob.name: (blob.etag, blob.lease.status) for blob in client.list_blobs()}


def test_on_azure_requests_come_true(source: Path, azurite: Azurite, monkeypatch: pytest.MonkeyPatch) -> None:
    azurite.make_container("estimate")
    with azurite.service() as service:
        for path in source.rglob("*.*"):
            name = f"in/{path.relative_to(source)}"
            service.get_blob_client("estimate", name).upload_blob(path.read_bytes())
    asked = settings("az://estimate/in", listing_part=7, shard_rows=8)
    before = blobs(azurite, "estimate")
    stores: list[Any] = []

    def spy(*arguments: Any, **options: Any) -> Store:
        stores.append(modules.io_utils.open_store(*arguments, **options))
        store: Store = stores[-1]
        return store

    monkeypatch.setattr(modules.job, "open_store", spy)
    for to_read in (FILES - 2, 0):
        found = look(asked, azurite.credentials)
        assert blobs(azurite, "estimate") == before
        assert (found.claimed.count, found.to_read.count) == (2, to_read)
        assert found.copies["skip"].all.count == (18 if to_read == 0 else 4)
        work(asked, azurite.credentials)
        before = blobs(azurite, "estimate")
        kinds = stores[-1].requests_by_kind
        made = {name: kinds.get(name, 0) for name in CLASSES}
        made["other"] = kinds.get("stat", 0) + kinds.get("lease", 0)
        assert found.requests is not None
        assert found.requests["copy"] == made["copy"]
        for name in ("list", "read", "write"):
            assert found.requests[name] == pytest.approx(made[name], rel=0.35, abs=8), (name, found.requests, made)
        assert found.requests["other"] == pytest.approx(made["other"], abs=15), (found.requests, made)


def test_the_command_prints_a_page_and_an_object(source: Path) -> None:
    arguments = ("estimate", "pictures", "--features", "perceptual", "--workers", "1", "--sample", "2", "-q")
    shown = imgsieve(source.parent, *arguments)
    assert (shown.returncode, shown.stderr) == (0, "")
    for part in (f"{FILES} (", "2 pictures", "every picture that can be used", "guessed"):
        assert part in shown.stdout
    given = imgsieve(source.parent, *arguments, "--log-format", "json")
    fields = json.loads(given.stdout)
    assert (fields["event"], fields["to_read"]["count"], fields["uniques"]) == ("estimate", FILES, "copy")


def test_models_are_timed_and_auto_fetches_nothing(source: Path, tmp_path: Path) -> None:
    weights = f"timm:{SMALL_TIMM}={save_timm(tmp_path / 'small.safetensors', 1)}"
    names = ("perceptual", f"timm:{SMALL_TIMM}")
    asked = Settings(source=str(source), features=names, weights=(weights,), devices=("cpu",), num_process_workers=1)
    found = look(asked, sample=2)
    assert found.extractors == names
    assert found.timing is not None
    assert found.timing.embed is not None
    assert found.rates["processors"] < min(found.timing.analyse, found.timing.embed)

    arguments = ("estimate", "pictures", "--workers", "1", "--sample", "1", "-q", "--log-format", "json")
    ended = imgsieve(source.parent, *arguments, HF_HOME=str(tmp_path / "cache"))
    fields = json.loads(ended.stdout)
    assert (ended.returncode, ended.stderr, fields["extractors"]) == (0, "", ["efficientnet-lite0", "descriptor"])
    assert fields["note"].startswith("auto: the weights of clip, efficientnet are not at hand")
    assert not (tmp_path / "cache").exists()


def test_a_lost_device_is_reckoned_with_as_a_run_would(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    name = f"timm:{SMALL_TIMM}"
    weights = f"{name}={save_timm(tmp_path / 'small.safetensors', 1)}"
    asked: dict[str, Any] = {"features": (name,), "weights": (weights,), "num_process_workers": 1, "batch_size": 4}
    with monkeypatch.context() as patched:
        leave_no_room(patched, 1)
        found = look(Settings(source=str(source), devices=("cpu", "cpu"), **asked), sample=2)
    assert found.timing is not None
    assert found.timing.embed is not None
    assert "device cpu has too little memory (CUDA out of memory.); the estimate does without it" in caplog.text
    with monkeypatch.context() as patched:
        lose_gpu(patched)
        found = look(Settings(source=str(source), **asked), sample=2)
    assert found.timing is not None
    assert found.timing.shared  # the CPU, where the pictures are decoded too
    assert "illegal memory access was encountered); no other device is left, the CPU goes on" in caplog.text
    leave_no_room(monkeypatch, 2)
    with pytest.raises(RetryLaterError, match=r"cpu has too little memory .*no other device is left: free memory"):
        look(Settings(source=str(source), devices=("cpu", "cpu"), **asked), sample=2)


def test_prices_are_the_persons_own(source: Path, tmp_path: Path, azurite: Azurite) -> None:
    azurite.make_container("prices")
    with azurite.service() as service:
        service.get_blob_client("prices", "in/a.jpg").upload_blob((source / "0000.jpg").read_bytes())
    example = look(settings("az://prices/in"), azurite.credentials, sample=0)
    assert (example.prices, example.example) == (read_prices(), True)
    own = tmp_path / "own.yaml"
    own.write_text(
        "name: ours\ncurrency: EUR\nlist: 10000\nread: 20000\nwrite: 30000\nother: 40000\nstorage_gib_month: 1e9\n",
        encoding="utf-8",
    )
    found = look(settings("az://prices/in"), azurite.credentials, sample=0, prices=own)
    assert found.requests is not None
    cost = found.as_json()["cost"]
    each = {"list": 1, "read": 2, "write": 3, "copy": 3, "other": 4}
    assert {name: cost[name] for name in each} == pytest.approx(
        {name: found.requests[name] * price for name, price in each.items()}
    )
    assert cost["total"] == pytest.approx(sum(cost[name] for name in each))
    assert cost["storage_month"] == pytest.approx(found.pictures.bytes / 2**30 * 1e9)
    environ = {"AZURE_STORAGE_CONNECTION_STRING": azurite.connection_string}
    arguments = ("estimate", "az://prices/in", "--features", "perceptual", "--sample", "0")
    page = imgsieve(source.parent, *arguments, **environ)
    assert "They are an example" in page.stdout
    own.write_text('name: "\\e[2J"\ncurrency: "[/b]\\e[2J"\nlist: 1\nread: 1\nwrite: 1\nother: 1\n', encoding="utf-8")
    page = imgsieve(source.parent, *arguments, "--prices", str(own), **environ)
    assert (page.returncode, "\x1b" in page.stdout) == (0, False), page.stderr
    assert "[/b]\\x1b[2J a month" in page.stdout


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("list: cheap", "list"),
        ("name: x\ncurrency: EUR\nlist: 1\nread: 1\nwrite: 1\nother: -1", "other"),
        ("name: x\ncurrency: EUR\nlist: 1\nread: 1\nwrite: 1\nother: .inf", "other"),
        (EXAMPLE.read_text(encoding="utf-8") + "\nlost: 1", "lost"),
        ("[", "not valid YAML"),
        ("- 1", "name: value"),
        ("list: 2024-99-99", "not valid YAML"),
        ("list: " + 5000 * "9", "not valid YAML"),
        (3000 * "[", "not valid YAML"),
        (None, "cannot be read"),
    ],
)
def test_a_bad_price_table_is_one_line(tmp_path: Path, content: str | None, part: str) -> None:
    table = tmp_path / "prices.yaml"
    if content is not None:
        table.write_text(content, encoding="utf-8")
    with pytest.raises(UsageError) as raised:
        read_prices(table)
    text = str(raised.value)
    assert text.count("\n") == 0
    assert str(table) in text
    assert part in text


def test_a_bad_price_table_ends_the_command_before_the_source_is_looked_at(tmp_path: Path) -> None:
    ended = imgsieve(tmp_path, "estimate", "nowhere", "--prices", "prices.yaml")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == "imgsieve: price file prices.yaml cannot be read: No such file or directory\n"


def test_what_a_run_would_refuse_is_refused(source: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x.txt").write_text("x", encoding="utf-8")
    with pytest.raises(UsageError, match="no pictures below"):
        look(settings(tmp_path / "other"))
    with pytest.raises(UsageError, match="did not make"):
        look(settings(source, output=str(tmp_path / "other")))
    work(settings(source, output=str(tmp_path / "out")))
    with pytest.raises(UsageError, match="is the output of"):
        look(settings(source / "copies", output=str(tmp_path / "out")))
