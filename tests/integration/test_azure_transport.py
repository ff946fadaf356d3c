"""How requests to the Azure store are sent and what is made of answers that no service gives, over real sockets."""

from __future__ import annotations

import gzip
from base64 import b64encode
from email.utils import formatdate
from pathlib import Path
from time import time

import pytest
from aiohttp import web
from azure.storage.blob import ContentSettings

from modules.azure_errors import refusal, retry_after
from modules.errors import AccessError, StoreAwayError, TransientError, UsageError
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


def changed(body: bytes | None = None, status: int | None = None, **headers: str) -> Fault:
    """The answer with other headers (an empty one is left away), status or body."""

    async def answer(proxy: Proxy, request: web.Request, sent: bytes) -> web.StreamResponse:
        answered, named, data = await proxy.forward(request, sent)
        named.update({name.replace("_", "-"): value for name, value in headers.items()})
        named = {name: value for name, value in named.items() if value}
        return web.Response(status=status or answered, headers=named, body=data if body is None else body)

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
        with pytest.raises(StoreAwayError, match=r"cannot reach https://me\.blob"):
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
        assert scene.proxy.seen["GET"] == 1
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


@pytest.mark.parametrize(
    "fault",
    [changed(Content_Range="bytes x"), changed(Content_Range=""), changed(Last_Modified="yesterday")],
    ids=["range", "no range", "date"],
)
def test_an_answer_that_cannot_be_understood_is_asked_for_again(azurite: Azurite, fault: Fault) -> None:
    async def act(scene: Scene) -> None:
        await scene.store.write(scene.key("a"), b"picture")
        scene.proxy.faults["GET"] = [fault, fault]
        assert (await scene.store.read(scene.key("a"))).data == b"picture"
        assert scene.time.slept == [0.5, 1.0]
        scene.proxy.faults["GET"] = [fault] * 5
        with pytest.raises(TransientError, match=r"the answer cannot be understood \(\w*Error\), in 5 attempts"):
            await scene.store.read(scene.key("a"))

    play(azurite, act)


@pytest.mark.parametrize(
    "body",
    [b"", b"<html><body>log in</body></html>", b"<EnumerationResults><Blobs><Blob><Name>a</Name></Blob></Blobs>"
     b"</EnumerationResults>"],
    ids=["empty", "html", "bare"],
)  # fmt: skip
def test_a_listing_that_is_none_is_asked_for_again(azurite: Azurite, body: bytes) -> None:
    async def act(scene: Scene) -> None:
        await scene.store.write(scene.key("a"), b"picture")
        scene.proxy.faults["GET"] = [changed(body)] * 2
        pages = [page async for page in scene.store.list(scene.key(""))]
        assert [blob.key for page in pages for blob in page.blobs] == [scene.key("a")]
        assert scene.store.requests_by_kind["list"] == 3

    play(azurite, act)


@pytest.mark.parametrize("kind", ["application/octet-stream", "image/png", "text/html", "application/json", ""])
@pytest.mark.parametrize("body", [b"<html>blocked</html>", b"\xff\xfe\xfd"])
def test_a_refusal_in_a_form_that_no_service_uses_is_a_refusal(azurite: Azurite, kind: str, body: bytes) -> None:
    async def act(scene: Scene) -> None:
        fault = changed(body, 403, Content_Type=kind, x_ms_error_code="")
        scene.proxy.faults["GET"] = [fault, fault]
        with pytest.raises(AccessError, match=r"no access to .* \(403\)"):
            await scene.store.check(scene.key(""))
        with pytest.raises(AccessError, match=r"no access to .* \(403\)"):
            await scene.store.read(scene.key("a"))
        assert scene.proxy.seen["GET"] == 2

    play(azurite, act)


@pytest.mark.parametrize("asked", ["9" * 400, "9" * 5000, "\u00b2", "\u0664", "-1", "1.5", "abc"])
def test_what_is_no_number_of_seconds_is_not_waited_for(asked: str) -> None:
    assert retry_after({"retry-after": asked}) is None
    assert retry_after({"x-ms-retry-after-ms": asked, "retry-after": " 7 "}) == 7


@pytest.mark.parametrize(
    ("ahead", "reason"),
    [
        (-3600, r"this machine's clock is 60 minutes behind the service's: set it right \(403 AuthenticationFailed\)"),
        (+3600, "this machine's clock is 60 minutes ahead of the service's"),
        (-60, "the key, SAS or token is wrong or has expired"),
        (None, "the key, SAS or token is wrong or has expired"),
    ],
)
def test_a_clock_that_is_wrong_is_named(azurite: Azurite, ahead: int | None, reason: str) -> None:
    date = "yesterday" if ahead is None else formatdate(time() - ahead, usegmt=True)

    async def act(scene: Scene) -> None:
        scene.proxy.faults["GET"] = [refused(403, "AuthenticationFailed", Date=date)]
        with pytest.raises(AccessError, match=reason):
            await scene.store.check(scene.key(""))

    play(azurite, act)


def test_no_clock_is_to_blame_where_nothing_is_signed_by_it() -> None:
    early = {"Date": "Wed, 21 Oct 2015 07:28:00 -0000"}
    for code, sas in (("AuthenticationFailed", SAS), ("AuthorizationFailure", None)):
        assert "clock" not in str(refusal(403, early, code, "az://pics/a", sas))
    late = str(refusal(403, early, "AuthenticationFailed", "az://pics/a", f"{SAS}&se=2015-10-21T07:27:00Z"))
    assert "the SAS has expired" in late
