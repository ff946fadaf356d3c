from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from modules.errors import UsageError
from modules.settings import AzureCredentials, Settings, cores, redact
from modules.settings_sources import PLAIN_ENV, allowed, default_text, env_name, flag_names, load, metavar, note_of

SECRET = "p4%2Bss0wOrdSignature%3D"


def job(tmp_path: Path, flags: Mapping[str, object] | None = None, **environ: str) -> Settings:
    return load({"source": "pictures", **(flags or {})}, environ=environ, folder=tmp_path)


def refusal(tmp_path: Path, flags: Mapping[str, object] | None = None, **environ: str) -> str:
    with pytest.raises(UsageError) as caught:
        job(tmp_path, flags, **environ)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_defaults_are_those_of_the_container_job() -> None:
    settings = Settings(source="pictures")
    assert (settings.features, settings.relations, settings.uniques) == (("auto",), ("copy", "part"), "copy")
    assert (settings.min_download_workers, settings.max_download_workers) == (4, 32)
    assert settings.num_process_workers == cores()
    assert Settings(source="pictures", max_download_workers=2).min_download_workers == 2
    assert settings.queue_bytes == 256 * 1024 * 1024
    assert not settings.dry_run


def test_flag_beats_environment_beats_yaml_beats_default(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("batch_size: 3\nshard_rows: 4\nqueue_items: 5\n", encoding="utf-8")
    settings = job(tmp_path, {"batch_size": "1"}, BATCH_SIZE="2", IMGSIEVE_SHARD_ROWS="2")
    assert (settings.batch_size, settings.shard_rows, settings.queue_items) == (1, 2, 5)
    assert settings.listing_part == 2000


def test_the_owners_names_stand_plain_in_the_environment(tmp_path: Path) -> None:
    values = {env_name(name): str(10 + number) for number, name in enumerate(sorted(PLAIN_ENV))}
    assert set(values) == {
        "NUM_AZURE_CONNECTIONS",
        "MIN_DOWNLOAD_WORKERS",
        "MAX_DOWNLOAD_WORKERS",
        "NUM_PROCESS_WORKERS",
        "BATCH_SIZE",
        "MAX_REQUESTS_PER_SECOND",
    }
    values["MIN_DOWNLOAD_WORKERS"] = "1"
    settings = job(tmp_path, None, **values)
    assert {name: f"{getattr(settings, name):g}" for name in PLAIN_ENV} == {
        name: values[env_name(name)] for name in PLAIN_ENV
    }


def test_every_setting_can_come_from_the_environment_and_from_yaml(tmp_path: Path) -> None:
    samples: dict[str, str] = {"features": "perceptual, other", "relations": "copy,embedded", "uniques": "skip"}
    samples |= {
        "dry_run": "true",
        "effort": "fast",
        "strictness": "strict",
        "scratch": str(tmp_path),
        "max_download_workers": "40",
    }
    samples |= {name: name for name in ("source", "output", "state")}
    samples |= {"clip_output": "both", "match": "same-scene", "log_format": "json", "gpu_memory_fraction": "0.5"}
    for name in Settings.model_fields:
        samples.setdefault(name, "7")
    by_environment = load({}, environ={env_name(name): value for name, value in samples.items()}, folder=tmp_path)
    path = tmp_path / "job.yaml"
    path.write_text("".join(f"{name}: {value!r}\n" for name, value in samples.items()), encoding="utf-8")
    assert load({}, environ={}, config=path) == by_environment
    assert load({}, environ={"IMGSIEVE_CONFIG": str(path)}, folder=tmp_path) == by_environment
    assert by_environment.features == ("perceptual", "other")
    assert by_environment.scratch == tmp_path


def test_lists_come_repeated_or_with_commas_and_lose_doubles(tmp_path: Path) -> None:
    assert job(tmp_path, {"features": ("a,b", "c", "a")}).features == ("a", "b", "c")


def test_sizes_have_units(tmp_path: Path) -> None:
    assert job(tmp_path, IMGSIEVE_QUEUE_BYTES="3 MiB").queue_bytes == 3 * 1024 * 1024
    assert job(tmp_path, IMGSIEVE_QUEUE_BYTES="5000").queue_bytes == 5000


def test_an_empty_variable_is_no_value(tmp_path: Path) -> None:
    assert job(tmp_path, BATCH_SIZE="", IMGSIEVE_OUTPUT=" ").batch_size == 32


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("batch_size", "many"),
        ("batch_size", "0"),
        ("batch_size", "-3"),
        ("batch_size", "2.5"),
        ("max_requests_per_second", "nan"),
        ("max_requests_per_second", "0"),
        ("max_requests_per_second", "inf"),
        ("queue_bytes", "3 bananas"),
        ("queue_bytes", "0"),
        ("shard_seconds", "soon"),
        ("uniques", "keep"),
        ("relations", "copy,related"),
        ("relations", ","),
        ("features", ","),
        ("dry_run", "perhaps"),
    ],
)
def test_a_bad_value_is_named_with_its_origin_and_what_is_allowed(tmp_path: Path, name: str, value: str) -> None:
    by_environment = refusal(tmp_path, None, **{env_name(name): value})
    for part in (name, repr(value), env_name(name), allowed(name)):
        assert part in by_environment
    by_flag = refusal(tmp_path, {name: value})
    assert flag_names(name)[0] in by_flag
    (tmp_path / "config.yaml").write_text(f"{name}: '{value}'\n", encoding="utf-8")
    assert "in config.yaml" in refusal(tmp_path)


