"""What cannot be done: exit code 2, one line on stderr that names the thing and the way out, and nothing written."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.azurite import ACCOUNT, KEY, Azurite
from tests.command import imgsieve

SECRET = "c3VwZXJzZWNyZXQ"  # stands in keys and signatures below
WRONG_KEY = base64.b64encode(SECRET.encode() * 4).decode()
SAS = f"?sv=2024-11-04&sp=rl&sig={SECRET}"


def refused(ended: CompletedProcess[str], *parts: str, secrets: tuple[str, ...] = ()) -> None:
    """Exit code 2 and one line that holds all of ``parts``."""
    assert (ended.returncode, ended.stdout) == (2, ""), ended.stderr
    assert ended.stderr.startswith("imgsieve: ")
    assert ended.stderr.count("\n") == 1
    assert ended.stderr.endswith("\n")
    assert [part for part in parts if part not in ended.stderr] == [], ended.stderr
    assert [secret for secret in (SECRET, WRONG_KEY, KEY, *secrets) if secret in ended.stderr] == []


def tree(folder: Path) -> dict[str, bytes | None]:
    return {str(path): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """pictures/ with a folder in it, and other/, which another tool made."""
    (tmp_path / "pictures" / "inner").mkdir(parents=True)
    (tmp_path / "pictures" / "a.png").write_bytes(b"a")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x.txt").write_text("x", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ("", ("no source", "IMGSIEVE_SOURCE", "--help")),
        ("nowhere", ("there is no folder", "/nowhere")),
        ("other/x.txt", ("other/x.txt", "is a file")),
        ("s3://bucket/x", ("s3://", "az://", "a folder")),
        ("pictures other", ("other", "run --help")),
        ("pictures --output pictures", ("the source itself", "--output")),
        ("pictures --output pictures/inner", ("pictures/inner", "inside the source", "--output")),
        ("pictures/inner --output pictures", ("source lies inside the output", "--output")),
        ("pictures --output other", ("other", "did not make", "--output")),
        ("pictures --output other/x.txt", ("other/x.txt", "is a file")),
        ("pictures --state pictures/inner", ("pictures/inner", "--state")),
        ("pictures --output az://photos/x", ("az://photos/x", "different stores")),
        ("pictures --features magic", ("features", "'magic'", "perceptual")),
        ("pictures --features perceptual --threshold clip=0.9", ("threshold", "'clip'", "perceptual")),
        ("pictures --relations copy,magic", ("relations", "magic", "copy, part, embedded")),
        ("pictures --workers -3", ("num_process_workers", "'-3'", "whole number")),
        ("pictures --picture-timeout 1e300", ("picture_timeout", "'1e300'", "up to")),
        ("pictures --scratch nowhere", ("scratch", "'nowhere'", "existing folder")),
        ("pictures --magic", ("--magic", "run --help")),
        ("az://photos/x", ("no storage account", "AZURE_STORAGE_CONNECTION_STRING")),
        (f"az://photos/x{SAS}", ("SAS", "https://", "AZURE_STORAGE_SAS_TOKEN")),
        (f"ftp://host/x{SAS}", ("ftp://",)),
        (f"account.blob.core.windows.net/photos{SAS}", ("no folder", "sig=***")),
    ],
)
def test_arguments(place: Path, arguments: str, parts: tuple[str, ...]) -> None:
    before = tree(place)
    refused(imgsieve(place, *arguments.split()), *parts)
    assert tree(place) == before


@pytest.mark.parametrize(
    ("environ", "parts"),
    [
        ({"BATCH_SIZE": "many"}, ("batch_size", "'many'", "BATCH_SIZE", "whole number")),
        ({"MIN_DOWNLOAD_WORKERS": "50"}, ("min_download_workers (50)", "max_download_workers", "lower")),
        ({"IMGSIEVE_OUTPT": "x"}, ("IMGSIEVE_OUTPT", "IMGSIEVE_OUTPUT")),
        ({"IMGSIEVE_CONFIG": "nowhere.yaml"}, ("nowhere.yaml", "cannot be read")),
        ({"IMGSIEVE_SOURCE": "az://p"}, ("'p'", "container name", "az://container/prefix")),
    ],
)
def test_environment(place: Path, environ: dict[str, str], parts: tuple[str, ...]) -> None:
    before = tree(place)
    refused(imgsieve(place, **{"IMGSIEVE_SOURCE": "pictures", **environ}), *parts)
    assert tree(place) == before


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("batchsize: 3\n", ("batchsize", "config.yaml", "batch_size")),
        ("batch_size: 3.5\n", ("batch_size", "'3.5'", "in config.yaml")),
        ("- pictures\n", ("config.yaml", "setting: value")),
        (f"output: 'https://a.blob.core.windows.net/c/{SAS}{'A' * 60}{SECRET}: [\n", ("not valid YAML", "line 2")),
    ],
)
def test_config_file(place: Path, text: str, parts: tuple[str, ...]) -> None:
    (place / "config.yaml").write_text(text, encoding="utf-8")
    before = tree(place)
    refused(imgsieve(place, "pictures"), *parts)
    assert tree(place) == before


@pytest.mark.parametrize(
    ("environ", "parts"),
    [
        ({"CONNECTION_STRING": f"AccountKey={SECRET}"}, ("CONNECTION_STRING", "names no account", "AccountName")),
        ({"CONNECTION_STRING": SECRET}, ("CONNECTION_STRING is malformed", "copy it whole")),
        ({"CONNECTION_STRING": f"AccountName=a;AccountKey={SECRET}!"}, ("malformed", "base64")),
        ({"ACCOUNT": "a", "KEY": f"{SECRET}!"}, ("AZURE_STORAGE_KEY", "base64")),
        ({"ACCOUNT": "a", "SAS_TOKEN": f"sig={SECRET}"}, ("AZURE_STORAGE_SAS_TOKEN", "sv=")),
    ],
)
def test_malformed_credentials(tmp_path: Path, environ: dict[str, str], parts: tuple[str, ...]) -> None:
    variables = {"AZURE_STORAGE_" + name: value for name, value in environ.items()}
    refused(imgsieve(tmp_path, "az://photos/x", **variables), *parts)


@pytest.fixture(scope="module")
def photos(azurite: Azurite) -> Iterator[Any]:
    """A container with pictures below ok/, and a foreign file where the output of taken/ would be."""
    with azurite.service() as service:
        container = service.create_container("bad-input")
        for name in ("ok/a.png", "ok/inner/b.png", "taken/a.png", "taken_deduplicated/foreign.txt"):
            container.upload_blob(name, b"x")
        yield container


def blobs(container: Any) -> dict[str, str]:
    return {blob.name: blob.etag for blob in container.list_blobs()}


def address_with_sas(azurite: Azurite, permissions: str, *, hours: int = 1) -> tuple[str, str]:
    """The address of ok/ with a SAS, and the SAS's signature."""
    from azure.storage.blob import ContainerSasPermissions, generate_container_sas

    sas = generate_container_sas(
        ACCOUNT,
        "bad-input",
        account_key=KEY,
        permission=ContainerSasPermissions.from_string(permissions),
        expiry=datetime.now(UTC) + timedelta(hours=hours),
    )
    return f"{azurite.endpoint}/bad-input/ok?{sas}", sas.partition("sig=")[2].partition("&")[0]


