"""The one door to torch, open_clip, timm and kornia: loaded when a model is, never before.

open_clip and timm import torchvision. Beside a torch without its compiled operators (the usual pair of a CPU torch and
a torchvision from the package index) that import ends with ``operator torchvision::nms does not exist``, although
nothing here needs them. Declaring the two operators that torchvision registers shapes for lets the import pass.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import sys
import threading
from collections.abc import Iterator
from typing import Any

_SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_LOCK = threading.RLock()


def open_clip() -> Any:
    """The module open_clip."""
    _load_torchvision()
    return importlib.import_module("open_clip")


def timm() -> Any:
    """The module timm."""
    _load_torchvision()
    return importlib.import_module("timm")


@contextlib.contextmanager
def without_initialising() -> Iterator[None]:
    """Models that are built within keep whatever numbers their memory holds, so all of their weights must be loaded.

    Drawing random numbers that weights then take the place of costs ViT-B/32 longer than reading these.
    """
    init = importlib.import_module("torch").nn.init
    names = [name for name in dir(init) if name.endswith("_") and not name.startswith("_")]
    with _LOCK:
        kept = {name: getattr(init, name) for name in names}
        try:
            for name in names:
                setattr(init, name, lambda tensor, *_args, **_options: tensor)
            yield
        finally:
            for name, function in kept.items():
                setattr(init, name, function)


def _load_torchvision() -> None:
    with _LOCK:
        _import_torchvision()


@functools.cache
def _import_torchvision() -> Any:
    """torchvision, and the declared operators where they were missing: they last as long as what declared them."""
    try:
        return importlib.import_module("torchvision"), None
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    torch = importlib.import_module("torch")
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(name + _SCHEMA)
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]  # what the failed import left half done
    return importlib.import_module("torchvision"), library
