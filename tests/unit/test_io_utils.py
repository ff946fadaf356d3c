from __future__ import annotations

import asyncio
import errno
import multiprocessing
import os
import shutil
import threading
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from modules.errors import (
    AccessError,
    BadNameError,
    ConditionFailedError,
    LeaseHeldError,
    NotFoundError,
    StoreAwayError,
    UsageError,
)
from modules.io_utils import FolderStore, Location, open_store
from modules.memory_store import MemoryStore
from modules.records import BlobInfo


def test_a_time_beyond_the_states_numbers_is_the_furthest_one(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"a")
    os.utime(path, (2e10, 2e10))  # the year 2603, or what this file system makes of it
    (blob,) = listed(FolderStore(), f"{tmp_path}/")
    assert blob.modified_ns == min(path.stat().st_mtime_ns, 2**63 - 1)


def listed(store: FolderStore, prefix: str, **options: int) -> list[BlobInfo]:
    async def collect() -> list[BlobInfo]:
        return [blob async for page in store.list(prefix, **options) for blob in page.blobs]  # type: ignore[arg-type]

    return asyncio.run(collect())


def test_open_store_kinds(tmp_path: Path) -> None:
    assert isinstance(open_store(Location.parse(str(tmp_path))), FolderStore)
    assert isinstance(open_store(Location.parse("mem://pics")), MemoryStore)


def test_names_that_are_not_utf8_are_listed_and_fail_clearly(tmp_path: Path) -> None:
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jpg")).write_bytes(b"x")
    store = FolderStore()
    (blob,) = listed(store, f"{tmp_path}/")
    assert blob.key == f"{tmp_path}/caf\\xe9.jpg"
    assert blob.key.encode()
    with pytest.raises(BadNameError, match="its true name is not valid UTF-8, rename it"):
        asyncio.run(store.read(blob.key))


def test_links_to_files_are_followed_and_to_folders_not(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.jpg").write_bytes(b"x")
    (tmp_path / "a" / "loop").symlink_to(tmp_path)
    (tmp_path / "linked.jpg").symlink_to("a/x.jpg")
    (tmp_path / "broken").symlink_to("nowhere")
    (tmp_path / "self").symlink_to("self")
    (tmp_path / ".hidden").mkdir()
    (tmp_path / ".hidden" / "y.jpg").write_bytes(b"y")
    (tmp_path / f".imgsieve-{'0' * 32}").write_bytes(b"half written")
    (tmp_path / ".imgsieve-mine.jpg").write_bytes(b"a person's")
    os.mkfifo(tmp_path / "pipe")
    names = [blob.key.removeprefix(f"{tmp_path}/") for blob in listed(FolderStore(), f"{tmp_path}/")]
    assert names == [".hidden/y.jpg", ".imgsieve-mine.jpg", "a/x.jpg", "linked.jpg"]


def test_a_name_that_is_shown_like_another_one_is_left_out_loudly(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "a\\xff.jpg").write_bytes(b"true name")
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/a\xff.jpg")).write_bytes(b"odd")
    (blob,) = listed(FolderStore(), f"{tmp_path}/")
    assert asyncio.run(FolderStore().read(blob.key)).data == b"true name"
    assert "not valid UTF-8" in caplog.text


def test_a_pipe_where_a_file_was_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jpg")
    with pytest.raises(NotFoundError, match="no file any more"):
        asyncio.run(FolderStore().read(f"{tmp_path}/a.jpg", if_match="1-1"))


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert listed(FolderStore(), f"{tmp_path}/file/") == []
    with pytest.raises(UsageError, match=r"file/_state/lock: a part of this path is a file"):
        asyncio.run(FolderStore().lease(f"{tmp_path}/file/_state/lock", 15))


def test_a_copy_keeps_time_and_etag_and_leaves_nothing_behind(tmp_path: Path) -> None:
    async def main() -> None:
        store = FolderStore()
        source, target = f"{tmp_path}/a.jpg", f"{tmp_path}/out/deep/b.jpg"
        etag = await store.write(source, b"picture")
        assert await store.copy(source, target, source_etag=etag) == etag
        with pytest.raises(ConditionFailedError):
            await store.copy(source, target, source_etag="1-1")
        found = await store.stat(target)
        assert found is not None
        assert found.etag == etag

    asyncio.run(main())
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.jpg", "b.jpg", "deep", "out"]


def test_readers_see_a_whole_file_while_writers_replace_it(tmp_path: Path) -> None:
    async def main() -> None:
        store, key = FolderStore(), f"{tmp_path}/k"
        versions = [bytes([number]) * 200_000 for number in range(4)]
        await store.write(key, versions[0])

        async def write() -> None:
            for number in range(40):
                await store.write(key, versions[number % 4])

        writing = asyncio.create_task(write())
        reads = 0
        while not writing.done():
            assert (await store.read(key)).data in versions
            reads += 1
        await writing
        assert reads > 3

    asyncio.run(main())


def test_of_many_writers_of_an_absent_file_one_wins(tmp_path: Path) -> None:
    won: list[int] = []

    def write(number: int) -> None:
        try:
            asyncio.run(FolderStore().write(f"{tmp_path}/k", b"%d" % number, if_absent=True))
        except ConditionFailedError:
            return
        won.append(number)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [(tmp_path / "k").read_bytes()] == [b"%d" % number for number in won]


def test_a_full_disk_is_told_of_the_copy_not_of_the_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: object, target: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(source))

    async def main() -> None:
        store = FolderStore()
        etag = await store.write(f"{tmp_path}/a.jpg", b"picture")
        monkeypatch.setattr(shutil, "copyfile", full)
        await store.copy(f"{tmp_path}/a.jpg", f"{tmp_path}/out/a.jpg", source_etag=etag)

    with pytest.raises(StoreAwayError, match=r"cannot write .*/out/a\.jpg: No space left on device: make room"):
        asyncio.run(main())


