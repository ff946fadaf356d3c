"""Image models by timm: the pooled features before the classifier."""

from __future__ import annotations

import difflib
import importlib
import math
from pathlib import Path
from typing import Any, Literal

from modules.errors import UsageError
from modules.features import torch_libraries
from modules.features.catalogue import TIMM_FILES, HubFiles, Spec
from modules.features.model_base import LoadedModel
from modules.features.preprocessing import Preprocessing
from modules.features.weights import read_state_dict

_WAYS: dict[str, Literal["cover", "fill", "fit"]] = {"center": "cover", "squash": "fill", "border": "fit"}
#: The first tensor of EfficientNet-PyTorch's models, and a name that no model of timm has.
_FOREIGN_STEM = "_conv_stem.weight"


def check(spec: Spec) -> None:
    """Raise UsageError for a model or weights that timm does not know."""
    timm = torch_libraries.timm()
    architecture, dot, tag = spec.model.partition(".")
    if not timm.is_model(architecture):
        near = ", ".join(difflib.get_close_matches(architecture, timm.list_models(), 3)) or "efficientnet_b0, resnet50"
        raise UsageError(f"{spec.name}: timm has no model {architecture!r}; near to it are {near}")
    known = [name.partition(".")[2] for name in timm.list_pretrained(f"{architecture}.*")]
    if dot and tag not in known:
        raise UsageError(
            f"{spec.name}: timm has no weights {tag!r} of {architecture}; it has {', '.join(known) or 'none'}"
        )


def hub_files(spec: Spec) -> HubFiles | None:
    """Where the weights lie on the hub, None for a model without weights there."""
    config = torch_libraries.timm().models.get_pretrained_cfg(spec.model)
    if not config.hf_hub_id:
        return None
    return HubFiles(config.hf_hub_id, (config.hf_hub_filename,) if config.hf_hub_filename else TIMM_FILES)


def load(spec: Spec, path: Path) -> LoadedModel:
    """The model without classifier, with the weights of ``path``, which must hold all of them and no others (strict).

    A classifier of any number of classes, or none, may be in the file. Of an EfficientNet the names may be those of
    EfficientNet-PyTorch. DINOv3's vision transformers pool as DINOv3
    does, by the class token (timm's default there is the mean of the patches). Raises what timm and torch raise of
    weights that do not fit.
    """
    timm = torch_libraries.timm()
    state = _named_as_timm(spec, read_state_dict(path))
    classes = _classes(timm.models.get_pretrained_cfg(spec.model).classifier, state)
    pooling = {"global_pool": "token"} if "_dinov3" in spec.model.partition(".")[0] else {}
    with torch_libraries.without_initialising():
        model = timm.create_model(
            spec.model,
            pretrained=True,
            # What timm would fetch, replaced by what was read; equal numbers of classes keep its check strict.
            pretrained_cfg_overlay={
                "state_dict": state,
                "num_classes": classes,
                "label_offset": 0,
                "custom_load": False,
            },
            num_classes=classes,
            **pooling,
        )
    if classes:
        model.reset_classifier(0)
    return LoadedModel(model, _preprocessing(timm.data.resolve_model_data_config(model)))


def _named_as_timm(spec: Spec, state: dict[str, Any]) -> dict[str, Any]:
    """A state dict of EfficientNet-PyTorch by timm's names; any other as it is.

    Both implementations make the same layers in the same order; only what a layer is called differs (its tensors,
    ``weight`` or ``running_mean``, are called alike). Raises ValueError where number, kind or shape do not agree.
    """
    if _FOREIGN_STEM not in state:
        return state
    timm = torch_libraries.timm()
    with importlib.import_module("torch").device("meta"):
        wanted = timm.create_model(spec.model, num_classes=_rows(state, "_fc.weight")).state_dict()
    pairs = list(zip(wanted, state, strict=False))
    alike = all(
        ours.rpartition(".")[2] == theirs.rpartition(".")[2] and wanted[ours].shape == state[theirs].shape
        for ours, theirs in pairs
    )
    if len(wanted) != len(state) or not alike:
        raise ValueError("its tensors are those of another EfficientNet")
    return {ours: state[theirs] for ours, theirs in pairs}


def _rows(state: dict[str, Any], name: str) -> int:
    return int(state[name].shape[0]) if name in state else 0


def _classes(classifier: Any, state: dict[str, Any]) -> int:
    """How many classes the file's classifier tells apart, 0 without one."""
    names = (classifier,) if isinstance(classifier, str) else classifier or ()
    return max((_rows(state, f"{name}.weight") for name in names), default=0)


def _preprocessing(config: dict[str, Any]) -> Preprocessing:
    channels, height, width = config["input_size"]
    if channels != 3:
        raise ValueError(f"it looks at pictures of {channels} channels")
    return Preprocessing(
        size=(height, width),
        scaled=(math.floor(height / config["crop_pct"]), math.floor(width / config["crop_pct"])),
        way=_WAYS[config["crop_mode"]],
        interpolation=config["interpolation"],
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        fill=tuple(round(255 * share) for share in config["mean"]),
    )
