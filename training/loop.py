"""Learning: pairs of edited views of one picture come near each other, all others apart."""

from __future__ import annotations

import hashlib
import importlib
import json
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from modules.errors import UsageError
from modules.features.copy_network import CopyNetwork
from modules.features.descriptor import SIDE
from modules.features.weights import fitting
from modules.records import UInt8Array
from training.edits import view
from training.pictures import make_stock

torch: Any = importlib.import_module("torch")


@dataclass(frozen=True, slots=True)
class Plan:
    """What is learnt, and how long. Two runs of one plan on one kind of machine come to the same figures within noise.

    pictures: in the stock. pairs: in a batch. steps: in all. rate, decay: AdamW's, the first at its peak. temperature:
    of InfoNCE. entropy: weight of the regulariser. warm_up: steps over which the rate rises. easier: the share of the
    steps over which edits grow to their full strength.
    """

    seed: int = 0
    pictures: int = 14_336
    pairs: int = 192
    steps: int = 2_600
    rate: float = 1e-3
    decay: float = 0.05
    temperature: float = 0.06
    entropy: float = 0.3
    warm_up: int = 100
    easier: float = 0.3

    def strength_at(self, step: int) -> float:
        """Of the strongest edits: they grow over the first part of the steps."""
        return min(1.0, 0.4 + 0.6 * step / max(1.0, self.easier * self.steps))

    def rate_at(self, step: int) -> float:
        """Rises, then falls along a half cosine."""
        progress = max(0, step - self.warm_up) / max(1, self.steps - self.warm_up)
        return self.rate * min(1, (step + 1) / self.warm_up) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))


class Views(torch.utils.data.IterableDataset):  # type: ignore[misc]  # torch is loaded by name
    """Batches of both views, uint8 (2, pairs, 1, side, side), and the pictures' numbers, from a step on."""

    def __init__(self, stock: Path, plan: Plan, start: int) -> None:
        self.stock, self.plan, self.start = stock, plan, start

    def __iter__(self) -> Iterator[tuple[UInt8Array, Any]]:
        cv2.setNumThreads(1)
        pictures: UInt8Array = np.load(self.stock, mmap_mode="r")
        info = torch.utils.data.get_worker_info()
        first, every = (info.id, info.num_workers) if info else (0, 1)
        for step in range(self.start + first, self.plan.steps, every):
            yield make_batch(pictures, self.plan, step)


def make_batch(pictures: UInt8Array, plan: Plan, step: int) -> tuple[UInt8Array, Any]:
    """The batch of a step: the same whoever makes it."""
    rng = np.random.default_rng((plan.seed, 1, step))
    numbers = rng.choice(len(pictures), plan.pairs, replace=False)
    views = []
    for number in numbers:
        # Most copies are looked for beside a picture that is hardly touched: at most cropped by a tenth, and JPEG.
        most = plan.strength_at(step)
        strengths = (0.0 if rng.random() < 0.5 else 0.7 * most * rng.random(), most * rng.uniform(0.3, 1))
        other = pictures[rng.integers(len(pictures))]
        pair = (view(np.asarray(pictures[number]), other, SIDE, rng, strength) for strength in strengths)
        views.append([cv2.cvtColor(one, cv2.COLOR_RGB2GRAY)[None] for one in pair])
    return np.stack([np.stack([pair[n] for pair in views]) for n in (0, 1)]), numbers


def train(plan: Plan, folder: Path, *, device: str, workers: int, every: int = 50) -> Any:
    """The trained network. What is in ``folder`` is gone on with; a checkpoint is written every so many steps.

    Raises UsageError for a checkpoint that is damaged or of another plan, and for a damaged stock of pictures.
    """
    torch.manual_seed(plan.seed)
    network = CopyNetwork().to(device=device, memory_format=torch.channels_last)
    learner = torch.optim.AdamW(_groups(network, plan), lr=plan.rate, betas=(0.9, 0.98))
    step = _restore(folder / "checkpoint.pt", plan, network, learner)
    stock = make_stock(folder, plan.pictures, plan.seed, max(1, workers))  # takes minutes: what can fail comes before
    loader = torch.utils.data.DataLoader(
        Views(stock, plan, step), batch_size=None, num_workers=workers, prefetch_factor=4 if workers else None
    )
    began, shown = time.monotonic(), step
    for views, numbers in loader:
        for group in learner.param_groups:
            group["lr"] = plan.rate_at(step)
        loss, right = _learn(network, learner, views.to(device), numbers.to(device), plan)
        step += 1
        if step % every == 0 or step == plan.steps:
            _save(folder / "checkpoint.pt", plan, step, network, learner)
            speed = (step - shown) * plan.pairs * 2 / (time.monotonic() - began)
            began, shown = time.monotonic(), step
            line = {"step": step, "loss": round(loss, 3), "first": round(right, 3), "pictures_per_second": round(speed)}
            with (folder / "log.jsonl").open("a") as log:
                log.write(json.dumps(line) + "\n")
    return network


