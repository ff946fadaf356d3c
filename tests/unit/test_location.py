"""Addresses taken apart, and the credentials that go with them."""

from __future__ import annotations

from pathlib import Path

import pytest

from modules.azure_access import EMULATOR, resolve
from modules.errors import UsageError
from modules.io_utils import Location, open_store
from modules.settings import AzureCredentials

SAS = "sv=2024-01-01&se=2030-01-01&sig=SECRET%3D"


@pytest.mark.parametrize(
    ("text", "scheme", "account", "prefix", "address"),
    [
        ("az://pics", "azure", None, "pics/", "az://pics"),
        ("az://pics/a%20b/ü/", "azure", None, "pics/a%20b/ü/", "az://pics/a%20b/ü"),
        (
            "https://me.blob.core.windows.net/pics/a%20b",
            "azure",
            "https://me.blob.core.windows.net",
            "pics/a b/",
            "az://pics/a b",
        ),
        ("http://127.0.0.1:10/dev/pics/x", "azure", "http://127.0.0.1:10/dev", "pics/x/", "az://pics/x"),
        ("mem://pics/x", "mem", None, "pics/x/", "mem://pics/x"),
        ("/data/pics//", "folder", None, "/data/pics/", "/data/pics"),
        ("/", "folder", None, "/", "/"),
    ],
)
def test_addresses(text: str, scheme: str, account: str | None, prefix: str, address: str) -> None:
    location = Location.parse(text)
    assert (location.scheme, location.account, location.prefix) == (scheme, account, prefix)
    assert str(location) == address


def test_relative_folders_are_made_absolute_but_links_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.chdir(tmp_path)
    assert Location.parse("link/../link").prefix == f"{tmp_path}/link/"


def test_names_and_roots() -> None:
    assert Location.parse("az://pics").is_container_root
    assert Location.parse("az://pics").name == "pics"
    assert not Location.parse("az://pics/x/y").is_container_root
    assert Location.parse("az://pics/x/y").name == "y"
    assert not Location.parse("/pics").is_container_root


