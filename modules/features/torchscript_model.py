"""TorchScript programs such as SSCD: a file that holds a model with its weights."""

from __future__ import annotations

import importlib
from pathlib import Path

from modules.features.model_base import LoadedModel
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


def load(path: Path) -> LoadedModel:
    """The program of ``path``, in float32. TorchScript runs operators of torch only, no Python of the file.

    Raises what torch raises of a file that is none.
    """
    torch = importlib.import_module("torch")
    return LoadedModel(torch.jit.load(str(path), map_location="cpu"), PREPROCESSING, any_dtype=False)
