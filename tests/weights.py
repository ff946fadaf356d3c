"""Seeded weights as files: no trained model is needed to see that models are loaded and run as they should be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from modules.features import torch_libraries

#: The smallest that the libraries have; ViT-B-32 and B0 take seconds and half a gigabyte.
SMALL_CLIP = "ViT-S-32-alt"
SMALL_TIMM = "test_efficientnet"
SMALL_DINOV3 = "vit_tiny_patch16_dinov3_qkvb"


def clip_model(seed: int, model: str = SMALL_CLIP, *, quick_gelu: bool = False) -> Any:
    """A whole open_clip model, seeded, not trained."""
    import torch

    torch.manual_seed(seed)
    made = torch_libraries.open_clip().create_model(model, load_weights=False, force_quick_gelu=quick_gelu)
    return made.eval()


def timm_model(seed: int, model: str = SMALL_TIMM, **options: Any) -> Any:
    """A timm model, seeded, its running statistics not all alike."""
    import torch

    torch.manual_seed(seed)
    made = torch_libraries.timm().create_model(model, **options)
    for name, numbers in made.named_buffers():
        if name.endswith("running_var"):
            numbers.uniform_(0.5, 1.5)
    return made.eval()


def save(model: Any, path: Path) -> Path:
    """Its state dict, as safetensors or as torch saves it, by the file's name."""
    import torch
    from safetensors.torch import save_file

    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save(state, path)
    return path


def save_clip(path: Path, seed: int, model: str = SMALL_CLIP) -> Path:
    """Weights for ``clip:MODEL/...``."""
    return save(clip_model(seed, model), path)


def save_timm(path: Path, seed: int, model: str = SMALL_TIMM) -> Path:
    """Weights for ``timm:MODEL``."""
    return save(timm_model(seed, model), path)


def save_torchscript(path: Path, seed: int, *, pooled: bool = True) -> Path:
    """A small TorchScript program; one that does not pool gives no vector."""
    import torch

    torch.manual_seed(seed)
    layers: list[torch.nn.Module] = [torch.nn.Conv2d(3, 16, 9, stride=8), torch.nn.ReLU()]
    layers += [torch.nn.AdaptiveAvgPool2d(4), torch.nn.Flatten()] if pooled else []
    torch.jit.script(torch.nn.Sequential(*layers).eval()).save(str(path))  # type: ignore[no-untyped-call] # untyped
    return path


def save_constants(path: Path, device: str | None = None) -> Path:
    """A traced TorchScript program with a constant; or, with ``device``, one that makes a tensor of its own there."""
    import torch

    class Shifted(torch.nn.Module):
        """Mean colours, each with a number of its own added."""

        def __init__(self) -> None:
            super().__init__()
            self.shift = torch.arange(1.0, 4.0)  # neither parameter nor buffer

        def forward(self, pictures: torch.Tensor) -> torch.Tensor:
            """Pictures (n, 3, h, w) to (n, 3)."""
            shift = torch.ones(3, device=device) if device else self.shift
            return pictures.mean(dim=(2, 3)) + shift

    torch.jit.trace(Shifted(), torch.rand(2, 3, 8, 8)).save(str(path))  # type: ignore[no-untyped-call] # untyped
    return path


def save_refusing(path: Path) -> Path:
    """A TorchScript program that is particular about what it gets, and raises."""
    import torch

    class Refusing(torch.nn.Module):
        def forward(self, pictures: torch.Tensor) -> torch.Tensor:
            if pictures.shape[2] != 64:
                raise ValueError("wants pictures of 64 pixels")
            return pictures.mean(dim=(2, 3))

    torch.jit.save(torch.jit.script(Refusing()), str(path))
    return path
