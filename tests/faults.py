"""A proxy in front of Azurite that breaks things on demand, and a time in which sleeping takes none."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import aiohttp
from aiohttp import web
from yarl import URL

from modules.azure_utils import AzureStore, open_azure_store
from modules.io_utils import Location
from modules.request_gate import RequestOptions
from modules.retry import RetryOptions
from modules.settings import AzureCredentials
from tests.azurite import Azurite, connection_string

T = TypeVar("T")
Fault = Callable[["Proxy", web.Request, bytes], Awaitable[web.StreamResponse]]


@dataclass
class Proxy:
    """In front of Azurite: each request takes the next fault of its method's list, if one is left."""

    upstream: int
    port: int = 0
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    seen: Counter[str] = field(default_factory=Counter)
    hang: asyncio.Event = field(default_factory=asyncio.Event)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.seen[request.method] += 1
        body = await request.content.read()
        waiting = self.faults.get(request.method, [])
        return await (waiting.pop(0) if waiting else passed)(self, request, body)

    async def forward(self, request: web.Request, body: bytes) -> tuple[int, dict[str, str], bytes]:
        url = URL(f"http://127.0.0.1:{self.upstream}{request.raw_path}", encoded=True)
        skipped = {"Host", "Content-Length", "Connection"}
        headers = {name: value for name, value in request.headers.items() if name not in skipped}
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(
                request.method, url, data=body, headers=headers, skip_auto_headers=["Content-Type", "Accept"]
            ) as answer,
        ):
            data = await answer.read()
            hop = {"Transfer-Encoding", "Connection", "Keep-Alive"}
            if request.method != "HEAD":
                hop.add("Content-Length")
            return answer.status, {k: v for k, v in answer.headers.items() if k not in hop}, data


async def passed(proxy: Proxy, request: web.Request, body: bytes) -> web.StreamResponse:
    status, headers, data = await proxy.forward(request, body)
    return web.Response(status=status, headers=headers, body=data)


def refused(status: int, code: str, **headers: str) -> Fault:
    async def answer(proxy: Proxy, request: web.Request, body: bytes) -> web.StreamResponse:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, headers={"x-ms-error-code": code, **named})

    return answer


async def reset(proxy: Proxy, request: web.Request, body: bytes) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    raise ConnectionResetError


async def answer_lost(proxy: Proxy, request: web.Request, body: bytes) -> web.StreamResponse:
    await proxy.forward(request, body)
    return await reset(proxy, request, body)


async def truncated(proxy: Proxy, request: web.Request, body: bytes) -> web.StreamResponse:
    await _begin(proxy, request, body)
    return await reset(proxy, request, body)


async def trickling(proxy: Proxy, request: web.Request, body: bytes) -> web.StreamResponse:
    response = await _begin(proxy, request, body)
    await proxy.hang.wait()
    return response


async def silent(proxy: Proxy, request: web.Request, body: bytes) -> web.StreamResponse:
    await proxy.hang.wait()
    return web.Response(status=500)


async def _begin(proxy: Proxy, request: web.Request, body: bytes) -> web.StreamResponse:
    status, headers, data = await proxy.forward(request, body)
    response = web.StreamResponse(status=status, headers=headers)
    response.content_length = len(data)
    await response.prepare(request)
    await response.write(data[: len(data) // 2])
    return response


@dataclass
class Time:
    """Sleeping takes no time; it only moves the clock."""

    now: float = 0.0
    slept: list[float] = field(default_factory=list)

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


@dataclass
class Scene:
    proxy: Proxy
    store: AzureStore
    time: Time
    container: str

    def key(self, name: str) -> str:
        return f"{self.container}/{name}"


def play(azurite: Azurite, act: Callable[[Scene], Awaitable[None]], **options: Any) -> None:
    """Run ``act`` with a store that reaches Azurite through a proxy of its own."""

    async def main() -> None:
        proxy = Proxy(azurite.port)
        runner = web.ServerRunner(web.Server(proxy.handle), shutdown_timeout=0.1)  # type: ignore[arg-type]  # Server gives web.Request too
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        proxy.port = runner.addresses[0][1]
        container = f"c{uuid.uuid4().hex}"
        azurite.make_container(container)
        time = Time()
        store = open_at(proxy.port, container, time, **options)
        try:
            await act(Scene(proxy, store, time, container))
        finally:
            proxy.hang.set()
            await store.close()
            await runner.cleanup()

    asyncio.run(main())


def behind(proxy: Proxy, work: Callable[[int], T]) -> T:
    """Run ``work``, which brings a loop of its own, in a thread with the port of a proxy that serves meanwhile."""

    async def main() -> T:
        runner = web.ServerRunner(web.Server(proxy.handle), shutdown_timeout=0.1)  # type: ignore[arg-type]  # Server gives web.Request too
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            return await asyncio.to_thread(work, runner.addresses[0][1])
        finally:
            await runner.cleanup()

    return asyncio.run(main())


def open_at(port: int, container: str, time: Time, **options: Any) -> AzureStore:
    retry = RetryOptions(attempts=options.pop("attempts", 5), clock=time.clock, sleep=time.sleep, chance=lambda: 1.0)
    credentials = AzureCredentials.model_validate(
        {"connection_string": options.pop("credentials", connection_string(port))}
    )
    location = Location.parse(options.pop("address", f"az://{container}/"))
    return open_azure_store(location, credentials, RequestOptions(retry=retry, **options))
