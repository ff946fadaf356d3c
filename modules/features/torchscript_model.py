"""TorchScript programs such as SSCD: a file that holds a model with its weights."""

from __future__ import annotations

import importlib
from pathlib import Path

from modules.devices import Device
from modules.features.model_base import LoadedModel, ModelExtractor
from modules.features.preprocessing import Preprocessing

#: A program does not say what it expects. This is what SSCD's authors advise for batches: both sides brought to 320,
#: ImageNet's mean and deviation (https://github.com/facebookresearch/sscd-copy-detection).
PREPROCESSING = Preprocessing(
    size=(320, 320),
    scaled=(320, 320),
    way="fill",
    interpolation="bilinear",
    mean=(0.485, 0.456, 0.406),
    std=(0.229, 0.224, 0.225),
)


class Program(ModelExtractor):
    """Vectors of a program. Its constants stay on the device that they were loaded to, so each device has it loaded."""

    def _loaded_for(self, device: Device) -> LoadedModel:
        if not device.is_gpu:
            return super()._loaded_for(device)
        self._tried = None
        self._check_unchanged()
        return load(self._path, device.name)


def load(path: Path, device: str = "cpu") -> LoadedModel:
    """The program of ``path``, in float32, on ``device``.

    TorchScript runs operators of torch only, no Python of the file. Raises what torch raises of a file that is none.
    """
    torch = importlib.import_module("torch")
    return LoadedModel(torch.jit.load(str(path), map_location=device), PREPROCESSING, any_dtype=False)
