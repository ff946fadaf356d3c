"""The Azure store against a real server behind a proxy that breaks things, over real sockets, without waiting."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from hashlib import md5
from pathlib import Path

import pytest
from azure.core.exceptions import ClientAuthenticationError
from azure.storage.blob import ContainerSasPermissions, generate_container_sas

from modules.errors import (
    AccessError,
    ConditionFailedError,
    LeaseHeldError,
    NotFoundError,
    StoreAwayError,
    StoreError,
    TransientError,
    UsageError,
)
from modules.retry import AgainError
from tests.azurite import ACCOUNT, KEY, Azurite, connection_string, endpoint, free_port
from tests.faults import (
    Fault,
    Scene,
    Time,
    answer_lost,
    open_at,
    passed,
    play,
    refused,
    reset,
    silent,
    trickling,
    truncated,
)


def test_throttling_is_waited_out_as_asked_and_every_attempt_counts(azurite: Azurite) -> None:
    async def act(scene: Scene) -> None:
        etag = await scene.store.write(scene.key("a"), b"picture")
        scene.proxy.faults["GET"] = [
            refused(503, "ServerBusy", Retry_After="7"),
            refused(429, "TooManyRequests", Retry_After="3"),
            refused(500, "OperationTimedOut"),
        ]
        started = scene.time.now
        content = await scene.store.read(scene.key("a"), if_match=etag)
        assert content.data == b"picture"
        assert scene.store.requests_by_kind == {"write": 1, "read": 4}
        assert scene.store.requests == 5 == sum(scene.proxy.seen.values())
        assert scene.time.now - started == pytest.approx((7 + 0.5) + (3 + 1) + 2)

    play(azurite, act)


def test_throttling_pauses_the_others_too(azurite: Azurite) -> None:
    async def act(scene: Scene) -> None:
        await scene.store.write(scene.key("a"), b"picture")
        scene.proxy.faults["GET"] = [refused(503, "ServerBusy", Retry_After="100000")]
        with pytest.raises(TransientError):
            await scene.store._page(scene.key(""), None, 1, attempts=1)
        assert await scene.store.stat(scene.key("a"))
        assert scene.time.now == pytest.approx(30)  # no service is obeyed for longer

    play(azurite, act)


@pytest.mark.parametrize("fault", [reset, truncated])
def test_broken_connections_and_bodies_are_read_again(azurite: Azurite, fault: Fault) -> None:
    async def act(scene: Scene) -> None:
        data = bytes(range(256)) * 4000
        await scene.store.write(scene.key("a"), data)
        scene.proxy.faults["GET"] = [fault, fault]
        assert (await scene.store.read(scene.key("a"))).data == data
        assert scene.proxy.seen["GET"] == 3 == scene.store.requests_by_kind["read"]
        assert scene.time.slept == [0.5, 1.0]

    play(azurite, act)


@pytest.mark.parametrize("fault", [silent, trickling])
def test_deadlines_end_what_hangs(azurite: Azurite, fault: Fault) -> None:
    async def act(scene: Scene) -> None:
        await scene.store.write(scene.key("a"), b"picture" * 100)
        scene.proxy.faults["GET"] = [fault]
        async with asyncio.timeout(20):
            assert (await scene.store.read(scene.key("a"))).data == b"picture" * 100
        assert scene.store.requests_by_kind["read"] == 2

    play(azurite, act, attempt_seconds=0.5)


async def read_beside_others(scene: Scene) -> None:
    """Read a blob while others get good answers."""
    reading = asyncio.create_task(scene.store.read(scene.key("a")))
    while not reading.done():
        assert await scene.store.stat(scene.key("a"))
    await reading


def test_a_blob_that_always_fails_ends_in_transient_error(azurite: Azurite) -> None:
    async def act(scene: Scene) -> None:
        await scene.store.write(scene.key("a"), b"picture")
        scene.proxy.faults["GET"] = [refused(500, "InternalError") for _ in range(999)]
        with pytest.raises(TransientError, match=r"500 InternalError, in \d+ attempts"):
            await read_beside_others(scene)
        assert scene.time.now < 300

    play(azurite, act)


def test_a_throttled_blob_is_asked_for_again_as_long_as_there_is_patience(azurite: Azurite) -> None:
    async def act(scene: Scene) -> None:
        await scene.store.write(scene.key("a"), b"picture")
        scene.proxy.faults["GET"] = [refused(503, "ServerBusy") for _ in range(9)]
        await read_beside_others(scene)
        scene.proxy.faults["GET"] = [refused(503, "ServerBusy") for _ in range(999)]
        began = scene.time.now
        with pytest.raises(TransientError, match=r"503 ServerBusy, in \d+ attempts"):
            await read_beside_others(scene)
        assert scene.time.now - began >= 300

    play(azurite, act)


def test_a_store_that_answers_nobody_is_away(azurite: Azurite) -> None:
    async def act(scene: Scene) -> None:
        await scene.store.write(scene.key("a"), b"picture")
        scene.proxy.faults["GET"] = [reset for _ in range(99)]
        with pytest.raises(StoreAwayError, match="has not answered for"):
            await scene.store.read(scene.key("a"))
        assert 300 <= scene.time.now <= 340

    play(azurite, act)


def test_a_store_that_only_says_not_now_is_away_after_a_while(azurite: Azurite) -> None:
    async def act(scene: Scene) -> None:
        scene.proxy.faults["GET"] = [refused(503, "ServerBusy") for _ in range(999)]
        with pytest.raises(StoreAwayError, match="has not answered for"):
            await scene.store.check(scene.key(""))
        assert scene.time.now >= 300

    play(azurite, act)


def test_a_store_that_is_busy_at_the_start_is_waited_for(azurite: Azurite) -> None:
    async def act(scene: Scene) -> None:
        scene.proxy.faults["GET"] = [refused(503, "ServerBusy") for _ in range(5)]
        await scene.store.check(scene.key(""))
        assert scene.proxy.seen["GET"] == 6

    play(azurite, act)


def test_lost_answers_of_conditional_requests_are_recognised(azurite: Azurite) -> None:
    async def act(scene: Scene) -> None:
        store, key = scene.store, scene.key("manifest.json")
        scene.proxy.faults["PUT"] = [answer_lost]
        first = await store.write(key, b"one", if_absent=True)
        scene.proxy.faults["PUT"] = [answer_lost]
        second = await store.write(key, b"two", if_match=first)
        found = await store.stat(key)
        assert found is not None
        assert (found.etag, found.content_type) == (second, "application/json")
        scene.proxy.faults["PUT"] = [answer_lost]
        with pytest.raises(ConditionFailedError):
            await store.write(key, b"three", if_match=first)
        scene.proxy.faults["PUT"] = [answer_lost]
        etag = await store.copy(key, scene.key("copy"), source_etag=second)
        scene.proxy.faults["DELETE"] = [answer_lost]
        await store.delete(scene.key("copy"), if_match=etag)
        assert await store.stat(scene.key("copy")) is None
        scene.proxy.faults["PUT"] = [passed, passed, answer_lost]  # absent, made, taken
        lease = await store.lease(scene.key("lock"), 15)
        with pytest.raises(LeaseHeldError):
            await store.lease(scene.key("lock"), 15)
        await lease.release()

    play(azurite, act)


@pytest.mark.parametrize(
    ("status", "code", "expected", "text"),
    [
        (401, "NoAuthenticationInformation", AccessError, "no credentials"),
        (403, "AuthenticationFailed", AccessError, "wrong or has expired"),
        (403, "AuthorizationPermissionMismatch", AccessError, "lack the permission"),
        (403, "Whatever", AccessError, "do not allow"),
        (409, "PublicAccessNotPermitted", AccessError, "no public access"),
        (404, "ContainerNotFound", UsageError, "there is no container"),
        (404, "BlobNotFound", NotFoundError, "there is no blob"),
        (412, "ConditionNotMet", ConditionFailedError, "expected"),
        (412, "LeaseIdMissing", LeaseHeldError, "another job"),
        (409, "BlobArchived", StoreError, "archive tier"),
        (409, "Other", StoreError, "409 Other"),
    ],
)
def test_the_map_of_errors(azurite: Azurite, status: int, code: str, expected: type, text: str) -> None:
    async def act(scene: Scene) -> None:
        scene.proxy.faults["GET"] = [refused(status, code)]
        with pytest.raises(StoreError if expected is StoreError else expected, match=text) as caught:
            await scene.store.read(scene.key("a"))
        assert type(caught.value) is expected
        assert scene.proxy.seen["GET"] == 1

    play(azurite, act)


def test_a_wrong_key_says_so(azurite: Azurite) -> None:
    wrong = connection_string(azurite.port).replace(KEY, "d3Jvbmc=")

    async def act(scene: Scene) -> None:
        with pytest.raises(AccessError, match=r"no access to .* \(403 Auth") as caught:
            await scene.store.check(scene.key(""))
        assert "d3Jvbmc" not in str(caught.value)

    play(azurite, act, credentials=wrong)


def test_sas_reads_copies_and_its_expiry_is_named(azurite: Azurite) -> None:

    def sas(container: str, year: int) -> str:
        return generate_container_sas(
            ACCOUNT, container, KEY, permission=ContainerSasPermissions(True, True, True, list=True),
            expiry=datetime(year, 1, 1, tzinfo=UTC),
        )  # fmt: skip

    async def act(scene: Scene) -> None:
        base = f"{endpoint(azurite.port)}/{scene.container}"
        etag = await scene.store.write(scene.key("a ü.jpg"), b"picture")
        good = open_at(0, "", scene.time, address=f"{base}?{sas(scene.container, 2999)}")
        await good.copy(scene.key("a ü.jpg"), scene.key("b"), source_etag=etag)
        assert (await good.read(scene.key("b"))).data == b"picture"
        await good.close()
        token = sas(scene.container, 2001)
        late = open_at(0, "", scene.time, address=f"{base}?{token}")
        with pytest.raises(AccessError, match=r"the SAS has expired \(se=2001-01-01T00:00:00Z\)") as caught:
            await late.check(scene.key(""))
        assert "sig=" not in repr(caught.value)
        await late.close()

    play(azurite, act)


def test_a_token_that_is_not_to_be_had_is_asked_for_again_before_the_credentials_are_blamed(azurite: Azurite) -> None:
    async def act(scene: Scene) -> None:
        refused_token = ClientAuthenticationError("the identity endpoint answered 500")
        found = [scene.store._translate(refused_token, scene.key("a")) for _ in range(3)]
        assert [type(one) for one in found] == [AgainError, AgainError, AccessError]
        await scene.store.write(scene.key("a"), b"picture")
        later = scene.store._translate(refused_token, scene.key("a"))
        assert isinstance(later, AgainError)  # they worked before

    play(azurite, act)


def test_who_cannot_be_reached_is_named(azurite: Azurite) -> None:
    async def main() -> None:
        port = free_port()
        store = open_at(port, "container", Time())
        with pytest.raises(StoreAwayError, match=f"cannot reach {endpoint(port)}: check the connection, run again"):
            await store.check("container/")
        await store.close()

    asyncio.run(main())


def test_lease_renewal_passes_a_crowd_that_hangs(azurite: Azurite) -> None:
    async def act(scene: Scene) -> None:
        lease = await scene.store.lease(scene.key("lock"), 15)
        await scene.store.write(scene.key("a"), b"picture")
        scene.proxy.faults["GET"] = [silent] * 10
        reads = [asyncio.create_task(scene.store.read(scene.key("a"))) for _ in range(10)]
        while scene.proxy.seen["GET"] < 3:
            await asyncio.sleep(0.01)
        async with asyncio.timeout(20):
            await lease.renew()
        assert scene.proxy.seen["GET"] == 3  # of four connections, one is kept free
        for read in reads:
            read.cancel()
        await asyncio.gather(*reads, return_exceptions=True)
        await lease.release()

    play(azurite, act, connections=4)


def test_directory_stubs_are_left_out_and_empty_files_are_not(azurite: Azurite) -> None:
    async def act(scene: Scene) -> None:
        with azurite.service() as service:
            client = service.get_container_client(scene.container)
            client.upload_blob("p/folder", b"", metadata={"hdi_isfolder": "true"})
            client.upload_blob("p/empty", b"")
            client.upload_blob("p/z.jpg", b"1")
            client.get_blob_client("p/z.jpg").set_standard_blob_tier("Archive")
        pages = [page async for page in scene.store.list(scene.key("p/"), page_size=2)]
        blobs = [blob for page in pages for blob in page.blobs]
        assert [(blob.key, blob.archived) for blob in blobs] == [
            (scene.key("p/empty"), False),
            (scene.key("p/z.jpg"), True),
        ]

    play(azurite, act)


def test_a_large_file_goes_in_blocks_with_its_md5(azurite: Azurite, tmp_path: Path) -> None:
    data = bytes(range(256)) * 70_000  # 17 MiB
    (tmp_path / "report.csv").write_bytes(data)

    async def act(scene: Scene) -> None:
        await scene.store.write(scene.key("report.csv"), tmp_path / "report.csv")
        found = await scene.store.stat(scene.key("report.csv"))
        assert found is not None
        assert (found.md5, found.content_type) == (md5(data).digest(), "text/csv; charset=utf-8")
        assert scene.store.requests_by_kind["write"] == 4  # three blocks and their list
        assert (await scene.store.read(scene.key("report.csv"))).data == data

    play(azurite, act)


def test_names_that_no_url_can_hold_are_refused_one_by_one(azurite: Azurite) -> None:
    async def act(scene: Scene) -> None:
        with pytest.raises(StoreError, match="no URL can address"):
            await scene.store.read(scene.key("a/../b"))

    play(azurite, act)