def _groups(network: Any, plan: Plan) -> list[dict[str, Any]]:
    """Weights that decay, and those that do not: biases, norms and the power of pooling."""
    parameters = list(network.parameters())
    return [
        {"params": [one for one in parameters if one.ndim > 1], "weight_decay": plan.decay},
        {"params": [one for one in parameters if one.ndim <= 1], "weight_decay": 0.0},
    ]


def _learn(network: Any, learner: Any, views: Any, numbers: Any, plan: Plan) -> tuple[float, float]:
    """One step: the loss, and the share of views whose nearest in the batch is the other view of their picture."""
    network.train()
    with torch.autocast(views.device.type, torch.bfloat16):
        found = network(views.flatten(0, 1).float() / 255)
    vectors = torch.nn.functional.normalize(found.float(), dim=1)
    both = numbers.repeat(2)
    loss, right = contrast(vectors, both, plan)
    learner.zero_grad(set_to_none=True)
    loss.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    learner.step()
    return float(loss.detach()), float(right)


def contrast(vectors: Any, numbers: Any, plan: Plan) -> tuple[Any, Any]:
    """InfoNCE over all views of a batch, and what spreads vectors evenly; vectors: (2 n, d), views one after the other.

    E. Pizzi et al., "A Self-Supervised Descriptor for Image Copy Detection", CVPR 2022 (SSCD): the entropy regulariser
    is the mean logarithm of each vector's distance to its nearest negative (Kozachenko and Leonenko).
    """
    count = len(vectors)
    cosines = vectors @ vectors.T
    same = numbers[:, None] == numbers[None]
    partner = (torch.arange(count, device=vectors.device) + count // 2) % count
    positive = cosines.gather(1, partner[:, None])
    negatives = cosines.masked_fill(same, -2.0)
    logits = torch.cat([positive, negatives], dim=1) / plan.temperature
    nearest = negatives.max(dim=1).values
    spread = -torch.log((2 - 2 * nearest).clamp(min=1e-6).sqrt()).mean()
    loss = torch.nn.functional.cross_entropy(logits, torch.zeros(count, dtype=torch.long, device=vectors.device))
    return loss + plan.entropy * spread, (positive[:, 0] > nearest).float().mean()


def export(network: Any, plan: Plan, path: Path) -> str:
    """Write the weights in bfloat16, with the plan beside them, as safetensors; their SHA-256, 64 hex digits."""
    state = {
        name: (numbers.to(torch.bfloat16) if numbers.is_floating_point() else numbers).cpu().contiguous()
        for name, numbers in network.state_dict().items()
    }
    importlib.import_module("safetensors.torch").save_file(state, path, {"plan": json.dumps(asdict(plan))})
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _save(path: Path, plan: Plan, step: int, network: Any, learner: Any) -> None:
    unfinished = path.with_suffix(".part")
    state = {"network": network.state_dict(), "learner": learner.state_dict()}
    torch.save({**state, "step": step, "plan": asdict(plan)}, unfinished)
    unfinished.rename(path)


def _restore(path: Path, plan: Plan, network: Any, learner: Any) -> int:
    """The step that the checkpoint, if there is one, stands at. Raises UsageError: it is damaged or of another plan."""
    if not path.exists():
        return 0
    with fitting("descriptor", path, "a checkpoint (remove it to start anew)"):
        state = torch.load(path, map_location="cpu", weights_only=True)  # the device that wrote it may not be here
        if state["plan"] != asdict(plan):
            raise UsageError(f"{path} is of another plan: {state['plan']}; give another folder")
        network.load_state_dict(state["network"])
        learner.load_state_dict(state["learner"])
        return int(state["step"])
