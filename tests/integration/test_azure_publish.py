"""Publishing into a real blob service: what its own tools leave on copies of ours."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest
from aiohttp import web

from modules.azure_utils import AzureStore
from modules.io_utils import Store
from modules.outputs.journal import write_journal
from modules.outputs.layout import Layout
from modules.outputs.publish import PublishResult
from modules.state.schemas import JournalRow
from modules.state.shards import ShardWriter
from tests.azurite import Azurite
from tests.faults import Fault, Proxy, Time, behind, open_at, passed
from tests.publishing import World


def world_in(container: str, store: AzureStore, worlds: Callable[[Store], World]) -> World:
    world = worlds(store)
    world.layout = Layout(f"{container}/in/", f"{container}/out/", f"{container}/out/_state/")
    return world


def test_snapshots_and_leases_of_others_keep_a_copy_and_end_no_run(
    azurite: Azurite, worlds: Callable[[Store], World], caplog: pytest.LogCaptureFixture
) -> None:
    container = f"c{uuid.uuid4().hex}"
    azurite.make_container(container)
    store = open_at(azurite.port, container, Time())
    world = world_in(container, store, worlds)
    for name in "abcd":
        world.thread.run(store.write(f"{container}/in/{name}.jpg", f"picture {name}".encode()))
    world.run(world.decisions([["a.jpg"], ["b.jpg"], ["c.jpg"], ["d.jpg"]]))
    with azurite.service() as service:
        service.get_blob_client(container, "out/best/a.jpg").create_snapshot()
        service.get_blob_client(container, "out/best/b.jpg").acquire_lease(-1)
        service.get_blob_client(container, "out/best/c.jpg").acquire_lease(-1)
    world.thread.run(store.write(f"{container}/in/c.jpg", b"newer"))
    assert world.run(world.decisions([["c.jpg"], ["d.jpg"]])) == PublishResult(copied=0, removed=0, failed=1)
    best = f"az://{container}/out/best"
    assert sorted(record.getMessage() for record in caplog.records if record.name.startswith("modules.")) == [
        f"an outdated copy stays: {best}/b.jpg is under a lease of another tool",
        f"an outdated copy stays: the store refused {best}/a.jpg: 409 SnapshotsPresent",
    ]
    reason = f"its outdated copy cannot be removed: {best}/c.jpg is under a lease of another tool"
    assert [failure.reason for failure in world.failures] == [reason]
    assert world.thread.run(store.stat(world.layout.success)) is not None


@pytest.mark.parametrize(("told", "result"), [("failed", (1, 0)), ("pending", (0, 1)), ("success", (0, 1))])
def test_an_empty_blob_that_a_killed_jobs_copy_has_left_is_settled(
    azurite: Azurite, worlds: Callable[[Store], World], told: str, result: tuple[int, int]
) -> None:
    container = f"c{uuid.uuid4().hex}"
    azurite.make_container(container)
    source, target = f"{container}/in/a.jpg", f"{container}/out/best/a.jpg"

    async def status(proxy: Proxy, request: web.Request, body: bytes) -> web.StreamResponse:
        answer = await passed(proxy, request, body)
        if request.path.endswith("/out/best/a.jpg"):
            answer.headers["x-ms-copy-status"] = told
        return answer

    def publish(port: int) -> None:
        store = open_at(port, container, Time())
        world = world_in(container, store, worlds)
        empty = world.thread.run(store.write(source, b""))
        world.thread.run(store.copy(source, target, source_etag=empty))
        world.thread.run(store.write(source, b"picture"))
        decisions = world.decisions([["a.jpg"]])
        intent = JournalRow(target, source, decisions[0].etag, None, sha=decisions[0].sha)
        write_journal(ShardWriter(world.thread, world.layout.state, 1, 0), [intent])
        faults: list[Fault] = [status] * 20
        proxy.faults["HEAD"] = faults
        copied, failed = result
        assert world.run(decisions) == PublishResult(copied, 0, failed)
        assert world.thread.run(store.read(target)).data == b"picture" * copied

    proxy = Proxy(azurite.port)
    behind(proxy, publish)
