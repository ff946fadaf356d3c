"""Which devices models run on, and how: one replica of each extractor for every device that is chosen."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from modules.errors import ImgsieveError, UsageError
from modules.hardware import Gpu, Hardware, find_hardware, usable_cores

log = logging.getLogger(__name__)

Trouble = Literal["memory", "lost"]


class DeviceLostError(ImgsieveError):
    """A device does no more work in this run; what it was working on is to be done by another one."""


@dataclass(frozen=True, slots=True)
class Device:
    """Where one replica of each extractor runs.

    name: as torch names it, ``cpu`` or ``cuda:0``. dtype: ``bfloat16``, ``float16`` or ``float32``, of weights and
    inputs. batch_size: pictures at a time. threads: intra-op threads of this replica on the CPU. attention: the kernel
    that torch takes. memory: bytes that may be used of a GPU's, memory_fraction: as a share of them (0 < x <= 1).
    reason: why it was chosen so, for people.
    """

    name: str
    dtype: str
    batch_size: int
    threads: int
    attention: str = ""
    memory: int = 0
    memory_fraction: float = 1.0
    reason: str = ""

    @property
    def is_gpu(self) -> bool:
        """Whether it can go away while the CPU stays."""
        return self.name != "cpu"


def devices_for(
    asked: Sequence[str],
    gpus: int | None,
    fraction: float,
    batch_size: int,
    *,
    models: bool,
    found: Hardware | None = None,
) -> list[Device]:
    """What :func:`choose_devices` chooses of what was ``found``, or of this machine: then only GPUs that it may choose
    are tried, and without models torch is not loaded. Raises UsageError for a device that is unknown or not there.
    """
    if not models:
        return plain_devices(asked, gpus, batch_size)
    check_devices(asked)
    if found is None:
        named = {int(name.removeprefix("cuda:")) for name in asked if name.startswith("cuda:")}
        found = find_hardware(named, gpus if {"auto", "cuda"} & set(asked) else 0)
    for gpu in found.gpus:
        if gpu.problem:
            log.warning("GPU cuda:%d (%s) cannot be used: %s", gpu.index, gpu.name, gpu.problem)
    return choose_devices(asked, gpus, fraction, batch_size, found)


def stand_in_for(devices: Sequence[Device]) -> Device | None:
    """The CPU, for when all of these are lost; None where they are the CPU anyhow."""
    if not any(device.is_gpu for device in devices):
        return None
    return cpu_device(devices[0].batch_size, find_hardware(first=0), usable_cores())


def plain_devices(asked: Sequence[str], gpus: int | None, batch_size: int) -> list[Device]:
    """The CPU, as often as it is asked for, for extractors without a model: the machine is not looked at, nor torch.

    Raises UsageError for a word that names no device.
    """
    check_devices(asked)
    if gpus is not None or set(asked) - {"auto", "cpu"}:
        log.info("no model among the features: devices and gpus are not used")
    replicas = max(1, asked.count("cpu"))
    threads = max(1, usable_cores() // replicas)
    return [Device("cpu", "float32", batch_size, threads)] * replicas


def choose_devices(
    asked: Sequence[str], gpus: int | None, fraction: float, batch_size: int, found: Hardware
) -> list[Device]:
    """One device per replica, in the order asked for.

    asked: ``auto`` (the GPUs, else the CPU), ``cpu``, ``cuda`` (the GPUs), ``cuda:N``. gpus: use so many of those that
    ``auto`` and ``cuda`` stand for. fraction: share of a GPU's memory that may be used. Replicas on the CPU share its
    cores. Raises UsageError for a device that is unknown or not there.
    """
    check_devices(asked)
    if gpus is not None and not {"auto", "cuda"} & set(asked):
        raise UsageError(f"gpus: {gpus} of them are asked for, but devices names {', '.join(asked)}: leave one out")
    chosen: list[Gpu | None] = []  # None stands for the CPU
    for name in asked:
        chosen.extend(_meant(name, gpus, found))
    threads = max(1, found.cores // max(1, chosen.count(None)))
    return [
        cpu_device(batch_size, found, threads, asked) if gpu is None else _gpu_device(gpu, fraction, batch_size)
        for gpu in chosen
    ]


def cpu_device(batch_size: int, found: Hardware, threads: int, asked: Sequence[str] = ()) -> Device:
    """The CPU, in bfloat16 where it multiplies that natively; ``asked`` is for the reason only."""
    native = found.native_bfloat16
    why = "asked for" if "cpu" in asked else "no GPU that can be used was found"
    kind = f"has {', '.join(native)}" if native else "without native bfloat16, as far as is known"
    return Device("cpu", found.cpu_dtype, batch_size, threads, attention=found.attention, reason=f"{why}; {kind}")


def _gpu_device(gpu: Gpu, fraction: float, batch_size: int) -> Device:
    return Device(
        f"cuda:{gpu.index}",
        gpu.dtype,
        batch_size,
        threads=1,
        attention=gpu.attention,
        memory=int(fraction * gpu.memory),
        memory_fraction=fraction,
        reason=f"{gpu.name}; compute capability {gpu.capability[0]}.{gpu.capability[1]}",
    )


def _meant(name: str, count: int | None, found: Hardware) -> list[Gpu | None]:
    """The GPUs, or None for the CPU, that one word of the setting stands for."""
    usable = [gpu for gpu in found.gpus if not gpu.problem]
    if name == "cpu":
        return [None]
    if name in {"auto", "cuda"}:
        if count is not None and count > len(usable):
            raise UsageError(f"gpus: {count} are asked for, {_there(found)}")
        if name == "cuda" and not usable:
            raise UsageError(f"devices: cuda is asked for, {_there(found)}; use --devices cpu, or auto")
        return [*usable[:count]] or [None]
    for gpu in found.gpus:
        if name == f"cuda:{gpu.index}":
            if gpu.problem:
                raise UsageError(f"devices: {name} ({gpu.name}) cannot be used: {gpu.problem}")
            return [gpu]
    raise UsageError(f"devices: {name} is asked for, {_there(found)}")


def check_devices(asked: Sequence[str]) -> None:
    """Raise UsageError for a word that names no device. Looks at no hardware."""
    for name in asked:
        if not re.fullmatch(r"auto|cpu|cuda(:[0-9]+)?", name):
            raise UsageError(f"devices: unknown device {name!r}; known are auto, cpu, cuda and cuda:N")


def _there(found: Hardware) -> str:
    """What there is of GPUs, as the end of a sentence."""
    build = f" (torch {found.torch} is without CUDA)" if found.torch.endswith("+cpu") else ""
    notes = "".join(f"; {note}" for note in found.notes)
    if not found.gpu_count:
        return f"but no GPU was found{build}{notes}"
    problems = {gpu.index: f" (unusable: {gpu.problem})" for gpu in found.gpus if gpu.problem}
    told = ", ".join(f"cuda:{index}{problems.get(index, '')}" for index in range(found.gpu_count))
    return f"but there are only {told}{notes}"


def trouble_of(error: BaseException) -> Trouble | None:
    """What an extractor's exception says of its device: ``memory`` is short, the device is ``lost``, or nothing.

    Never loads torch: where it is not loaded, none of its exceptions can have been raised.
    """
    torch = sys.modules.get("torch")
    if isinstance(error, MemoryError):
        return "memory"
    if torch is None or not isinstance(error, RuntimeError):
        return None
    text = str(error)
    # cuBLAS, cuDNN, TorchScript and torch's allocator on the CPU report want of memory as plain RuntimeErrors.
    if isinstance(error, torch.OutOfMemoryError) or any(mark in text for mark in _MEMORY_MARKS):
        return "memory"
    if isinstance(error, torch.AcceleratorError) or any(mark in text for mark in _LOST_MARKS):
        return "lost"
    return None


_MEMORY_MARKS = (
    "CUDA error: out of memory",
    "CUDA out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    # All that a convolution says once no plan of cuDNN's got its workspace (pytorch#108645); a GPU on which none works
    # however small is found when it is tried.
    "unable to find an engine to execute this computation",
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
)
_LOST_MARKS = ("CUDA error", "CUDA driver error", "cuDNN error", "CUBLAS_STATUS_", "NVML_SUCCESS")


def take(device: Device) -> None:
    """In the thread that will use ``device``: its share of threads, or of memory. Raises what torch raises."""
    torch = sys.modules.get("torch")
    if torch is None:
        return
    if device.is_gpu:
        torch.cuda.set_per_process_memory_fraction(float(device.memory_fraction), device.name)
    else:
        torch.set_num_threads(device.threads)


def release_memory(device: Device) -> None:
    """Hand back what torch's allocator keeps of a GPU's memory. Raises what torch raises of a lost device."""
    torch = sys.modules.get("torch")
    if torch is not None and device.is_gpu:
        with torch.cuda.device(device.name):
            torch.cuda.empty_cache()