def test_a_sas_is_kept_but_never_shown() -> None:
    location = Location.parse(f"https://me.blob.core.windows.net/pics?{SAS}")
    assert location.sas is not None
    assert location.sas.get_secret_value() == SAS
    assert "SECRET" not in f"{location} {location!r} {location.address}"
    access = resolve(location, None)
    assert (access.sas, access.key) == (SAS, None)
    assert "SECRET" not in repr(access)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("s3://bucket/x", r"s3:// addresses are not supported: use az://"),
        ("file:///x", "plain path"),
        ("az://", "names no container"),
        ("az://Pics/x", "no container name"),
        ("az://a--b/x", "no container name"),
        (f"az://pics/x?{SAS}", "belongs to an https://"),
        ("https://me.blob.core.windows.net/", "names no container"),
        ("http://me.blob.core.windows.net/pics", "in the clear"),
        ("https://me.blob.core.windows.net/pics?what=1", "no SAS"),
        ("https://me.blob.core.windows.net/pics#x", "%23"),
        ("https://me.blob.core.windows.net:bad/pics", "cannot be read"),
        ("https://me.blob.core.windows.net/pics/%ff", "cannot be read"),
        ("a\0b", "NUL"),
        ("folder\udcff", "UTF-8"),
    ],
)
def test_wrong_addresses_name_the_way_out(text: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as caught:
        Location.parse(text)
    assert "SECRET" not in str(caught.value)
    assert "\n" not in str(caught.value)


def credentials(**fields: str) -> AzureCredentials:
    return AzureCredentials.model_validate(fields)


def test_precedence_of_credentials() -> None:
    place = Location.parse("az://pics")
    full = f"AccountName=me;AccountKey={EMULATOR['accountkey']};EndpointSuffix=core.windows.net"
    everything = credentials(connection_string=full, account="me", key="a2V5", sas_token=SAS)
    assert resolve(place, everything).key == EMULATOR["accountkey"]
    assert resolve(place, everything).endpoint == "https://me.blob.core.windows.net"
    assert resolve(place, credentials(account="me", key="a2V5", sas_token=SAS)).key == "a2V5"
    assert resolve(place, credentials(account="me", sas_token="?" + SAS)).sas == SAS
    alone = resolve(place, credentials(account="me"))
    assert (alone.key, alone.sas, alone.account) == (None, None, "me")
    emulator = resolve(place, credentials(connection_string="UseDevelopmentStorage=true"))
    assert emulator.endpoint == "http://127.0.0.1:10000/devstoreaccount1"
    with_url = resolve(Location.parse(f"https://me.blob.core.windows.net/pics?{SAS}"), everything)
    assert with_url.sas == SAS


@pytest.mark.parametrize(
    ("address", "fields", "reason"),
    [
        ("az://pics", {}, "AZURE_STORAGE_CONNECTION_STRING, or AZURE_STORAGE_ACCOUNT"),
        ("az://pics", {"key": "U0VDUkVU"}, "no storage account is known"),
        ("az://pics", {"connection_string": "SECRET"}, "is malformed"),
        ("az://pics", {"connection_string": "AccountKey=U0VDUkVU"}, "names no account"),
        ("az://pics", {"connection_string": "AccountName=me"}, "neither AccountKey nor"),
        ("az://pics", {"connection_string": "AccountName=me;AccountKey=SECRET!"}, "not base64"),
        ("az://pics", {"account": "me", "key": "SECRET!"}, "AZURE_STORAGE_KEY is malformed"),
        ("az://pics", {"account": "me", "sas_token": "SECRET"}, "AZURE_STORAGE_SAS_TOKEN is malformed"),
        ("http://127.0.0.1:10/me/pics", {"account": "me"}, "needs a key or a SAS"),
        ("az://pics", {"account": "me.blob"}, "no account name"),
        ("https://you.blob.core.windows.net/pics", {"account": "me"}, "which one"),
        (
            "https://you.blob.core.windows.net/pics",
            {"connection_string": "AccountName=me;AccountKey=AAAA"},
            "same account",
        ),
        ("az://pics", {"account": "http://me.blob.core.windows.net", "sas_token": SAS}, "in the clear"),
        ("az://pics", {"account": "http://me.blob.core.windows.net", "key": "AAAA"}, "in the clear"),
        ("az://pics", {"connection_string": f"BlobEndpoint=http://me.org;SharedAccessSignature={SAS}"}, "in the clear"),
        (
            "az://pics",
            {"connection_string": f"DefaultEndpointsProtocol=http;AccountName=me;SharedAccessSignature={SAS}"},
            "in the clear",
        ),
        ("az://pics", {"account": f"https://{'a' * 64}.org", "key": "AAAA"}, "no web address"),
        (f"https://{'a' * 64}.org/pics", {"key": "AAAA"}, "the address holds no web address"),
        ("az://pics", {"account": f"https://me.blob.core.windows.net/?{SAS}"}, "no web address"),
        ("az://pics", {"connection_string": "BlobEndpoint=https://SECRET@me.org;AccountKey=AAAA"}, "no web address"),
        ("az://pics", {"connection_string": "BlobEndpoint=https://me:port;AccountKey=AAAA"}, "no web address"),
        ("az://pics", {"connection_string": "BlobEndpoint=https://;AccountKey=AAAA"}, "no web address"),
        ("az://pics", {"connection_string": "AccountName=m e;AccountKey=AAAA"}, "no web address"),
        ("az://pics", {"connection_string": "AccountKey=AAAA;BlobEndpoint=ftp://me.org"}, "no web address"),
        ("az://pics", {"connection_string": '"AccountName=me;AccountKey=AAAA"'}, "in quotes"),
        ("az://pics", {"account": "me", "key": "'AAAA'"}, "in quotes"),
        ("az://pics", {"account": "me", "sas_token": f'"?{SAS}"'}, "in quotes"),
        ("https://me.blob.core.windows.net/pics", {"account": "https://you.blob.core.windows.net"}, "which one"),
        ("https://me.blob.core.windows.net:8443/pics", {"account": "https://me.blob.core.windows.net"}, "which one"),
    ],
)
def test_credentials_that_cannot_work_are_named_not_shown(address: str, fields: dict[str, str], reason: str) -> None:
    with pytest.raises(UsageError, match=reason) as caught:
        open_store(Location.parse(address), credentials(**fields))
    assert "SECRET" not in str(caught.value)
    assert "U0VDUkVU" not in str(caught.value)


@pytest.mark.parametrize(
    "address",
    [
        "az://pics",
        "https://me.blob.core.windows.net/pics",
        "https://Me.Blob.Core.Windows.Net/pics",
        "https://me.blob.core.windows.net:443/pics",
    ],
)
@pytest.mark.parametrize(
    "fields",
    [
        {"account": "me", "key": "AAAA"},
        {"account": "https://me.blob.core.windows.net/", "key": "AAAA"},
        {"account": "https://ME.blob.core.windows.net:443", "key": "AAAA"},
        {"connection_string": "AccountName=me;AccountKey=AAAA"},
        {"connection_string": "BlobEndpoint=https://Me.blob.core.windows.net:443/;AccountKey=AAAA"},
    ],
)
def test_one_account_may_be_spelt_in_many_ways(address: str, fields: dict[str, str]) -> None:
    access = resolve(Location.parse(address), credentials(**fields))
    assert (access.endpoint, access.account, access.key) == ("https://me.blob.core.windows.net", "me", "AAAA")


@pytest.mark.parametrize(
    ("endpoint", "expected"),
    [
        ("http://azurite:10000/devstoreaccount1", "http://azurite:10000/devstoreaccount1"),
        ("http://[::1]:10000/Dev/", "http://[::1]:10000/Dev"),
        ("http://10.0.0.1:80/dev", "http://10.0.0.1/dev"),
        ("https://127.0.0.1:80/dev", "https://127.0.0.1:80/dev"),
    ],
)
def test_emulators_and_ports_of_their_own_stay(endpoint: str, expected: str) -> None:
    text = f"AccountName=dev;BlobEndpoint={endpoint};SharedAccessSignature={SAS}"
    assert resolve(Location.parse("az://pics"), credentials(connection_string=text)).endpoint == expected
    assert resolve(Location.parse("az://pics"), credentials(account=endpoint, sas_token=SAS)).endpoint == expected


def test_the_name_of_an_account_is_compared_in_small_letters() -> None:
    place = Location.parse("https://Me.blob.core.windows.net/pics")
    assert resolve(place, credentials(account="Me", key="AAAA")).account == "me"
