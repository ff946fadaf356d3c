import json
from contextlib import closing
from pathlib import Path

import pytest

from modules.errors import UsageError
from modules.io_utils import FolderStore
from modules.location import Location
from modules.memory_store import MemoryStore
from modules.outputs.layout import Layout, default_output
from modules.outputs.listing_filter import ListingFilter, is_picture
from modules.outputs.ownership import check_output_is_ours, claim_output, is_marker
from modules.records import BlobInfo
from modules.state.manifest import Manifest, ManifestFile
from modules.store_thread import StoreThread

ACCOUNT = "https://pics.blob.core.windows.net"


def layout_of(source: str, output: str | None = None, state: str | None = None) -> Layout:
    places = [None if text is None else Location.parse(text) for text in (output, state)]
    return Layout.for_run(Location.parse(source), *places)


def put(thread: StoreThread, key: str, data: bytes = b"x") -> None:
    thread.run(thread.store.write(key, data))


def test_default_places() -> None:
    assert layout_of("az://photos/2024") == Layout(
        "photos/2024/", "photos/2024_deduplicated/", layout_of("az://photos/2024").state
    )
    assert layout_of("az://photos/2024").state == "photos/2024_deduplicated/_state/"
    assert layout_of("az://photos").output == "photos/photos_deduplicated/"
    assert layout_of("/data/my photos/").output == "/data/my photos_deduplicated/"
    with pytest.raises(UsageError, match="whole file system"):
        default_output(Location.parse("/"))


def test_targets_keep_the_path_below_the_source() -> None:
    layout = layout_of("mem://pix/in")
    assert layout.target("pix/in/a/=x.jpg", best=True) == "pix/in_deduplicated/best/a/=x.jpg"
    assert layout.target("pix/in/b.jpg", best=False) == "pix/in_deduplicated/duplicates/b.jpg"
    assert layout.dry().report == "pix/in_deduplicated/_state/dry_run/image_report.csv"


@pytest.mark.parametrize(
    ("source", "output", "state", "word"),
    [
        ("mem://pix/in", "mem://pix/in", None, "source itself"),
        ("mem://pix/in", "mem://pix/in/out", None, "inside the source"),
        ("mem://pix/in/deep", "mem://pix/in", None, "inside the output"),
        ("mem://pix", "mem://pix/other", None, "inside the source"),
        ("mem://pix/in", "mem://pix", None, "inside the output"),
        ("mem://pix/in", None, "mem://pix/in/state", "state pix/in/state/ lies inside the source"),
        ("mem://pix/in", "mem://pix/out", "mem://pix", "inside the state"),
        ("mem://pix/in", "mem://box/out", "mem://box", "output lies inside the state"),
        ("mem://pix/in", "mem://box/out", "mem://box/out/best", "among the results"),
        ("mem://pix/in", "mem://box/out", "mem://box/out", "inside the state"),
        ("mem://pix/in", "/out", None, "different stores"),
        ("az://pix/in", "/out", None, "different stores"),
        ("az://pix/in", f"{ACCOUNT}/box", None, "like the source"),
        (f"{ACCOUNT}/pix/in", "https://more.blob.core.windows.net/box", None, "one storage account"),
        (f"{ACCOUNT}/pix/in", f"{ACCOUNT}/box?sv=1&sig=abc", None, "SAS of its own"),
    ],
)
def test_places_that_do_not_go_together(source: str, output: str | None, state: str | None, word: str) -> None:
    with pytest.raises(UsageError, match=word) as error:
        layout_of(source, output, state)
    assert "abc" not in str(error.value)
    assert "\n" not in str(error.value)


def test_places_that_do() -> None:
    assert layout_of("mem://pix/photos", "mem://pix/photos2").output == "pix/photos2/"
    assert layout_of("mem://pix", "mem://pix/pix_deduplicated").output == "pix/pix_deduplicated/"
    assert layout_of("mem://pix/in", None, "mem://pix/states/in").state == "pix/states/in/"
    assert layout_of(f"{ACCOUNT}/pix/in?sv=1&sig=abc", "az://box/out").output == "box/out/"
    same = f"{ACCOUNT}/box/out?sv=1&sig=abc"
    assert layout_of(f"{ACCOUNT.replace('pics', 'Pics')}/pix/in?sv=1&sig=abc", same).output == "box/out/"