@pytest.mark.parametrize(
    ("permissions", "hours", "parts"),
    [
        ("rlwdc", -1, ("az://bad-input/ok", "has expired", "make a new one")),
        ("rl", 1, ("az://bad-input/ok_deduplicated", "write")),
        ("rwdc", 1, ("az://bad-input/ok", "list")),
    ],
)
def test_sas(
    azurite: Azurite, photos: Any, tmp_path: Path, permissions: str, hours: int, parts: tuple[str, ...]
) -> None:
    before = blobs(photos)
    address, signature = address_with_sas(azurite, permissions, hours=hours)
    refused(imgsieve(tmp_path, address), *parts, secrets=(signature,))
    assert blobs(photos) == before


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        ("az://nowhere/x", ("no container 'nowhere'", "create it")),
        ("az://bad-input/ok --output az://nowhere/out", ("no container 'nowhere'", "create it")),
        ("az://bad-input/ok --output az://bad-input/ok", ("the source itself", "--output")),
        ("az://bad-input/ok --output az://bad-input/ok/inner", ("inside the source", "--output")),
        ("az://bad-input/ok/inner --output az://bad-input/ok", ("source lies inside the output", "--output")),
        ("az://bad-input/taken", ("az://bad-input/taken_deduplicated", "did not make", "--output")),
        ("az://bad-input/ok --output out", ("different stores",)),
    ],
)
def test_places_in_azure(azurite: Azurite, photos: Any, tmp_path: Path, arguments: str, parts: tuple[str, ...]) -> None:
    before = blobs(photos)
    ended = imgsieve(tmp_path, *arguments.split(), AZURE_STORAGE_CONNECTION_STRING=azurite.connection_string)
    refused(ended, *parts)
    assert blobs(photos) == before


def test_wrong_key(azurite: Azurite, photos: Any, tmp_path: Path) -> None:
    before = blobs(photos)
    wrong = azurite.connection_string.replace(KEY, WRONG_KEY)
    ended = imgsieve(tmp_path, "az://bad-input/ok", AZURE_STORAGE_CONNECTION_STRING=wrong)
    refused(ended, "no access to az://bad-input/ok", "key may be wrong")
    assert blobs(photos) == before


def test_nobody_listens(tmp_path: Path) -> None:
    nobody = f"http://127.0.0.1:1/{ACCOUNT}"
    string = f"AccountName={ACCOUNT};AccountKey={WRONG_KEY};BlobEndpoint={nobody}"
    ended = imgsieve(tmp_path, "az://bad-input/ok", AZURE_STORAGE_CONNECTION_STRING=string)
    assert (ended.returncode, ended.stdout) == (4, "")
    assert ended.stderr.startswith(f"imgsieve: cannot reach {nobody}: check the connection, run again (")
    assert ended.stderr.count("\n") == 1
    assert WRONG_KEY not in ended.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_output_that_may_not_be_written(place: Path) -> None:
    closed = place / "closed"
    closed.mkdir(mode=0o555)
    refused(imgsieve(place, "pictures", "--output", "closed/out"), "closed/out", "ermission")
