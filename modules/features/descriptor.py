"""The descriptor of copies: a small network, trained by ``training/``, whose weights come with the project."""

from __future__ import annotations

import importlib
from pathlib import Path

from modules.features.catalogue import Spec
from modules.features.model_base import LoadedModel, ModelExtractor
from modules.features.preprocessing import Preprocessing
from modules.features.trimmed import FromTrimmed
from modules.features.weights import digest, read_state_dict

#: The weights, bfloat16, that docs/descriptor.md tells of, and their SHA-256.
WEIGHTS = Path(__file__).with_name("descriptor.safetensors")
SHA256 = "6259ac8a5c162dc7f92f1ef29e5a9204de40e7b5c8ddafbd9accca7504a30f0c"
#: Side of the square input, pixels.
SIDE = 96
#: Raised by hand when the same picture would give another input.
VERSION = 1


class Descriptor(FromTrimmed, ModelExtractor):
    """Vectors that lie near each other for copies of one picture, and far apart for all else."""

    side = SIDE


def open_descriptor(spec: Spec) -> Descriptor:
    """The extractor on the weights of the project. Raises UsageError for a file that is not the one it came with."""
    return Descriptor.open(spec, WEIGHTS, load, VERSION)


def load(path: Path) -> LoadedModel:
    """The network with the weights of ``path``. Raises ValueError for any other file than the project's."""
    if digest(path) != SHA256:
        raise ValueError("it is not the file that this version came with: install it again")
    network = importlib.import_module("modules.features.copy_network").CopyNetwork()
    network.load_state_dict({name: numbers.float() for name, numbers in read_state_dict(path).items()})
    return LoadedModel(network, Preprocessing((SIDE, SIDE), (SIDE, SIDE), "fill", "area", (0.0,), (1.0,)))
