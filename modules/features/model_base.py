"""What all extractors on torch models share: preparing in decode workers, embedding in padded batches on a device."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from modules.devices import Device, trouble_of
from modules.errors import ImgsieveError, UsageError
from modules.features import decode, preprocessing
from modules.features.base import fingerprint
from modules.features.catalogue import Spec
from modules.features.preprocessing import Preprocessing
from modules.features.weights import digest, fitting, reason
from modules.records import Float32Array, UInt8Array

#: Raised by hand when vectors change their meaning.
VERSION = 1


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A torch module on the CPU in float32, and what it expects.

    module: normalised pictures (n, 3, h, w) to vectors (n, dim). any_dtype: it may run in bfloat16 or float16; a traced
    program may hold float32 constants and stays as it is.
    """

    module: Any
    preprocessing: Preprocessing
    any_dtype: bool = True


#: Picklable; raises what libraries raise of weights that do not fit.
Loader = Callable[[Path], LoadedModel]


class ModelExtractor:
    """Vectors of a pretrained model. Pickles and copies are light: the loaded model stays behind.

    A batch is always padded to the device's batch size, so that every sum is made in the same order: a picture's
    vector is equal to the last bit wherever it stands and whatever stands beside it (on one kind of device, with one
    batch size and number of threads). Batches of more than four that four does not divide can cost that last bit: 4e-8
    was measured in float32 on one thread.
    """

    def __init__(
        self, spec: Spec, path: Path, load: Loader, *, prepares: Preprocessing, dim: int, identity: str, sha256: str
    ) -> None:
        self.name = spec.name
        self.family = spec.family
        self.dim = dim
        self.fingerprint = identity
        self._path = path
        self._sha256 = sha256
        self._load = load
        self._preprocessing = prepares
        self._tried: LoadedModel | None = None
        self._replica: _Replica | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_tried": None, "_replica": None}

    @classmethod
    def open(cls, spec: Spec, path: Path, load: Loader, *options: object) -> Self:
        """An extractor whose weights are known to fit: the model is loaded and tried, and kept for :meth:`setup`.

        ``options`` are what the vectors depend on beside the weights and the preprocessing. Raises UsageError, naming
        the extractor, the file and the reason.
        """
        with fitting(spec.name, path, f"weights of {spec.model}" if spec.kind != "torchscript" else "a model"):
            sha256 = digest(path)
            model = load(path)
            dim = _dimensions(model)
            identity = fingerprint(
                spec.family if spec.kind != "torchscript" else spec.kind,
                sha256,
                model.preprocessing,
                *options,
                *(VERSION, preprocessing.VERSION, decode.VERSION),
            )
        opened = cls(spec, path, load, prepares=model.preprocessing, dim=dim, identity=identity, sha256=sha256)
        opened._tried = model
        return opened

    def prepare(self, rgb: UInt8Array) -> UInt8Array:
        """The working picture at the model's own size, uint8 (h, w, 3). Loads no torch."""
        return self._preprocessing.apply(rgb)

    def setup(self, device: Device) -> None:
        """Load the weights onto ``device`` in its dtype and try them there; for another batch size alone, do nothing.

        Raises UsageError when the file is no longer the one that was opened: its vectors would be kept as those of the
        old one; and when the model runs on the CPU, as it did when it was opened, but not on this device. Raises what
        torch raises of a device that is lost or short of memory.
        """
        if self._replica is not None and self._replica.serves(device):
            self._replica.device = device
            return
        try:
            replica = _Replica(self._loaded_for(device), device)
            if device.is_gpu:
                replica.vectors(np.zeros((min(2, device.batch_size), *self._preprocessing.size, 3), np.uint8))
        except RuntimeError as error:
            if not device.is_gpu or trouble_of(error) is not None:
                raise
            raise UsageError(
                f"{self.name}: {self._path} cannot be used on {device.name}: {reason(error)}; use --devices cpu"
            ) from error
        self._replica = replica

    def _loaded_for(self, device: Device) -> LoadedModel:
        """The model that was tried, once, else the file's, on the CPU: :class:`_Replica` moves it to ``device``."""
        model, self._tried = self._tried, None
        if model is None:
            self._check_unchanged()
            with fitting(self.name, self._path, "weights"):
                model = self._load(self._path)
        return model

    def _check_unchanged(self) -> None:
        with fitting(self.name, self._path, "weights"):
            if digest(self._path) != self._sha256:
                raise ValueError("it was changed since the start; run again")

    def embed(self, batch: UInt8Array) -> Float32Array:
        """uint8 (n, h, w, 3) of any n to float32 (n, dim), each of length 1, or not finite: then only of some pictures.

        Raises ImgsieveError when no picture of several has finite numbers, and what torch raises of the device.
        """
        if self._replica is None:
            raise ImgsieveError(f"{self.name}: setup() comes before embed()")
        size = self._replica.device.batch_size
        out = np.empty((len(batch), self.dim), np.float32)
        for start in range(0, len(batch), size):
            chunk = batch[start : start + size]
            if len(chunk) < size:
                chunk = np.concatenate([chunk, np.zeros((size - len(chunk), *chunk.shape[1:]), np.uint8)])
            out[start : start + size] = self._replica.vectors(chunk)[: len(batch) - start]
        if len(out) > 1 and not np.isfinite(out).all(axis=1).any():
            device = self._replica.device
            raise ImgsieveError(
                f"{self.name}: vectors that are not finite on {device.name} in {device.dtype}; "
                "the weights may be damaged, or try --devices cpu"
            )
        return out

    def variants(self, vectors: Float32Array) -> list[Float32Array]:
        """Just the vectors: what a turned picture's would be cannot be told from them."""
        return [vectors]


