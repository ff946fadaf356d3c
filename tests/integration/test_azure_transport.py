"""How requests to the Azure store are sent and what is made of answers that no service gives, over real sockets."""

from __future__ import annotations

import gzip

import pytest
from aiohttp import web
from azure.storage.blob import ContentSettings

from tests.azurite import Azurite
from tests.faults import Fault, Proxy, Scene, play
from tests.pictures import draw, encode


def heard(headers: list[dict[str, str]]) -> Fault:
    """Passes the request on and keeps what its headers were."""

    async def answer(proxy: Proxy, request: web.Request, body: bytes) -> web.StreamResponse:
        headers.append(dict(request.headers))
        status, answered, data = await proxy.forward(request, body)
        return web.Response(status=status, headers=answered, body=data)

    return answer


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "deflate", "br"])
@pytest.mark.parametrize("data", [encode(draw(1)), gzip.compress(bytes(10_000_000))], ids=["jpeg", "zeros"])
def test_a_blob_is_its_stored_bytes_whatever_it_says_of_its_encoding(
    azurite: Azurite, encoding: str, data: bytes
) -> None:
    async def act(scene: Scene) -> None:
        with azurite.service() as service:
            client = service.get_container_client(scene.container)
            client.upload_blob("p/a.jpg", data, content_settings=ContentSettings(content_encoding=encoding))
        headers: list[dict[str, str]] = []
        scene.proxy.faults["GET"] = [heard(headers)]
        assert (await scene.store.read(scene.key("p/a.jpg"))).data == data
        assert (await scene.store.read(scene.key("p/a.jpg"), part=(2, 5))).data == data[2:7]
        assert headers[0]["Accept-Encoding"] == "identity"  # nobody on the way is invited to pack what is not packed

    play(azurite, act)
