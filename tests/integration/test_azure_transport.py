"""How requests to the Azure store are sent and what is made of answers that no service gives, over real sockets."""

from __future__ import annotations

import gzip
from base64 import b64encode
from pathlib import Path

import pytest
from aiohttp import web
from azure.storage.blob import ContentSettings

from modules.errors import UsageError
from tests.azurite import KEY, Azurite, endpoint, free_port
from tests.faults import Fault, Proxy, Scene, Time, open_at, passed, play, refused
from tests.pictures import draw, encode

SAS = "sv=2025-01-05&sig=SECRET"


def heard(requests: list[web.Request], then: Fault = passed) -> Fault:
    """Keeps the request and goes on."""

    async def answer(proxy: Proxy, request: web.Request, body: bytes) -> web.StreamResponse:
        requests.append(request)
        return await then(proxy, request, body)

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
        requests: list[web.Request] = []
        scene.proxy.faults["GET"] = [heard(requests)]
        assert (await scene.store.read(scene.key("p/a.jpg"))).data == data
        assert (await scene.store.read(scene.key("p/a.jpg"), part=(2, 5))).data == data[2:7]
        assert (
            requests[0].headers["Accept-Encoding"] == "identity"
        )  # nobody on the way is invited to pack what is not packed

    play(azurite, act)


def test_a_netrc_file_is_not_for_the_store(azurite: Azurite, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("default login alice password hunter2\n")

    async def act(scene: Scene) -> None:
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        await scene.store.write(scene.key("a"), b"picture")  # with a key
        requests: list[web.Request] = []
        scene.proxy.faults["GET"] = [heard(requests, refused(404, "ContainerNotFound"))]
        address = f"{endpoint(scene.proxy.port)}/{scene.container}?{SAS}"
        store = open_at(0, "", scene.time, address=address)
        with pytest.raises(UsageError, match="there is no container"):
            await store.check(scene.key(""))
        await store.close()
        assert "Authorization" not in requests[0].headers

    play(azurite, act)


def test_the_proxy_of_the_environment_is_used_with_its_password(
    azurite: Azurite, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def act(scene: Scene) -> None:
        proxy = f"127.0.0.1:{scene.proxy.port}"
        monkeypatch.setenv("no_proxy", "")
        monkeypatch.setenv("http_proxy", f"http://alice:p%40ss@{proxy}")
        monkeypatch.setenv("https_proxy", f"http://{proxy}")
        requests: list[web.Request] = []
        scene.proxy.faults = {
            "GET": [heard(requests, refused(404, "ContainerNotFound"))],
            "CONNECT": [heard(requests, refused(403, "")) for _ in range(3)],
        }
        port = free_port()
        plain = open_at(port, "pics", scene.time)
        with pytest.raises(UsageError, match="there is no container"):
            await plain.check("pics/")
        assert requests[0].raw_path.startswith(endpoint(port))
        assert requests[0].headers["Proxy-Authorization"] == f"Basic {b64encode(b'alice:p@ss').decode()}"
        secure = open_at(0, "pics", scene.time, credentials=f"AccountName=me;AccountKey={KEY}")
        with pytest.raises(UsageError, match=r"cannot reach https://me\.blob"):
            await secure.check("pics/")
        assert [request.raw_path for request in requests[1:]] == ["me.blob.core.windows.net:443"] * 3
        await plain.close()
        await secure.close()

    play(azurite, act)


@pytest.mark.parametrize("spared", ["127.0.0.1", "example.org, 127.0.0.1", "*"])
def test_a_store_that_no_proxy_names_is_reached_without_one(
    azurite: Azurite, spared: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def act(scene: Scene) -> None:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
        monkeypatch.setenv("no_proxy", spared)
        store = open_at(scene.proxy.port, scene.container, scene.time)
        await store.check(scene.key(""))
        await store.close()

    play(azurite, act)


@pytest.mark.parametrize(
    "proxy",
    ["127.0.0.1:1", "proxy.corp:3128", "socks5://127.0.0.1:1", "http://:1", "http://alice:SEC/RET@127.0.0.1:1",
     "http://alice:SECRET@[::1", f"http://alice:SECRET@{'a' * 64}.org:1", "http://alice:SECRET@a b:1"],
)  # fmt: skip
def test_a_proxy_that_cannot_be_read_is_named_not_shown(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "")
    monkeypatch.setenv("http_proxy", proxy)
    with pytest.raises(UsageError, match=r"HTTP_PROXY .* http://HOST:PORT") as caught:
        open_at(free_port(), "pics", Time())
    assert proxy not in str(caught.value)
    assert "SEC" not in str(caught.value)
