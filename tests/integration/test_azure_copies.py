"""Copies that the service has not ended at once, or ended badly, against a real server behind a proxy."""

from __future__ import annotations

import pytest
from aiohttp import web

from modules.azure_copy import PENDING_SECONDS
from modules.errors import ConditionFailedError, StoreError
from tests.azurite import Azurite
from tests.faults import Fault, Proxy, Scene, play


def told(status: str) -> Fault:
    """The answer with another copy status."""

    async def answer(proxy: Proxy, request: web.Request, body: bytes) -> web.StreamResponse:
        code, headers, data = await proxy.forward(request, body)
        headers["x-ms-copy-status"] = status
        return web.Response(status=code, headers=headers, body=data)

    return answer


def test_a_pending_copy_is_waited_for(azurite: Azurite) -> None:
    async def act(scene: Scene) -> None:
        etag = await scene.store.write(scene.key("a"), b"picture")
        scene.proxy.faults = {"PUT": [told("pending")], "HEAD": [told("pending")]}
        copied = await scene.store.copy(scene.key("a"), scene.key("b"), source_etag=etag)
        assert (await scene.store.read(scene.key("b"), if_match=copied)).data == b"picture"
        assert scene.time.slept == [1.0, 1.0]
        scene.proxy.faults = {"PUT": [told("pending")], "HEAD": [told("failed")]}
        with pytest.raises(StoreError, match="ended as failed"):
            await scene.store.copy(scene.key("a"), scene.key("c"), source_etag=etag)

    play(azurite, act)


def test_a_copy_that_fails_leaves_nothing_behind(azurite: Azurite) -> None:
    async def act(scene: Scene) -> None:
        store, source, target = scene.store, scene.key("a"), scene.key("b")
        etag = await store.write(source, b"picture")
        for faults in ({"PUT": [told("failed")]}, {"PUT": [told("pending")], "HEAD": [told("aborted")]}):
            scene.proxy.faults = {method: [*waiting] for method, waiting in faults.items()}
            with pytest.raises(StoreError, match=r"ended as (failed|aborted)"):
                await store.copy(source, target, source_etag=etag)
            assert await store.stat(target) is None
        copied = await store.copy(source, target, source_etag=etag)
        assert (await store.read(target, if_match=copied)).data == b"picture"

    play(azurite, act)


def test_what_a_failed_copy_has_left_is_copied_to_again(azurite: Azurite) -> None:
    async def act(scene: Scene) -> None:
        store, source, target = scene.store, scene.key("a ü"), scene.key("b")
        old = await store.write(source, b"picture")
        await store.copy(source, target, source_etag=old)  # by a job that was killed before it saw the end
        new = await store.write(source, b"newer picture")
        scene.proxy.faults["HEAD"] = [told("failed")]
        copied = await store.copy(source, target, source_etag=new)
        assert (await store.read(target, if_match=copied)).data == b"newer picture"

    play(azurite, act)


def test_a_copy_that_is_still_pending_is_gone_on_with(azurite: Azurite) -> None:
    async def act(scene: Scene) -> None:
        store, source, target = scene.store, scene.key("a"), scene.key("b")
        etag = await store.write(source, b"picture")
        first = await store.copy(source, target, source_etag=etag)
        scene.proxy.faults["HEAD"] = [told("pending"), told("pending")]
        assert await store.copy(source, target, source_etag=etag) == first
        assert scene.time.slept == [1.0, 1.0]

    play(azurite, act)


def test_a_pending_copy_of_another_version_is_not_taken_for_this_one(azurite: Azurite) -> None:
    async def act(scene: Scene) -> None:
        store, source, target = scene.store, scene.key("a"), scene.key("b")
        await store.copy(source, target, source_etag=await store.write(source, b"picture"))
        new = await store.write(source, b"changed")
        scene.proxy.faults["HEAD"] = [told("pending")]
        with pytest.raises(ConditionFailedError):
            await store.copy(source, target, source_etag=new)
        assert (await store.read(target)).data == b"picture"

    play(azurite, act)


def test_what_another_tool_has_copied_or_written_there_stays(azurite: Azurite) -> None:
    async def act(scene: Scene) -> None:
        store, source = scene.store, scene.key("a")
        etag = await store.write(source, b"picture")
        other = await store.write(scene.key("other"), b"theirs")
        await store.copy(scene.key("other"), scene.key("b"), source_etag=other)
        await store.write(scene.key("c"), b"theirs")
        scene.proxy.faults["HEAD"] = [told("failed")]
        for name in ("b", "c"):
            with pytest.raises(ConditionFailedError):
                await store.copy(source, scene.key(name), source_etag=etag)
            assert (await store.read(scene.key(name))).data == b"theirs"

    play(azurite, act)


def test_a_copy_that_never_ends_is_not_waited_for_for_ever(azurite: Azurite) -> None:
    async def act(scene: Scene) -> None:
        etag = await scene.store.write(scene.key("a"), b"picture")
        looks = int(PENDING_SECONDS)
        scene.proxy.faults = {"PUT": [told("pending")], "HEAD": [told("pending")] * looks}
        with pytest.raises(StoreError, match="is still pending after 600 s: run again later"):
            await scene.store.copy(scene.key("a"), scene.key("b"), source_etag=etag)
        assert sum(scene.time.slept) == PENDING_SECONDS

    play(azurite, act)
