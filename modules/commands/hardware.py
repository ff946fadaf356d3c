"""``hardware``: what this machine has for models, what a run with these settings would use of it, and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from modules.devices import Device, devices_for
from modules.features.catalogue import PERCEPTUAL
from modules.features.registry import at_hand
from modules.hardware import Hardware, find_hardware
from modules.log_lines import visible
from modules.settings import Settings

GIB = 1 << 30


@dataclass(frozen=True, slots=True)
class Page:
    """What was found and chosen. process_workers: processes that decode. weights: per extractor, where they are."""

    found: Hardware
    devices: Sequence[Device]
    process_workers: int
    weights: Mapping[str, str]

    def as_json(self) -> dict[str, Any]:
        """The same for machines."""
        found = asdict(self.found) | {"features": sorted(self.found.features)}
        return {
            "found": found,
            "devices": [asdict(device) for device in self.devices],
            "process_workers": self.process_workers,
            "weights": dict(self.weights),
        }

    def __rich__(self) -> Group:
        """Tables for people."""
        notes = Text("".join(f"\n{visible(note)}" for note in self.found.notes))
        return Group(
            _table("Found", self._found_rows()),
            _table("A run would use", self._chosen_rows()),
            _table("Weights", self.weights.items()),
            notes,
        )

    def _found_rows(self) -> Iterator[tuple[str, str]]:
        found = self.found
        yield "CPU", f"{found.cpu}, {found.cores} core(s) for this process"
        yield "CPU features", ", ".join(sorted(found.features)) or "none that matter, as far as torch knows"
        yield "torch", found.torch
        yield "GPU driver", found.driver or "none"
        for gpu in found.gpus:
            text = f"{gpu.name}, {gpu.memory / GIB:.1f} GiB, compute capability {gpu.capability[0]}.{gpu.capability[1]}"
            yield f"cuda:{gpu.index}", text + (f"; cannot be used: {gpu.problem}" if gpu.problem else "")
        if not found.gpus:
            yield "GPUs", "none"

    def _chosen_rows(self) -> Iterator[tuple[str, str]]:
        yield "processes that decode", str(self.process_workers)
        for device in self.devices:
            size = f"up to {device.memory / GIB:.1f} GiB" if device.is_gpu else f"{device.threads} thread(s)"
            attention = f"{device.attention} attention, " if device.attention else ""
            how = f"{device.dtype}, {attention}batches of {device.batch_size}, {size}"
            yield device.name, f"{how}\n{device.reason or 'no model among the features'}"


def run(settings: Settings) -> Page:
    """Look at the machine, as a run does. Raises UsageError for devices or extractors that a run would refuse."""
    found = find_hardware()
    devices = devices_for(
        settings.devices,
        settings.gpus,
        settings.gpu_memory_fraction,
        settings.batch_size,
        models=set(settings.features) != {PERCEPTUAL},
        found=found,
    )
    return Page(found, devices, settings.num_process_workers, at_hand(settings.features, settings.weights))


def _table(title: str, rows: Iterable[tuple[str, str]]) -> Table:
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column()
    table.add_column(overflow="fold")  # the end of a path is what tells it from others
    for name, text in rows:
        table.add_row(visible(name), "\n".join(visible(line) for line in text.split("\n")))
    return table
