"""CLIP and its relatives by open_clip: the image tower's embedding, its last hidden layer, or both."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Any, Literal

from modules.errors import UsageError
from modules.features import torch_libraries
from modules.features.catalogue import OPEN_CLIP_FILES, HubFiles, Spec
from modules.features.model_base import LoadedModel
from modules.features.preprocessing import Preprocessing
from modules.features.weights import read_state_dict

ClipOutput = Literal["final", "hidden", "both"]
_WAYS: dict[str, Literal["cover", "fill", "fit"]] = {"shortest": "cover", "squash": "fill", "longest": "fit"}


def check(spec: Spec) -> None:
    """Raise UsageError for a model or weights that open_clip does not know."""
    open_clip = torch_libraries.open_clip()
    models = open_clip.list_models()
    if spec.model not in models:
        near = ", ".join(difflib.get_close_matches(spec.model, models, 3)) or "ViT-B-32, ViT-L-14"
        raise UsageError(f"{spec.name}: open_clip has no model {spec.model!r}; near to it are {near}")
    tags = open_clip.list_pretrained_tags_by_model(spec.model)
    if spec.tag and not open_clip.pretrained.is_pretrained_cfg(spec.model, spec.tag):
        raise UsageError(
            f"{spec.name}: open_clip has no weights {spec.tag!r} of {spec.model}; it has {', '.join(tags)}"
        )


def hub_files(spec: Spec) -> HubFiles | None:
    """Where the weights lie on the hub, None for a spec without a tag or weights that lie elsewhere."""
    config = torch_libraries.open_clip().get_pretrained_cfg(spec.model, spec.tag)
    repository, file = os.path.split(config.get("hf_hub", ""))
    if not repository:
        return None
    return HubFiles(repository, (file.removesuffix(".bin") + ".safetensors", file) if file else OPEN_CLIP_FILES)


def load(spec: Spec, output: ClipOutput, path: Path) -> LoadedModel:
    """The image tower with the weights of ``path``, which must hold the whole model (strict).

    Preprocessing and QuickGELU are those of the tag. Raises what open_clip and torch raise of weights that do not fit.
    """
    open_clip = torch_libraries.open_clip()
    read_state_dict(path)  # says in plain words what is no state dict; open_clip then reads it by itself
    config = open_clip.get_pretrained_cfg(spec.model, spec.tag)
    with torch_libraries.without_initialising():
        model = open_clip.create_model(
            spec.model,
            pretrained=str(path.absolute()),  # a mere name could be that of a tag, whose weights it would download
            force_quick_gelu=config.get("quick_gelu", False),
            force_preprocess_cfg={
                key: config[key] for key in ("mean", "std", "interpolation", "resize_mode") if key in config
            },
            pretrained_text=False,
            weights_only=True,
        )
    return LoadedModel(_tower(model.visual, output), _preprocessing(model.visual))


def _preprocessing(visual: Any) -> Preprocessing:
    config = visual.preprocess_cfg
    height, width = (config["size"],) * 2 if isinstance(config["size"], int) else config["size"]
    return Preprocessing(
        size=(height, width),
        scaled=(height, width),
        way=_WAYS[config["resize_mode"]],
        interpolation=config["interpolation"],
        mean=tuple(config["mean"]),
        std=tuple(config["std"]),
        fill=(config["fill_color"],) * 3,
    )


def _tower(visual: Any, output: ClipOutput) -> Any:
    """A module that gives what ``output`` says.

    The hidden layer is the pooled one that the projection starts from: the class token after the last layer norm of a
    vision transformer (``pooler_output`` elsewhere), a timm trunk's pooled features. Raises ValueError for a tower
    without a projection of its own.
    """
    import torch  # noqa: PLC0415 - only where a model is loaded

    class Tower(torch.nn.Module):
        """Image tower, split into what comes before the projection, and the projection."""

        def __init__(self) -> None:
            super().__init__()
            self.visual = visual

        def forward(self, pictures: torch.Tensor) -> torch.Tensor:
            """Pictures (n, 3, h, w) to (n, dim)."""
            if output == "final":
                final: torch.Tensor = _pooled(self.visual(pictures))
                return final
            if hasattr(self.visual, "trunk"):
                hidden = self.visual.trunk(pictures)
                final = self.visual.head(hidden)
            else:
                hidden = _pooled(self.visual(pictures))
                final = hidden @ self.projection
            parts = (hidden,) if output == "hidden" else (final, hidden)
            return torch.cat([torch.nn.functional.normalize(part.float(), dim=1) for part in parts], dim=1)

    tower = Tower()
    if output != "final" and not hasattr(visual, "trunk"):
        if not isinstance(getattr(visual, "proj", None), torch.nn.Parameter):
            raise ValueError("this model has no last hidden layer of one vector; use --clip-output final")
        tower.projection = visual.proj
        visual.proj = None
    return tower


def _pooled(given: Any) -> Any:
    """CoCa's towers give their tokens beside the vector."""
    return given[0] if isinstance(given, tuple) else given
