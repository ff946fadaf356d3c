"""Settings of a job and credentials of the store: validated once, frozen, secrets masked in every text form.

A value comes from the command line, else the environment, else the YAML file, else the default. Each field
states its own bounds, meaning and cost; flags, error texts and docs/settings.md
are derived from that in modules/settings_sources.py.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    SecretStr,
    TypeAdapter,
    model_validator,
)

from modules.records import Effort, Strictness

MIB = 1024 * 1024

_SECRETS = (
    re.compile(r"(?i)((?<![a-z])sig(?:=|%3D))[^&;\s'\"<>]+"),
    re.compile(r"(?i)((?:AccountKey|SharedAccessSignature)=)[^;\s'\"]+"),
    re.compile(r"(?i)(SharedKey(?:Lite)?\s+[^:\s]+:)[^\s'\"]+"),
    re.compile(r"(?i)(Bearer\s+)[A-Za-z0-9._~+/=-]{8,}"),
    re.compile(r"(://[^/\s:@]*:)[^/\s@]+(?=@)"),
)


def redact(text: str) -> str:
    """``text`` with every SAS signature, account key, bearer token and password in it replaced by ``***``."""
    for pattern in _SECRETS:
        text = pattern.sub(r"\1***", text)
    return text


@dataclass(frozen=True, slots=True)
class Note:
    """What a field says of itself beside its type.

    kind: what a change of it restarts (see docs/settings.md). cost: the memory that a bound bounds. flags:
    short forms beside the flag derived from the name. default: text for one that depends on the machine. form: of a
    text or of the items of a list, where it is not just a name.
    """

    kind: Literal["place", "feature", "match", "job"]
    cost: str = ""
    flags: tuple[str, ...] = ()
    default: str = ""
    form: str = ""


def _split_all(value: object) -> object:
    """``a,b`` as the environment and flags give lists, to ("a", "b"); flags may also be repeated."""
    if isinstance(value, str):
        value = [value]
    if isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
        names = (name.strip() for item in value for name in item.split(","))
        return tuple(name for name in names if name)
    return value


def _split(value: object) -> object:
    """Like :func:`_split_all`, each name once."""
    names = _split_all(value)
    return tuple(dict.fromkeys(names)) if isinstance(names, tuple) else names


def _bytes(value: object) -> object:
    """``64 MiB`` to a number of bytes."""
    return int(TypeAdapter(ByteSize).validate_python(value)) if isinstance(value, str) else value


def cores(cgroup: Path = Path("/sys/fs/cgroup/cpu.max")) -> int:
    """Processor cores that this process may use: a container's share of them may be less than the machine has.

    cgroup: the kernel's file (control groups, version 2) with quota and period of CPU time in microseconds.
    """
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = cgroup.read_text("ascii").split()
        share = count if quota == "max" else -(-int(quota) // int(period))
    except (OSError, ValueError):  # no such file, or one of another form: then there is no limit to heed
        return count
    return max(1, min(count, share))


def _writable_folder(path: Path) -> Path:
    if not (path.is_dir() and os.access(path, os.W_OK | os.X_OK)):
        raise ValueError("no folder to write to")
    return path


Names = Annotated[tuple[str, ...], BeforeValidator(_split), Field(min_length=1)]
Repeated = Annotated[tuple[str, ...], BeforeValidator(_split_all), Field(min_length=1)]
Options = Annotated[tuple[str, ...], BeforeValidator(_split)]
Relations = Annotated[tuple[Literal["copy", "part", "embedded"], ...], BeforeValidator(_split), Field(min_length=1)]
Bytes = Annotated[int, BeforeValidator(_bytes), Field(ge=1)]
#: Upper bounds that no job needs more than; numbers far beyond them overflow queues and timers in the libraries.
MOST, LONGEST = 10**12, 10**6
Count = Annotated[int, Field(ge=1, le=MOST)]
Rate = Annotated[float, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0, le=LONGEST)]
Folder = Annotated[Path, AfterValidator(_writable_folder)]
Text = Annotated[str, Field(min_length=1)]


class Settings(BaseModel, frozen=True):
    """One job. Sizes in bytes, times in seconds. Raises ValidationError, which :func:`load` maps."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)

    source: Annotated[Text, Note("place")] = Field(
        description="The pictures: a folder, az://container/prefix, or the https:// address of one."
    )
    output: Annotated[Text | None, Note("place", default="SOURCE_deduplicated/")] = Field(
        default=None,
        description="Where best/, duplicates/ and the report go: the source's account, or a folder.",
    )
    state: Annotated[Text | None, Note("place", default="OUTPUT/_state/")] = Field(
        default=None, description="Where the cache and the progress of the job are kept."
    )
    features: Annotated[Names, Note("feature")] = Field(
        default=("auto",), description="Extractors that propose pairs, comma-separated; auto picks for you."
    )
    weights: Annotated[Options, Note("feature", form="NAME=FILE")] = Field(
        default=(), description="Local weights of extractors: safetensors or state dict, in place of the hub's."
    )
    clip_output: Annotated[Literal["final", "hidden", "both"], Note("feature")] = Field(
        default="final", description="What CLIP models give: the final embedding, the last hidden layer, or both."
    )
    effort: Annotated[Effort, Note("feature")] = Field(
        default="balanced",
        description="How hard copies are looked for: fast (most edits), balanced (nearly all), thorough (more still).",
    )
    match: Annotated[Literal["same-picture", "same-scene"], Note("match")] = Field(
        default="same-picture",
        description="What is looked for: the same picture, or the same scene (bursts, alike pictures).",
    )
    threshold: Annotated[Options, Note("match", default="by extractor", form="NUMBER or NAME=NUMBER")] = Field(
        default=(), description="Least cosine, for all extractors or for one of them; see imgsieve calibrate."
    )
    k: Annotated[Annotated[int, Field(ge=1, le=1000)] | None, Note("match", default="4, 12 or 20")] = Field(
        default=None,
        description="Nearest neighbours that each extractor proposes for a picture: 4, thorough 12, scenes 20.",
    )
    keep: Annotated[Repeated, Note("match", form="POLICY")] = Field(
        default=("quality",),
        description="Which copy is kept: quality, lexi, smallest, largest, newest, oldest, folder:PATTERN; "
        "later ones break the ties of earlier ones.",
    )
    relations: Annotated[Relations, Note("match")] = Field(
        default=("copy", "part"),
        description="What counts as a duplicate: copy (the same picture), part (a crop of it), "
        "embedded (it inside another composition).",
    )
    strictness: Annotated[Strictness, Note("match")] = Field(
        default="normal",
        description="How sure a match must be: strict (fewer copies), normal (999 of 1,000 pairs right), "
        "lenient (more copies). Same pictures only.",
    )
    uniques: Annotated[Literal["copy", "skip"], Note("match")] = Field(
        default="copy", description="Pictures without duplicates: copy them to best/ as well, or skip them."
    )
    dry_run: Annotated[bool, Note("job")] = Field(
        default=False, description="Decide and report only: no picture is copied, nothing is removed."
    )
    num_azure_connections: Annotated[Count, Note("job", cost="socket buffers each")] = Field(
        default=32, description="Connections to the store at most; copies at a time, in folders too."
    )
    max_download_workers: Annotated[Count, Note("job", cost="one picture's bytes each")] = Field(
        default=32, description="Downloads at a time, at most; between the two as the queues ask."
    )
    min_download_workers: Annotated[Count, Note("job", default="4, or the most")] = Field(
        default_factory=lambda values: min(4, values.get("max_download_workers", 4)),
        description="Downloads at a time, at least.",
    )
    num_process_workers: Annotated[
        Count,
        Note("job", cost="some 270 MB and one decoded picture each", flags=("--workers",), default="all cores"),
    ] = Field(default_factory=cores, description="Processes that decode, measure and compare pictures.")
    batch_size: Annotated[Count, Note("job", cost="this many small tensors per device")] = Field(
        default=32, description="Pictures that a device embeds at once."
    )
    devices: Annotated[Repeated, Note("job", cost="weights and a batch each", form="DEVICE")] = Field(
        default=("auto",), description="Where models run: auto, cpu, cuda, cuda:N; one replica each, may repeat."
    )
    gpus: Annotated[Count | None, Note("job", default="all found")] = Field(
        default=None, description="How many of the GPUs that are found to use."
    )
    gpu_memory_fraction: Annotated[float, Field(gt=0, le=1), Note("job")] = Field(
        default=0.9, description="Share of a GPU's memory that may be used."
    )
    max_requests_per_second: Annotated[Rate, Note("job")] = Field(
        default=1000.0, description="Requests to the store per second at most, every attempt counted."
    )
    request_burst: Annotated[Count, Note("job")] = Field(
        default=100, description="Requests that may be made at once after a quiet time."
    )
    queue_items: Annotated[Count, Note("job", cost="see queue_bytes")] = Field(
        default=128, description="Pictures that wait between two stages at most."
    )
    queue_bytes: Annotated[Bytes, Note("job", cost="this much between each two stages")] = Field(
        default=256 * MIB, description="Bytes that wait between two stages at most; a larger picture passes alone."
    )
    shard_rows: Annotated[Count, Note("job", cost="up to about 25 kB of keypoints a row")] = Field(
        default=2048, description="Rows after which a shard is committed."
    )
    shard_bytes: Annotated[Bytes, Note("job", cost="about this much per shard family")] = Field(
        default=64 * MIB, description="Bytes after which a shard is committed."
    )
    shard_seconds: Annotated[Seconds, Note("job")] = Field(
        default=30.0, description="Seconds after which a shard is committed: what a kill can cost."
    )
    listing_part: Annotated[Count, Note("job")] = Field(
        default=2000, description="Names in a part of the listing, the unit of work."
    )
    max_image_pixels: Annotated[Count, Note("job", cost="4 to 9 bytes a pixel in each process, WebP 16")] = Field(
        default=200_000_000, description="Pictures with more pixels are listed as failed, undecoded."
    )
    max_image_bytes: Annotated[Bytes, Note("job", cost="one such file per download")] = Field(
        default=256 * MIB, description="Larger files are listed as failed, not downloaded."
    )
    picture_timeout: Annotated[Seconds, Note("job")] = Field(
        default=60.0, description="Seconds of a processor that one picture may take to decode and measure."
    )
    store_away_seconds: Annotated[Seconds, Note("job")] = Field(
        default=300.0, description="Seconds without any answer of the store after which the job stops, to be resumed."
    )
    log_format: Annotated[Literal["text", "json"], Note("job")] = Field(
        default="text", description="Lines for people, or one JSON event a line."
    )
    scratch: Annotated[Folder | None, Note("job", default="the system's temporary folder")] = Field(
        default=None, description="A local folder for temporary files; nothing in it is needed after the run."
    )

    @model_validator(mode="after")
    def _bounds_fit(self) -> Self:
        if self.min_download_workers > self.max_download_workers:
            raise ValueError(
                f"min_download_workers ({self.min_download_workers}) is above "
                f"max_download_workers ({self.max_download_workers}): lower the first or raise the second"
            )
        return self

    def __repr_args__(self) -> Iterable[tuple[str | None, Any]]:
        """Fields for repr and str, secrets in addresses masked."""
        for name, value in super().__repr_args__():
            yield name, redact(value) if isinstance(value, str) else value


class AzureCredentials(BaseModel, frozen=True):
    """Ways into an Azure account, tried in this order; with none, azure-identity's default credential."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    connection_string: SecretStr | None = None
    account: str | None = None
    key: SecretStr | None = None
    sas_token: SecretStr | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] = os.environ) -> AzureCredentials:
        """Read AZURE_STORAGE_CONNECTION_STRING, _ACCOUNT, _KEY and _SAS_TOKEN; an empty one is absent."""

        def secret(name: str) -> SecretStr | None:
            value = environ.get(name, "").strip()
            return SecretStr(value) if value else None

        return cls(
            connection_string=secret("AZURE_STORAGE_CONNECTION_STRING"),
            account=environ.get("AZURE_STORAGE_ACCOUNT", "").strip() or None,
            key=secret("AZURE_STORAGE_KEY"),
            sas_token=secret("AZURE_STORAGE_SAS_TOKEN"),
        )
