"""One suite over every store: what the rest of the project may rely on, whatever lies below."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from modules.errors import ConditionFailedError, LeaseHeldError, NotFoundError, UsageError
from modules.io_utils import Location, Store, open_store
from modules.memory_store import MemoryStore
from modules.records import BlobInfo
from modules.store_thread import StoreThread
from tests.azurite import Azurite

NAMES = [
    "a b.jpg",
    "=cmd.jpg",
    "100%25 sure.jpg",
    "#1?x=1&y=2.jpg",
    "Süß/ümlaut 日本 🖼.jpg",
    "plus+quote'\"[x]{y}~.jpg",
]


@dataclass
class Place:
    """A store and a fresh prefix in it, driven as the project drives it: from another thread."""

    thread: StoreThread
    prefix: str

    @property
    def store(self) -> Store:
        return self.thread.store

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.thread.run(coroutine)

    def write(self, name: str, data: bytes | Path = b"data", **conditions: Any) -> str:
        etag: str = self.run(self.store.write(self.prefix + name, data, **conditions))
        return etag

    def read(self, name: str, **conditions: Any) -> bytes:
        data: bytes = self.run(self.store.read(self.prefix + name, **conditions)).data
        return data

    def stat(self, name: str) -> BlobInfo | None:
        found: BlobInfo | None = self.run(self.store.stat(self.prefix + name))
        return found

    def pages(self, under: str = "", **options: Any) -> list[Any]:
        async def collect() -> list[Any]:
            return [page async for page in self.store.list(self.prefix + under, **options)]

        pages: list[Any] = self.run(collect())
        return pages

    def names(self, under: str = "", **options: Any) -> list[str]:
        pages = self.pages(under, **options)
        return [blob.key.removeprefix(self.prefix) for page in pages for blob in page.blobs]


@pytest.fixture(params=["folder", "memory", "azurite"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "folder":
        location, credentials = Location.parse(str(tmp_path)), None
    elif request.param == "memory":
        location, credentials = Location.parse("mem://container/here"), None
    else:
        azurite: Azurite = request.getfixturevalue("azurite")
        container = f"c{uuid.uuid4().hex}"
        azurite.make_container(container)
        location, credentials = Location.parse(f"az://{container}/here"), azurite.credentials
    thread = StoreThread(open_store(location, credentials, connections=4))
    yield Place(thread, location.prefix)
    thread.close()


def test_lists_in_key_order_without_neighbours(place: Place) -> None:
    for name in ["photos/b", "photos2/x", "photos_deduplicated/y", "photos/a/z", "photos/a.jpg", "photos/a-b", "q"]:
        place.write(name)
    assert place.names("photos/") == ["photos/a-b", "photos/a.jpg", "photos/a/z", "photos/b"]
    assert place.names("photos") == sorted(place.names("photos"))
    assert place.names("photos") == [name for name in place.names() if name != "q"]


def test_pages_and_markers(place: Place) -> None:
    names = sorted(f"n/{number:02}" for number in range(7))
    for name in names:
        place.write(name)
    pages = place.pages("n/", page_size=3)
    assert [name for page in pages for name in (blob.key.removeprefix(place.prefix) for blob in page.blobs)] == names
    assert all(len(page.blobs) <= 3 for page in pages)
    assert pages[-1].marker is None
    assert all(page.marker for page in pages[:-1])
    assert place.names("n/", page_size=3, marker=pages[0].marker) == names[3:]


def test_marker_continues_inside_folders(place: Place) -> None:
    names = ["a/b/c", "a/b/d", "a/b0", "a/e", "b"]
    for name in names:
        place.write(name)
    seen, marker = [], None
    while True:
        page = place.pages(page_size=1, marker=marker)[0]
        seen += [blob.key.removeprefix(place.prefix) for blob in page.blobs]
        marker = page.marker
        if marker is None:
            break
    assert seen == names


def test_an_empty_prefix_is_one_empty_page(place: Place) -> None:
    place.write("other")
    (page,) = place.pages("nothing/")
    assert (page.blobs, page.marker) == ([], None)


@pytest.mark.parametrize("name", NAMES)
def test_any_name_goes_through_every_operation(place: Place, name: str) -> None:
    etag = place.write(name, name.encode())
    assert place.names() == [name]
    assert place.read(name, if_match=etag) == name.encode()
    copied = place.run(place.store.copy(place.prefix + name, place.prefix + "best/" + name, source_etag=etag))
    assert place.read("best/" + name, if_match=copied) == name.encode()
    place.run(place.store.delete(place.prefix + name, if_match=etag))
    assert place.names() == ["best/" + name]


@pytest.mark.parametrize("data", [b"", b"\r\n\0\xff", bytes(range(256)) * 5000])
def test_bytes_come_back_as_they_went(place: Place, data: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    place.write("bytes", data)
    local = tmp_path_factory.mktemp("local") / "file"
    local.write_bytes(data)
    etag = place.write("from a file", local)
    assert place.read("bytes") == data
    assert place.read("from a file", if_match=etag) == data


def test_stat_says_what_the_listing_says(place: Place) -> None:
    etag = place.write("x/y.jpg", b"12345")
    (page,) = place.pages()
    assert page.blobs == [place.stat("x/y.jpg")]
    (blob,) = page.blobs
    assert (blob.size, blob.etag, blob.archived) == (5, etag, False)
    assert blob.md5 in (None, hashlib.md5(b"12345").digest())
    assert '"' not in blob.etag
    assert place.stat("absent") is None


def test_the_time_of_the_last_change_only_rises(place: Place) -> None:
    before = time.time()
    for name in ("a", "b", "a"):
        place.write(name, name.encode())
    a, b = (blob for page in place.pages() for blob in page.blobs)
    assert before - 2 <= b.modified_ns / 1e9 <= a.modified_ns / 1e9 <= time.time() + 2  # full seconds on Azure


def test_reading_checks_the_version(place: Place) -> None:
    old = place.write("k", b"old")
    new = place.write("k", b"newer")
    assert old != new
    assert place.read("k", if_match=new) == b"newer"
    with pytest.raises(ConditionFailedError):
        place.read("k", if_match=old)
    with pytest.raises(NotFoundError):
        place.read("absent")


def test_a_part_is_read_alone(place: Place) -> None:
    data = bytes(range(100))
    etag = place.write("k", data)
    assert place.read("k", if_match=etag, part=(0, 40)) == data[:40]
    assert place.read("k", if_match=etag, part=(40, 40)) == data[40:80]
    assert place.read("k", part=(80, 40)) == data[80:]
    assert place.run(place.store.read(place.prefix + "k", part=(99, 1))).etag == etag
    place.write("k", b"newer")
    with pytest.raises(ConditionFailedError):
        place.read("k", if_match=etag, part=(0, 1))


def test_write_if_absent(place: Place) -> None:
    etag = place.write("k", b"one", if_absent=True)
    with pytest.raises(ConditionFailedError):
        place.write("k", b"two", if_absent=True)
    assert place.read("k") == b"one"
    assert place.write("k", b"one", if_absent=True) == etag  # as after a lost answer


def test_write_if_match(place: Place) -> None:
    first = place.write("k", b"one")
    second = place.write("k", b"second", if_match=first)
    with pytest.raises(ConditionFailedError):
        place.write("k", b"third", if_match=first)
    assert place.write("k", b"second", if_match=first) == second  # as after a lost answer
    with pytest.raises(ConditionFailedError):
        place.write("absent", b"x", if_match=first)
    assert place.read("k") == b"second"


def test_copy_needs_the_source_that_was_listed(place: Place) -> None:
    old = place.write("k", b"old")
    new = place.write("k", b"newer")
    copy = place.store.copy
    with pytest.raises(ConditionFailedError):
        place.run(copy(place.prefix + "k", place.prefix + "t", source_etag=old))
    assert place.stat("t") is None
    with pytest.raises(NotFoundError):
        place.run(copy(place.prefix + "absent", place.prefix + "t", source_etag=old))
    etag = place.run(copy(place.prefix + "k", place.prefix + "t", source_etag=new))
    found = place.stat("t")
    assert found is not None
    assert found.etag == etag
    assert place.read("t") == b"newer"


def test_copy_goes_to_an_empty_place_only(place: Place) -> None:
    etag = place.write("k", b"one")
    place.write("t", b"two")
    with pytest.raises(ConditionFailedError):
        place.run(place.store.copy(place.prefix + "k", place.prefix + "t", source_etag=etag))
    assert place.read("t") == b"two"
    first = place.run(place.store.copy(place.prefix + "k", place.prefix + "c", source_etag=etag))
    again = place.run(place.store.copy(place.prefix + "k", place.prefix + "c", source_etag=etag))
    assert again == first  # as after a lost answer


def test_delete_only_what_is_meant(place: Place) -> None:
    old = place.write("k", b"old")
    new = place.write("k", b"newer")
    with pytest.raises(ConditionFailedError):
        place.run(place.store.delete(place.prefix + "k", if_match=old))
    place.run(place.store.delete(place.prefix + "k", if_match=new))
    assert place.stat("k") is None
    place.run(place.store.delete(place.prefix + "k", if_match=new))


def test_lease_is_exclusive(place: Place) -> None:
    take: Callable[[], Any] = lambda: place.run(place.store.lease(place.prefix + "state/lock", 15))  # noqa: E731
    first = take()
    with pytest.raises(LeaseHeldError):
        take()
    place.run(first.renew())
    with pytest.raises(LeaseHeldError):
        take()
    place.run(first.release())
    place.run(first.release())
    second = take()
    with pytest.raises(LeaseHeldError):
        place.run(first.renew())
    place.run(first.release())
    with pytest.raises(LeaseHeldError):
        take()
    place.run(second.release())


def test_check(place: Place) -> None:
    place.write("x")
    place.run(place.store.check(place.prefix))
    missing = place.prefix.replace("here", "gone")
    missing = "/nowhere/" + missing if missing.startswith("/") else "missing-container/x/"
    with pytest.raises(UsageError, match=r"there is no (container|folder)"):
        place.run(place.store.check(missing))


def test_address_is_plain(place: Place) -> None:
    scheme = {"/": "", "c": "az://"}[place.prefix[0]] if not isinstance(place.store, MemoryStore) else "mem://"
    assert place.store.address(place.prefix + "=ä b") == f"{scheme}{place.prefix}=ä b"
