"""Replicas that raise what torch raises stand for devices that fail; all else is the real thing."""

from __future__ import annotations

import pytest

from modules.devices import Device
from modules.features.model_base import ModelExtractor
from modules.records import Float32Array, UInt8Array


def lose_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU is all that is found, and whatever is embedded on it fails."""
    import torch

    setup, embed = ModelExtractor.setup, ModelExtractor.embed
    on_gpu: list[ModelExtractor] = []

    def set_up(self: ModelExtractor, device: Device) -> None:
        if device.is_gpu:
            on_gpu.append(self)
        else:
            setup(self, device)

    def fail(self: ModelExtractor, batch: UInt8Array) -> Float32Array:
        if any(one is self for one in on_gpu):
            raise torch.AcceleratorError("CUDA error: an illegal memory access was encountered")
        return embed(self, batch)

    gpu = Device("cuda:0", "float32", 8, 1)
    monkeypatch.setattr("modules.job.devices_for", lambda *args, **kwargs: [gpu])
    monkeypatch.setattr("modules.stages.embed.take", lambda device: None)
    monkeypatch.setattr(ModelExtractor, "setup", set_up)
    monkeypatch.setattr(ModelExtractor, "embed", fail)


def leave_no_room(monkeypatch: pytest.MonkeyPatch, replicas: int) -> None:
    """The first so many replicas have too little memory for a single picture."""
    import torch

    embed = ModelExtractor.embed
    failed: list[ModelExtractor] = []

    def fail(self: ModelExtractor, batch: UInt8Array) -> Float32Array:
        if not any(one is self for one in failed) and len(failed) < replicas:
            failed.append(self)
        if any(one is self for one in failed):
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return embed(self, batch)

    monkeypatch.setattr(ModelExtractor, "embed", fail)
