"""The last requests of a whole job against a real blob service: the result is there, so they decide nothing."""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, field

import pytest
from aiohttp import web

import pipeline
from modules.progress import SilentProgress
from modules.records import RunSummary
from modules.settings import AzureCredentials, Settings
from tests.azurite import Azurite, connection_string
from tests.faults import Proxy, behind, refused
from tests.pictures import draw, encode


@dataclass
class ExpiringProxy(Proxy):
    """Refuses what comes after the end: to list what earlier runs left, and to give the lock back."""

    refusals: list[str] = field(default_factory=list)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        lists_runs = request.query.get("prefix", "").endswith("_state/runs/")
        if lists_runs or request.headers.get("x-ms-lease-action") == "release":
            self.refusals.append("list" if lists_runs else "release")
            return await refused(403, "AuthenticationFailed")(self, request, b"")
        return await super().handle(request)


def job(port: int, container: str) -> RunSummary:
    credentials = AzureCredentials.model_validate({"connection_string": connection_string(port)})
    asked = Settings(source=f"az://{container}/in", features=("perceptual",), effort="fast", num_process_workers=1)
    return pipeline.run(asked, credentials, SilentProgress(), threading.Event())


def test_rights_that_end_after_the_result_is_whole_fail_no_run(
    azurite: Azurite, caplog: pytest.LogCaptureFixture
) -> None:
    container = f"c{uuid.uuid4().hex}"
    azurite.make_container(container)
    with azurite.service() as service:
        service.get_container_client(container).upload_blob("in/a.jpg", encode(draw(1)))

    proxy = ExpiringProxy(azurite.port)
    summary = behind(proxy, lambda port: job(port, container))
    assert (summary.pictures, summary.copied, summary.failed) == (1, 1, 0)
    assert proxy.refusals == ["list", "release"]
    assert "what earlier runs left is not tidied away: no access to" in caplog.text
    assert "the lock is not given back, it runs out in 15 s: no access to" in caplog.text
    with azurite.service() as service:
        assert service.get_blob_client(container, "in_deduplicated/_SUCCESS").exists()
