"""How requests to Azure Blob Storage are sent: azure-core's transport over aiohttp, without its surprises.

Only this file and azure_utils.py import azure.*
"""

from __future__ import annotations

from typing import Any

import aiohttp
from azure.core.exceptions import DecodeError, HttpResponseError, ServiceResponseError, ServiceResponseTimeoutError
from azure.core.pipeline.policies import ContentDecodePolicy
from azure.core.pipeline.transport import AioHttpTransport

from modules.request_gate import Gate


async def _no_hidden_repeat(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """aiohttp repeats an idempotent request after a reset by itself, unless the error is one it does not know."""
    try:
        return await handler(request)
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise ServiceResponseError(error, error=error) from error


class Transport(AioHttpTransport):  # type: ignore[misc]  # the SDK loads this class lazily, without a type
    """Sends every attempt of the SDK through the gate. Its session is made on the loop that first uses it.

    A subclass, not a wrapper: the SDK signs URLs the way aiohttp spells them only where it sees this class.
    """

    session: Any

    def __init__(self, connections: int, gate: Gate, proxy: str | None) -> None:
        # A transport of one's own does not get the SDK's usual bounds: they are repeated here.
        super().__init__(connection_timeout=20, read_timeout=60, connection_data_block_size=256 * 1024)
        self._connections = connections
        self._gate = gate
        self._proxy = proxy

    async def open(self) -> None:
        """Make the session, once. Blobs are asked for as they are stored: nobody on the way is invited to pack them."""
        if self.session is None and not self._has_been_opened:
            self.session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=max(2, self._connections), keepalive_timeout=4),
                cookie_jar=aiohttp.DummyCookieJar(),
                proxy=self._proxy,
                trust_env=False,  # would also send what a .netrc file says of the host, to the store
                headers={"Accept-Encoding": "identity"},
                auto_decompress=False,
                middlewares=(_no_hidden_repeat,),
            )
        await super().open()

    async def send(self, request: Any, *, stream: bool = False, **config: Any) -> Any:
        """One attempt, body included: the SDK then finds it read already, whether it wanted a stream or not."""
        plain_send = super().send

        async def send() -> Any:
            response = await plain_send(request, stream=True, **config)
            # A property of the blob that anybody who uploads may set: the SDK would unpack by it, whatever comes out.
            response.headers.popall("Content-Encoding", None)
            return response

        try:
            response = await self._gate.attempt(send, int(request.headers.get("Content-Length") or 0))
        except TimeoutError as error:
            raise ServiceResponseTimeoutError(error, error=error) from None
        _keep_status(response)
        return response


def _keep_status(response: Any) -> None:
    """Raises HttpResponseError for a refusal whose body the SDK cannot decode: what it raises itself has no status."""
    if response.status_code < 400:
        return
    try:
        ContentDecodePolicy.deserialize_from_http_generics(response, "utf-8")
    except (DecodeError, ValueError):
        raise HttpResponseError(response=response) from None
