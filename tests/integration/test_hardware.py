"""``hardware`` as a person starts it; what it says must be what this machine has."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from modules.features.descriptor import WEIGHTS
from modules.hardware import find_hardware
from tests.command import imgsieve
from tests.weights import SMALL_TIMM, save_timm

GPUS = torch.cuda.device_count()


def test_it_tells_what_was_found_chosen_and_why(tmp_path: Path) -> None:
    weights = save_timm(tmp_path / "w.safetensors", 1)
    name = f"timm:{SMALL_TIMM}"
    asked = ["--devices", "cpu,cpu", "--features", f"perceptual,{name}", "--weights", f"{name}={weights.name}"]
    ended = imgsieve(tmp_path, "hardware", *asked, "--batch-size", "7")
    found = find_hardware()
    assert ended.returncode == 0, ended.stderr
    assert found.cpu in ended.stdout
    assert found.torch in ended.stdout
    assert ended.stdout.count("asked for") == 2
    assert ended.stdout.count(f"{found.cpu_dtype}, {found.attention} attention, batches of 7") == 2
    assert "needs none" in ended.stdout
    assert weights.name in ended.stdout
    assert list(tmp_path.iterdir()) == [weights]


def test_machines_get_the_same_as_one_json_event(tmp_path: Path) -> None:
    ended = imgsieve(tmp_path, "hardware", "--log-format", "json", "--devices", "cpu", "--features", "descriptor")
    event = json.loads(ended.stdout)
    found = find_hardware()
    assert event["event"] == "hardware"
    assert event["found"]["features"] == sorted(found.features)
    assert len(event["found"]["gpus"]) == GPUS
    assert [(one["name"], one["dtype"], one["threads"]) for one in event["devices"]] == [
        ("cpu", found.cpu_dtype, found.cores)
    ]
    assert event["weights"] == {"descriptor": str(WEIGHTS)}


def test_without_a_model_it_says_what_a_run_without_one_does(tmp_path: Path) -> None:
    ended = imgsieve(tmp_path, "hardware", "--features", "perceptual", "--devices", "cuda", "--batch-size", "7")
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("no model among the features: devices and gpus are not used") == 1
    shown = " ".join(line.strip("│ ") for line in ended.stdout.splitlines())
    assert f"float32, batches of 7, {find_hardware().cores} thread(s)" in shown
    assert "no model among the features" in shown
    assert "cuda" not in shown.partition("A run would use")[2]


def test_long_paths_are_shown_to_their_end(tmp_path: Path) -> None:
    file = tmp_path / ("x" * 120 + "end.safetensors")
    file.write_bytes(b"")
    flags = ["--features", f"timm:{SMALL_TIMM}", "--weights", f"timm:{SMALL_TIMM}={file}"]
    shown = imgsieve(tmp_path, "hardware", *flags).stdout
    assert "xend.safetensors" in "".join(line.strip("│ ").split("│")[-1].strip() for line in shown.splitlines())


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--devices", f"cuda:{GPUS}"], f"devices: cuda:{GPUS} is asked for, but"),
        (["--devices", "tpu"], "unknown device 'tpu'"),
        (["--gpus", str(GPUS + 1)], f"gpus: {GPUS + 1} are asked for, but"),
        (["--features", "nothing"], "unknown extractor 'nothing'"),
    ],
)
def test_what_a_run_would_refuse_it_refuses(tmp_path: Path, flags: list[str], said: str) -> None:
    ended = imgsieve(tmp_path, "hardware", *flags)
    assert ended.returncode == 2
    assert said in ended.stderr
    assert ended.stderr.count("\n") == 1