def test_links_do_not_hide_that_output_and_source_are_one(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "photos")
    with pytest.raises(UsageError, match="source itself"):
        layout_of(str(tmp_path / "photos"), str(tmp_path / "link"))
    with pytest.raises(UsageError, match="inside the source"):
        layout_of(str(tmp_path / "photos"), str(tmp_path / "link" / "out"))


def test_an_output_of_another_tool_is_refused(thread: StoreThread) -> None:
    layout = layout_of("mem://pix/in")
    check_output_is_ours(thread, layout)
    put(thread, layout.lock)
    check_output_is_ours(thread, layout)  # killed right after its start
    put(thread, layout.output + "zz.txt")
    with pytest.raises(UsageError, match=r"mem://pix/in_deduplicated holds files that imgsieve did not make"):
        check_output_is_ours(thread, layout)
    put(thread, layout.marker, b"{}")
    with pytest.raises(UsageError, match="another tool"):
        check_output_is_ours(thread, layout)


def test_an_output_with_a_manifest_is_ours(thread: StoreThread) -> None:
    layout = layout_of("mem://pix/in")
    ManifestFile(thread, layout.manifest).save(Manifest.first({}, thread.store.address(layout.output)))
    put(thread, layout.best + "a.jpg")
    claim_output(thread, layout)
    check_output_is_ours(thread, layout)
    assert "run_id" in json.loads(thread.run(thread.store.read(layout.marker)).data)
    with pytest.raises(
        UsageError, match=r"state at mem://pix/in_deduplicated/_state, not at mem://pix/other: say --state"
    ):
        check_output_is_ours(thread, layout_of("mem://pix/in", None, "mem://pix/other"))
    with pytest.raises(UsageError, match=r"source is an output of imgsieve.*mem://pix/in_deduplicated/best"):
        check_output_is_ours(thread, layout_of("mem://pix/in_deduplicated"))


def test_a_state_elsewhere_leaves_a_pointer(thread: StoreThread, store: MemoryStore) -> None:
    layout = layout_of("mem://pix/in", "mem://pix/out", "mem://pix/states/1")
    ManifestFile(thread, layout.manifest).save(Manifest.first({}, thread.store.address(layout.output)))
    put(thread, layout.report)
    check_output_is_ours(thread, layout)  # killed before the pointer was written
    claim_output(thread, layout)
    claim_output(thread, layout)
    assert store.writes.count("pix/out/_state/manifest.json") == 1
    check_output_is_ours(thread, layout)
    with pytest.raises(UsageError, match=r"say --state mem://pix/states/1"):
        check_output_is_ours(thread, layout_of("mem://pix/in", "mem://pix/out"))
    with pytest.raises(UsageError, match=r"belongs to the output mem://pix/out, not to mem://pix/new"):
        check_output_is_ours(thread, layout_of("mem://pix/in", "mem://pix/new", "mem://pix/states/1"))


def test_of_two_jobs_that_claim_one_output_for_different_states_one_is_refused(
    thread: StoreThread, store: MemoryStore
) -> None:
    first, second = (layout_of("mem://pix/in", "mem://pix/out", f"mem://pix/states/{n}") for n in (1, 2))

    def come_first(operation: str, key: str) -> None:
        if (operation, key) == ("write", second.marker):
            store.on_request = None
            pointer = json.dumps({"imgsieve": 1, "state": "mem://pix/states/1"}).encode()
            store.blobs[key] = store.blobs[second.lock].__class__(pointer, "theirs")

    put(thread, second.lock)
    store.on_request = come_first
    with pytest.raises(UsageError, match=r"state at mem://pix/states/1, not at mem://pix/states/2"):
        claim_output(thread, second)
    claim_output(thread, first)


@pytest.mark.parametrize("marker", [b"[" * 200_000, b"[]", b"\xff", b""])
def test_a_file_that_is_called_like_a_marker_marks_nothing(thread: StoreThread, marker: bytes) -> None:
    put(thread, "pix/in/odd/_state/manifest.json", marker)
    assert not is_marker(thread, "pix/in/odd/_state/manifest.json")