def test_minimum_above_maximum_is_refused(tmp_path: Path) -> None:
    text = refusal(tmp_path, MIN_DOWNLOAD_WORKERS="9", MAX_DOWNLOAD_WORKERS="8")
    assert "min_download_workers (9)" in text
    assert "max_download_workers (8)" in text


def test_no_source_names_the_ways_to_give_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"imgsieve SOURCE.*IMGSIEVE_SOURCE.*config\.yaml"):
        load({}, environ={}, folder=tmp_path)


def test_an_unknown_variable_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    assert "did you mean IMGSIEVE_SHARD_ROWS?" in refusal(tmp_path, IMGSIEVE_SHARD_ROW="3")
    assert "did you mean BATCH_SIZE?" in refusal(tmp_path, IMGSIEVE_BATCH_SIZE="3")
    assert "docs/settings.md" in refusal(tmp_path, IMGSIEVE_XYZZY="3")


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("batchsize: 3", "did you mean batch_size?"),
        ("BATCH_SIZE: 3", "did you mean batch_size?"),
        ("- a\n- b", "setting: value"),
        ("a: [", "not valid YAML"),
        ("\x80", "not UTF-8"),
        ("a: 2024-99-99", "a date or number that is none"),
        ("a: " + 5000 * "9", "a date or number that is none"),
        (3000 * "[", "nested too deeply"),
    ],
)
def test_a_bad_config_file_is_refused(tmp_path: Path, content: str, part: str) -> None:
    (tmp_path / "config.yaml").write_bytes(content.encode("latin-1"))
    assert part in refusal(tmp_path)


def test_a_config_file_named_but_absent_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.yaml cannot be read"):
        load({"source": "x"}, environ={}, config=tmp_path / "nowhere.yaml")


def test_an_empty_config_file_is_fine(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("# nothing yet\n", encoding="utf-8")
    assert job(tmp_path) == Settings(source="pictures")


def test_settings_cannot_be_changed() -> None:
    settings = Settings(source="pictures")
    with pytest.raises(ValidationError):
        settings.source = "others"  # type: ignore[misc]  # that it is refused is the point


@pytest.mark.parametrize(
    "text",
    [
        f"https://a.blob.core.windows.net/c/p?sv=2024-01-01&sig={SECRET}&se=2030",
        f"sig={SECRET}",
        f"sv=1%26sig%3D{SECRET}",
        f"DefaultEndpointsProtocol=https;AccountName=a;AccountKey={SECRET};EndpointSuffix=x",
        f"BlobEndpoint=https://a/;SharedAccessSignature=sv=1&sig={SECRET}",
        f"Authorization: SharedKey account:{SECRET}",
        f"https://someone:{SECRET}@host/photos",
        f"authorization: Bearer {SECRET.replace('%', '.')}",
    ],
)
def test_secrets_are_masked_wherever_they_stand(text: str) -> None:
    masked = redact(text)
    assert SECRET not in masked
    assert SECRET.replace("%", ".") not in masked
    assert "***" in masked
    assert redact(masked) == masked


@given(st.text(alphabet="abcdefghijklmnopqrstuvwxyz0123456789/ .-_ü=", max_size=40))
def test_names_without_a_secret_stay_as_they_are(name: str) -> None:
    path = "pictures/" + name.replace("sig=", "").replace("bearer ", "").replace("sharedkey ", "")
    assert redact(path) == path


def test_no_text_form_of_settings_or_their_errors_shows_a_secret(tmp_path: Path) -> None:
    source = f"https://a.blob.core.windows.net/c?sv=1&sig={SECRET}"
    settings = Settings(source=source)
    assert settings.source == source
    for shown in (repr(settings), str(settings), f"{settings}", refusal(tmp_path, {"source": source}, BATCH_SIZE="x")):
        assert SECRET not in shown
    with pytest.raises(ValidationError) as caught:
        Settings(source=source, output=f"?sig={SECRET}", batch_size=0)
    assert SECRET not in str(caught.value)
    assert SECRET not in refusal(tmp_path, {"uniques": f"sig={SECRET}"})


def test_credentials_come_from_the_environment_and_mask_themselves() -> None:
    environ = {
        "AZURE_STORAGE_CONNECTION_STRING": f"AccountKey={SECRET}",
        "AZURE_STORAGE_ACCOUNT": "account",
        "AZURE_STORAGE_KEY": SECRET,
        "AZURE_STORAGE_SAS_TOKEN": f"sig={SECRET}",
    }
    credentials = AzureCredentials.from_environment(environ)
    assert credentials.account == "account"
    assert credentials.key is not None
    assert credentials.key.get_secret_value() == SECRET
    assert SECRET not in repr(credentials) + str(credentials)
    assert AzureCredentials.from_environment({"AZURE_STORAGE_KEY": ""}) == AzureCredentials()


def test_every_setting_says_what_it_is() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description is not None
        assert field.description.endswith(".")
        assert note_of(name).kind in {"place", "feature", "match", "job"}
        assert metavar(name)
        assert field.is_required() or default_text(name)


@pytest.mark.parametrize(
    ("limit", "expected"),
    [("max 100000", 64), ("200000 100000", 2), ("150000 100000", 2), ("5000 100000", 1), ("?", 64)],
)
def test_a_containers_share_of_the_cores_counts(
    limit: str, expected: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(64)))
    (tmp_path / "cpu.max").write_text(limit)
    assert cores(tmp_path / "cpu.max") == expected