@pytest.fixture
def no_hard_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on exFAT, and on some network shares."""

    def refuse(source: object, target: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)


@pytest.mark.usefixtures("no_hard_links")
def test_without_hard_links_a_file_that_is_there_stays(tmp_path: Path) -> None:
    async def main() -> None:
        store, key = FolderStore(), f"{tmp_path}/k"
        etag = await store.write(key, b"first", if_absent=True)
        assert await store.write(key, b"first", if_absent=True) == etag
        with pytest.raises(ConditionFailedError):
            await store.write(key, b"second", if_absent=True)
        other = await store.write(f"{tmp_path}/other", b"other")
        with pytest.raises(ConditionFailedError):
            await store.copy(f"{tmp_path}/other", key, source_etag=other)
        assert (await store.read(key)).data == b"first"

    asyncio.run(main())


@pytest.mark.usefixtures("no_hard_links")
def test_without_hard_links_a_kill_leaves_no_name_without_its_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(source: object, target: object) -> None:
        raise SystemExit

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(SystemExit):
        asyncio.run(FolderStore().write(f"{tmp_path}/k", b"whole", if_absent=True))
    assert not (tmp_path / "k").exists()


def _hold(key: str, held: Event) -> None:
    async def main() -> None:
        lease = await FolderStore().lease(key, 15)
        held.set()
        await asyncio.Event().wait()  # until killed
        await lease.release()

    asyncio.run(main())


def test_a_killed_process_gives_its_lease_back(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    held = context.Event()
    process = context.Process(target=_hold, args=(f"{tmp_path}/lock", held))
    process.start()
    assert held.wait(60)
    store = FolderStore()
    with pytest.raises(LeaseHeldError):
        asyncio.run(store.lease(f"{tmp_path}/lock", 15))
    process.kill()
    process.join()
    lease = asyncio.run(store.lease(f"{tmp_path}/lock", 15))
    (tmp_path / "lock").unlink()
    with pytest.raises(LeaseHeldError, match="removed or replaced"):
        asyncio.run(lease.renew())
    asyncio.run(lease.release())


def test_check_names_what_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = FolderStore()
    with pytest.raises(UsageError, match="is a file, not a folder"):
        asyncio.run(store.check(f"{tmp_path}/file/"))
    with pytest.raises(UsageError, match="there is no folder"):
        asyncio.run(store.check(f"{tmp_path}/gone/"))


def test_writing_where_nobody_may_is_an_access_error() -> None:
    with pytest.raises(AccessError, match="cannot write /sys/"):
        asyncio.run(FolderStore().write("/sys/kernel/imgsieve/x", b""))


def test_a_file_in_the_way_of_a_folder_ends_one_copy_only(tmp_path: Path) -> None:
    async def main() -> None:
        store = FolderStore()
        etag = await store.write(f"{tmp_path}/a", b"1")
        with pytest.raises(Exception, match="cannot write") as caught:
            await store.copy(f"{tmp_path}/a", f"{tmp_path}/a/b", source_etag=etag)
        assert type(caught.value).__name__ == "StoreError"

    asyncio.run(main())


def test_memory_store_counts_and_fails_on_demand() -> None:
    async def main() -> None:
        store = MemoryStore()
        etag = await store.write("c/a", b"1")

        def fail(operation: str, key: str) -> None:
            if operation == "read":
                raise ConditionFailedError(key)

        store.on_request = fail
        with pytest.raises(ConditionFailedError):
            await store.read("c/a")
        store.on_request = None
        await store.copy("c/a", "c/b", source_etag=etag)
        assert (store.reads, store.copies, store.requests) == (["c/a"], [("c/a", "c/b")], 3)

    asyncio.run(main())
