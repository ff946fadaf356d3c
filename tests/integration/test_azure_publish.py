"""Publishing into a real blob service: what its own tools leave on copies of ours."""

from __future__ import annotations

import uuid
from collections.abc import Callable

import pytest

from modules.azure_utils import open_azure_store
from modules.io_utils import Location, Store
from modules.outputs.layout import Layout
from modules.outputs.publish import PublishResult
from modules.request_gate import RequestOptions
from tests.azurite import Azurite
from tests.publishing import World


def test_snapshots_and_leases_of_others_keep_a_copy_and_end_no_run(
    azurite: Azurite, worlds: Callable[[Store], World], caplog: pytest.LogCaptureFixture
) -> None:
    container = f"c{uuid.uuid4().hex}"
    azurite.make_container(container)
    store = open_azure_store(Location.parse(f"az://{container}/in"), azurite.credentials, RequestOptions())
    world = worlds(store)
    world.layout = Layout(f"{container}/in/", f"{container}/out/", f"{container}/out/_state/")
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