class _Replica:
    """A model on a device."""

    def __init__(self, model: LoadedModel, device: Device) -> None:
        torch = importlib.import_module("torch")
        self.device = device
        self._dtype = getattr(torch, device.dtype) if model.any_dtype else torch.float32
        self._preprocessing = model.preprocessing
        if device.name == "cpu":
            torch.set_num_threads(device.threads)
        # Convolutions are fastest on channels_last, and it is how the pictures come. Transformers do not mind.
        module = model.module.eval().to(memory_format=torch.channels_last)
        self._module = module.to(device=device.name, dtype=self._dtype)
        self._mean, self._std = (
            torch.tensor(numbers, device=device.name) for numbers in (model.preprocessing.mean, model.preprocessing.std)
        )

    def serves(self, device: Device) -> bool:
        """Whether ``device`` is this one, but for the batch size."""
        return (device.name, device.dtype, device.threads) == (
            self.device.name,
            self.device.dtype,
            self.device.threads,
        )

    def vectors(self, batch: UInt8Array) -> Float32Array:
        """uint8 (batch size, h, w, 3) to float32 (batch size, dim), of length 1 (0 for a vector of zeros)."""
        torch = importlib.import_module("torch")
        kornia = importlib.import_module("kornia")
        with torch.inference_mode():
            pictures = torch.from_numpy(batch).to(self.device.name).permute(0, 3, 1, 2)
            inputs = kornia.enhance.normalize(pictures.float() / 255, self._mean, self._std)
            features = self._module(inputs.to(self._dtype, memory_format=torch.channels_last))
            return np.asarray(torch.nn.functional.normalize(features.float(), dim=1).cpu().numpy(), np.float32)


def _dimensions(model: LoadedModel) -> int:
    """Length of the model's vectors, found by trying. Raises ValueError when it gives something else."""
    torch = importlib.import_module("torch")
    shape = (2, len(model.preprocessing.mean), *model.preprocessing.size)
    pictures = torch.linspace(-1, 1, math.prod(shape)).reshape(shape)
    with torch.inference_mode():
        given = model.module.eval()(pictures)
    if not isinstance(given, torch.Tensor):
        raise ValueError(f"it gives a {type(given).__name__} in place of one vector a picture")
    if given.ndim != 2 or len(given) != 2 or not given.is_floating_point():
        raise ValueError(f"it gives {given.dtype} {tuple(given.shape)} for 2 pictures in place of one vector each")
    lengths = torch.linalg.vector_norm(given.float(), dim=1)
    if not (torch.isfinite(lengths) & (lengths > 0)).all():
        raise ValueError("it gives vectors that are not finite or all zeros; the file may be damaged")
    return int(given.shape[1])