def test_a_file_too_large_for_a_marker_is_not_read(thread: StoreThread, store: MemoryStore) -> None:
    layout = layout_of("mem://pix/in")
    large = json.dumps({"run_id": "1", "state_of": "x", "more": "x" * 1024 * 1024}).encode()
    put(thread, "pix/in/odd/_state/manifest.json", large)
    assert not is_marker(thread, "pix/in/odd/_state/manifest.json")
    put(thread, "pix/in/_state/manifest.json", large)
    check_output_is_ours(thread, layout)  # its source is no output
    assert set(store.reads) == {layout.marker}  # which is not there
    store.reads.clear()
    put(thread, layout.marker, large)
    with pytest.raises(UsageError, match=r"is damaged or was made by another tool"):
        check_output_is_ours(thread, layout)
    assert store.reads == []


def test_a_marker_that_cannot_be_read_is_none_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "manifest.json").symlink_to("manifest.json")
    with closing(StoreThread(FolderStore())) as owner:
        assert not is_marker(owner, f"{tmp_path}/manifest.json")
    assert "taken for no output of imgsieve" in caplog.text


def test_ownership_of_folders(tmp_path: Path) -> None:
    owner = StoreThread(FolderStore())
    (tmp_path / "in").mkdir()
    layout = layout_of(str(tmp_path / "in"))
    check_output_is_ours(owner, layout)
    (tmp_path / "in_deduplicated").mkdir()
    (tmp_path / "in_deduplicated" / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="did not make"):
        check_output_is_ours(owner, layout)
    owner.close()


def test_pictures_by_name_or_type() -> None:
    for name in ("a.jpg", "a.JPEG", "ä b.Png", "x/.webp", "a.b.tiff", "a.jfif", "a.gif", "a.bmp", "a.jpe"):
        assert is_picture(BlobInfo(f"pix/{name}", 1, "1"))
    assert is_picture(BlobInfo("pix/noname", 1, "1", content_type="Image/JPEG"))
    for name in ("a.txt", "jpg", "a.jpg/readme", "a.jpg.bak", "a."):
        assert not is_picture(BlobInfo(f"pix/{name}", 1, "1", content_type="application/octet-stream"))


def test_outputs_are_left_out_wherever_they_lie() -> None:
    keys = [
        "pix/in/a.jpg",
        "pix/in/old_deduplicated/_SUCCESS",
        "pix/in/old_deduplicated/_state/catalogue/p.parquet",
        "pix/in/old_deduplicated/_state/manifest.json",
        "pix/in/old_deduplicated/best/a.jpg",
        "pix/in/old_deduplicated/duplicates/_state/manifest.json",
        "pix/in/old_deduplicated2/b.jpg",
        "pix/in/z.jpg",
    ]
    assert keys == sorted(keys)
    blobs = [BlobInfo(key, 1, "1") for key in keys]
    keep = ListingFilter(lambda key: True)
    assert [blob.key for blob in blobs if keep(blob)] == [keys[0], keys[6], keys[7]]
    assert keep.excluded == ("pix/in/old_deduplicated/",)
    resumed = ListingFilter(lambda key: True, keep.excluded)
    assert not resumed(blobs[4])
    assert resumed(blobs[6])


def test_a_file_that_only_has_the_name_of_a_marker_hides_nothing() -> None:
    keep = ListingFilter(lambda key: False)
    names = ("c/x/_state/manifest.json", "c/x/best/a.jpg", "c/x/b.MP4", "c/x/c", "c/x/d.mp4")
    assert [name for name in names if keep(BlobInfo(name, 1, "1"))] == ["c/x/best/a.jpg"]
    assert keep.excluded == ()
    assert keep.others == {"json": 1, "mp4": 2, "": 1}


def test_endings_of_what_is_left_out_are_counted_up_to_a_thousand() -> None:
    keep = ListingFilter(lambda key: False)
    for number in range(1500):
        assert not keep(BlobInfo(f"c/x/file.{number}", 1, "1"))
    assert not keep(BlobInfo("c/x/other.7", 1, "1"))
    assert (len(keep.others), keep.others["7"], keep.others["..."]) == (1001, 2, 500)


@pytest.mark.parametrize("ending", ["jpg", "MPO", "Avif", "HEIC", "heif", "hif", "avifs"])
def test_pictures_are_known_by_their_ending(ending: str) -> None:
    keep = ListingFilter(lambda key: False)
    assert keep(BlobInfo(f"c/x/holiday.{ending}", 1, "1"))
    assert not keep(BlobInfo(f"c/x/holiday.{ending}.txt", 1, "1"))
