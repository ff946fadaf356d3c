"""The network of the descriptor: small, convolutional, fast on a CPU. Imports torch: load it when a model is asked for.

A ResNet (K. He et al., "Deep Residual Learning for Image Recognition", CVPR 2016) of one block a stage with the deep
stem and averaging shortcuts of T. He et al., "Bag of Tricks for Image Classification", CVPR 2019, pooled by generalised
means (F. Radenovic et al., "Fine-tuning CNN Image Retrieval with No Human Annotation", TPAMI 2019) and projected to one
vector. Dense convolutions use a CPU's matrix units far better than depthwise ones do.
"""

from __future__ import annotations

import importlib
from typing import Any

torch: Any = importlib.import_module("torch")
nn: Any = torch.nn

#: Length of a vector.
DIM = 256
#: Channels of the stem's inner convolutions, and of the four stages.
_STEM, _WIDTHS = 24, (48, 96, 192, 384)
#: What keeps the noise of a plain picture from being taken for its content.
_LEAST_SPREAD = 4 / 255


class CopyNetwork(nn.Module):  # type: ignore[misc]  # torch is loaded by name
    """Grey levels of 0 to 1, (n, 1, side, side), to vectors (n, DIM), not normalised.

    Each picture's light is normalised by its own mean and deviation: brightness and contrast say nothing of what it
    shows, and neither does colour, by which made-up pictures differ far more than photographs do.
    """

    def __init__(self) -> None:
        super().__init__()
        first, *others = _WIDTHS
        self.stem = nn.Sequential(
            *(_convolution(1, _STEM, stride=2), _convolution(_STEM, _STEM), _convolution(_STEM, first)),
            nn.MaxPool2d(3, stride=2, padding=1),
        )
        stages = [_Block(first, first, 1)]
        stages += [_Block(before, width, 2) for before, width in zip(_WIDTHS, others, strict=False)]
        self.stages = nn.Sequential(*stages)
        self.power = nn.Parameter(torch.tensor(3.0))
        self.head = nn.Linear(_WIDTHS[-1], DIM)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, pictures: Any) -> Any:
        """See the class."""
        light = pictures.float()
        spread, mean = torch.std_mean(light, dim=(1, 2, 3), keepdim=True)
        light = (light - mean) / (spread + _LEAST_SPREAD)
        maps = self.stages(self.stem(light.to(self.head.weight.dtype, memory_format=torch.channels_last))).float()
        power = self.power.float().clamp(1, 8)
        pooled = maps.clamp(min=1e-4).pow(power).mean(dim=(2, 3)).pow(1 / power)
        return self.head(pooled.to(self.head.weight.dtype))


class _Block(nn.Module):  # type: ignore[misc]  # as above
    """Two convolutions beside a shortcut, (n, before, h, w) to (n, width, h / stride, w / stride)."""

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            _convolution(before, width, stride=stride),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )
        nn.init.zeros_(self.convolutions[-1].weight)  # a block begins as its shortcut
        self.shortcut = nn.Sequential()
        if before != width:
            self.shortcut = nn.Sequential(
                nn.AvgPool2d(stride, ceil_mode=True, count_include_pad=False),
                nn.Conv2d(before, width, 1, bias=False),
                nn.BatchNorm2d(width),
            )

    def forward(self, maps: Any) -> Any:
        """See the class."""
        return nn.functional.relu(self.convolutions(maps) + self.shortcut(maps))


def _convolution(before: int, width: int, stride: int = 1) -> Any:
    return nn.Sequential(
        nn.Conv2d(before, width, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True)
    )
