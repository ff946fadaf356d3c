"""Names, files and the hub: what is asked for is found, refused with one clear line, or decided once by ``auto``."""

from __future__ import annotations

import functools
import http.server
import json
import logging
import os
import pickle
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from modules.errors import MissingWeightsError, UsageError
from modules.features import catalogue, descriptor, open_clip_model, timm_model
from modules.features.catalogue import parse
from modules.features.registry import at_hand, needs_models, resolve
from tests import weights
from tests.command import CLEAN, ROOT, imgsieve

TIMM = f"timm:{weights.SMALL_TIMM}.r160_in1k"


class Harmful:
    """Leaves a file behind when unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self._path,)


def names(extractors: list[Any]) -> list[str]:
    return [extractor.name for extractor in extractors]


@pytest.mark.parametrize(
    ("name", "kind", "model", "tag", "family"),
    [
        ("perceptual", "perceptual", "", "", "perceptual"),
        ("clip", "clip", "ViT-B-32", "openai", "clip-ViT-B-32-openai"),
        ("clip:ViT-L-14/openai", "clip", "ViT-L-14", "openai", "clip-ViT-L-14-openai"),
        ("clip:ViT-L-14", "clip", "ViT-L-14", "", "clip-ViT-L-14"),
        ("efficientnet", "timm", "efficientnet_b0.ra_in1k", "", "timm-efficientnet_b0.ra_in1k"),
        ("efficientnet-lite0", "timm", "tf_efficientnet_lite0.in1k", "", "timm-tf_efficientnet_lite0.in1k"),
        ("timm:resnet50", "timm", "resnet50", "", "timm-resnet50"),
        ("torchscript:/a b/ß c.pt", "torchscript", "/a b/ß c.pt", "", "torchscript-c"),
    ],
)
def test_names(name: str, kind: str, model: str, tag: str, family: str) -> None:
    spec = parse(name)
    assert (spec.name, spec.kind, spec.model, spec.tag) == (name, kind, model, tag)
    assert re.fullmatch(r"[A-Za-z0-9._-]+", spec.family)
    assert spec.family.replace("torchscript--", "torchscript-") == family


def test_every_alias_is_known_to_its_library_and_lies_where_the_catalogue_says() -> None:
    for alias, meaning in catalogue.ALIASES.items():
        spec = parse(alias)
        library = open_clip_model if spec.kind == "clip" else timm_model
        library.check(spec)
        hub = library.hub_files(spec)
        assert hub is not None
        assert catalogue.HUB.get(meaning, hub) == hub


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("nonsense", "unknown extractor 'nonsense'; known are auto, perceptual, descriptor, clip"),
        ("clip:", "unknown extractor 'clip:'"),
        ("clip:ViT-B-23/openai", "open_clip has no model 'ViT-B-23'; near to it are ViT-B-32"),
        ("clip:ViT-B-32/none", "no weights 'none' of ViT-B-32; it has openai"),
        ("clip:ViT-B-32", "its library names no place for them on the hub; give --weights clip:ViT-B-32=FILE"),
        ("timm:efficientnet_b", "timm has no model 'efficientnet_b'; near to it are efficientnet_b"),
        ("timm:efficientnet_b0.none", "timm has no weights 'none' of efficientnet_b0; it has"),
        ("timm:efficientnet_b0.", "timm has no weights '' of efficientnet_b0; it has"),
        ("clip:ViT-B-32/", "its library names no place for them on the hub; give --weights clip:ViT-B-32/=FILE"),
        ("torchscript:/no/such.pt", "there is no file /no/such.pt"),
        ("clip", "its weights are not at hand, and timm/vit_base_patch32_clip_224.openai cannot be fetched"),
        ("dinov3", "HF_HUB_OFFLINE is set; give --weights dinov3=FILE, fill the hub's cache"),
    ],
)
def test_what_cannot_be_had_is_one_line(asked: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve([asked])
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    assert asked in str(caught.value)


def unusable(folder: Path) -> dict[str, tuple[Path, str]]:
    """Files that are no weights of the small timm model, and what is to be said of each."""
    whole = weights.save_timm(folder / "whole.safetensors", 1).read_bytes()
    saved = weights.save_timm(folder / "whole.pth", 1).read_bytes()
    torch.save(torch.load(folder / "whole.pth"), folder / "old.pth", _use_new_zipfile_serialization=False)
    old = (folder / "old.pth").read_bytes()
    files = {
        "other.pth": (None, "Missing key"),
        "cut.safetensors": (whole[:5000], "no whole safetensors file"),
        "cut.pth": (saved[:5000], "it is cut short or damaged"),
        "half.pth": (saved[: len(saved) // 2], "it is cut short or damaged"),
        "half_old.pth": (old[: len(old) // 2], "it is cut short or damaged"),
        "program.pt": (weights.save_torchscript(folder / "program.pt", 1).read_bytes(), "--features torchscript:FILE"),
        "text.pth": (b"no weights at all", "no state dict that torch saved"),
        "empty.pth": (b"", "no state dict that torch saved"),
        "list.pth": (pickle.dumps([1, 2]), "no state dict that torch saved"),
        "renamed.pth": (whole, "a safetensors file is named *.safetensors"),
        "harmful.pth": (pickle.dumps(Harmful(folder / "harm"), protocol=2), "more than tensors"),
    }
    made = {}
    for name, (content, said) in files.items():
        if content is None:
            weights.save_timm(folder / name, 1, "test_resnet")
        else:
            (folder / name).write_bytes(content)
        made[name] = (folder / name, said)
    return made


def test_unusable_files_are_one_line_and_harm_nothing(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    for path, said in unusable(tmp_path).values():
        with pytest.raises(UsageError) as caught:
            resolve([TIMM], [f"{TIMM}={path}"])
        text = str(caught.value)
        assert text.startswith(f"{TIMM}: {path} ")
        assert said in text
        assert len(text) < 600
        assert "\n" not in text
    assert not (tmp_path / "harm").exists()
    assert not [one.message for one in recwarn if issubclass(one.category, UserWarning)]


def test_a_file_of_another_clip_is_refused(tmp_path: Path) -> None:
    path = weights.save_clip(tmp_path / "small.safetensors", 1)
    with pytest.raises(UsageError, match=r"small\.safetensors cannot be used as weights of ViT-B-32: "):
        resolve(["clip"], [f"clip={path}"])
    with pytest.raises(UsageError, match="--clip-output final"):
        resolve(["clip:RN50"], [f"clip:RN50={weights.save_clip(tmp_path / 'rn.pth', 1, 'RN50')}"], "hidden")


def test_a_file_that_is_named_like_weights_on_the_hub_is_still_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights.save_clip(tmp_path / "openai", 1, "RN50")
    monkeypatch.chdir(tmp_path)
    (found,) = resolve(["clip:RN50"], ["clip:RN50=openai"])
    assert found.dim == 1024


@pytest.mark.parametrize("number", [float("nan"), float("inf"), 0.0])
def test_weights_that_give_no_numbers_are_refused(tmp_path: Path, number: float) -> None:
    model = weights.clip_model(1)
    model.visual.proj.data.fill_(number)
    path = weights.save(model, tmp_path / "damaged.safetensors")
    name = f"clip:{weights.SMALL_CLIP}"
    with pytest.raises(UsageError, match=r"damaged\.safetensors cannot .* not finite or all zeros"):
        resolve([name], [f"{name}={path}"])


def test_programs_that_give_no_vectors_are_refused(tmp_path: Path) -> None:
    unpooled = weights.save_torchscript(tmp_path / "unpooled.pt", 1, pooled=False)
    with pytest.raises(UsageError, match=r"unpooled\.pt .*it gives torch\.float32 \(2, 16, 39, 39\) for 2 pictures"):
        resolve([f"torchscript:{unpooled}"])
    whole = weights.save_torchscript(tmp_path / "whole.pt", 1).read_bytes()
    (tmp_path / "cut.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UsageError, match=r"cut\.pt cannot be used as a model: it is cut short or damaged$"):
        resolve([f"torchscript:{tmp_path}/cut.pt"])
    refusing = weights.save_refusing(tmp_path / "refusing.pt")
    with pytest.raises(UsageError, match=r"refusing\.pt cannot be used as a model: .*wants pictures of 64 pixels"):
        resolve([f"torchscript:{refusing}"])
    state = weights.save_timm(tmp_path / "state.pth", 1)
    with pytest.raises(UsageError, match=r"state\.pth cannot be used as a model"):
        resolve([f"torchscript:{state}"])


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["clip"], "'clip' is not NAME=FILE"),
        (["clip=/no/such"], "clip: there is no file /no/such"),
        (["clip=/"], "clip: there is no file /"),
        (
            ["clipp=FILE"],
            "features: unknown extractor 'clipp'; known are auto, perceptual, descriptor, clip, efficientnet",
        ),
        (["perceptual=FILE"], "weights: perceptual takes no file of weights: leave perceptual="),
        (["clip=FILE", "clip=/no/such"], "two files for clip"),
    ],
)
def test_wrong_weights_options(tmp_path: Path, options: list[str], said: str) -> None:
    file = weights.save_timm(tmp_path / "file.pth", 1)
    with pytest.raises(UsageError, match=re.escape(said)):
        resolve(["clip", "perceptual"], [option.replace("FILE", str(file)) for option in options])


def test_weights_of_a_model_that_is_not_asked_for_are_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = weights.save_timm(tmp_path / "file.pth", 1)
    with caplog.at_level("INFO"):
        assert names(resolve(["perceptual"], [f"efficientnet={file}"])) == ["perceptual"]
    assert "efficientnet_b0.ra_in1k is not among the features" in caplog.text


def test_a_file_given_under_a_short_name_is_of_what_it_means(tmp_path: Path) -> None:
    first, second = (weights.save_timm(tmp_path / f"{seed}.pth", seed) for seed in (1, 2))
    long = "timm:efficientnet_b0.ra_in1k"
    assert at_hand([long], [f"efficientnet={first}"]) == {long: str(first)}
    with pytest.raises(UsageError, match="two files for"):
        at_hand([long], [f"efficientnet={first}", f"{long}={second}"])


def test_the_descriptor_takes_no_other_weights(tmp_path: Path) -> None:
    file = weights.save_timm(tmp_path / "file.pth", 1)
    with pytest.raises(UsageError, match="descriptor takes no file of weights"):
        resolve(["descriptor"], [f"descriptor={file}"])


def test_what_auto_came_to_is_not_decided_again(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="modules"):
        assert names(resolve(["auto"], settled=["perceptual"])) == ["perceptual"]
    assert not caplog.records
    with pytest.raises(MissingWeightsError, match=r"^clip: its weights are not at hand"):
        resolve(["auto"], settled=["clip", "efficientnet", "descriptor"])


def test_weights_that_come_too_late_for_auto_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = weights.save_timm(tmp_path / "file.pth", 1)
    with caplog.at_level(logging.WARNING, logger="modules"):
        assert names(resolve(["auto"], [f"efficientnet={file}"], settled=["perceptual"])) == ["perceptual"]
    (record,) = caplog.records
    assert "begun with perceptual alone; weights of efficientnet are not used" in record.getMessage()
    assert "--features clip,efficientnet,descriptor" in record.getMessage()


def test_each_is_had_once_in_the_order_asked_for(tmp_path: Path) -> None:
    path = weights.save_timm(tmp_path / "small.pth", 1)
    found = resolve(["descriptor", TIMM, "auto", TIMM], [f"{TIMM}={path}"])
    assert names(found) == ["descriptor", TIMM, "efficientnet-lite0"]
    assert needs_models(found)
    with pytest.raises(UsageError, match="no extractor given"):
        resolve([])


def test_at_hand_tells_where_weights_lie(tmp_path: Path) -> None:
    path = weights.save_timm(tmp_path / "small.pth", 1)
    assert at_hand(["auto"], [f"clip={path}"]) == {
        "clip": str(path),
        "efficientnet": "not at hand; on the hub as timm/efficientnet_b0.ra_in1k",
        "descriptor": str(descriptor.WEIGHTS),
        "efficientnet-lite0": at_hand(["efficientnet-lite0"])["efficientnet-lite0"],
    }
    assert at_hand(["perceptual"]) == {"perceptual": "needs none"}


class Hub(http.server.SimpleHTTPRequestHandler):
    """Answers as the hub does for one repository with one file; remembers what it was asked for."""

    asked: list[str]

    def __init__(self, content: bytes, asked: list[str], *arguments: Any) -> None:
        self._content = content
        self.asked = asked
        super().__init__(*arguments)

    def do_HEAD(self) -> None:
        self.do_GET(body=False)

    def do_GET(self, *, body: bool = True) -> None:
        self.asked.append(self.path)
        here = self.path == "/timm/test_efficientnet.r160_in1k/resolve/main/pytorch_model.bin"
        commit = f"/timm/test_efficientnet.r160_in1k/resolve/{'a' * 40}/pytorch_model.bin"
        here = here or self.path == commit
        self.send_response(200 if here else 404)
        if not here:
            self.send_header("X-Error-Code", "EntryNotFound")
        self.send_header("X-Repo-Commit", "a" * 40)
        self.send_header("ETag", '"' + "b" * 64 + '"')
        self.send_header("Content-Length", str(len(self._content) if here else 0))
        self.end_headers()
        if body and here:
            self.wfile.write(self._content)

    def log_message(self, *_: Any) -> None: ...


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    """Its address and what it was asked for; its one repository holds a state dict, not safetensors."""
    asked: list[str] = []
    content = weights.save_timm(tmp_path / "hub.pth", 9).read_bytes()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Hub, content, asked))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    thread.join()
    server.server_close()


def found_by_a_process(home: Path, between: str, **environ: str) -> list[str]:
    """What a process of its own finds of the small timm model before and after ``between``, Python code.

    A fingerprint each, or an error's text. The hub's client reads its environment once, so one process cannot be both
    on line and off.
    """
    code = (
        "import http.client, json, shutil\n"
        "from modules.errors import UsageError\n"
        "from modules.features.registry import resolve\n"
        "def look():\n"
        f"    try: return resolve([{TIMM!r}])[0].fingerprint\n"
        "    except UsageError as error: return str(error)\n"
        f"before = look()\n{between}\nprint(json.dumps([before, look()]))"
    )
    environ = {**CLEAN, "PYTHONPATH": str(ROOT), "HF_HOME": str(home), **environ}
    ended = subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True)
    found: list[str] = json.loads(ended.stdout.splitlines()[-1])
    return found


def test_the_hub_is_asked_only_for_what_its_cache_lacks(tmp_path: Path, hub: tuple[str, list[str]]) -> None:
    address, asked = hub
    home = tmp_path / "home"
    (expected,) = resolve([TIMM], [f"{TIMM}={tmp_path / 'hub.pth'}"])
    mark = f"hub = http.client.HTTPConnection({address.removeprefix('http://')!r})\n"
    mark += "hub.request('HEAD', '/mark')\nhub.getresponse().read()"
    on_line = found_by_a_process(home, mark, HF_ENDPOINT=address, HF_HUB_OFFLINE="0")
    assert on_line == [expected.fingerprint] * 2
    first, then = asked[: asked.index("/mark")], asked[asked.index("/mark") :]
    assert any(path.endswith("/model.safetensors") for path in first)
    assert not [path for path in then if "resolve" in path]
    cached, gone = found_by_a_process(home, f"shutil.rmtree({str(home)!r})", HF_HUB_OFFLINE="1")
    assert cached == expected.fingerprint
    assert "HF_HUB_OFFLINE is set" in gone


def test_what_is_removed_of_a_damaged_cache_is_fetched_again(tmp_path: Path, hub: tuple[str, list[str]]) -> None:
    online = {"HF_ENDPOINT": hub[0], "HF_HUB_OFFLINE": "0"}
    home = tmp_path / "home"
    cut = f"import glob, os\nos.truncate(glob.glob('{home}/hub/models*/snapshots/*/pytorch_model.bin')[0], 99999)"
    whole, said = found_by_a_process(home, cut, **online)
    found = re.fullmatch(
        rf"{TIMM}: (\S+) cannot be used as weights of \S+: it is cut short or damaged; "
        rf"if the file is at fault, remove (\S+) to have it fetched again, or give --weights {TIMM}=FILE",
        said,
    )
    assert found is not None, said
    with pytest.raises(UsageError, match=r"cut short or damaged$"):  # there is nothing to be fetched again
        resolve([TIMM], [f"{TIMM}={found[1]}"])
    Path(found[2]).unlink()
    assert found_by_a_process(home, "", **online) == [whole] * 2


def test_a_hub_that_does_not_answer_is_one_line_before_the_first_request(tmp_path: Path) -> None:
    ended = imgsieve(
        tmp_path, "no/such/folder", "--features", "clip", HF_ENDPOINT="http://127.0.0.1:9", HF_HUB_OFFLINE="0"
    )
    assert ended.returncode == 2
    (line,) = ended.stderr.splitlines()
    assert "clip: its weights are not at hand" in line
    assert "refused" in line
    assert "--weights clip=FILE" in line
    assert "--features descriptor" in line


def test_torchvision_loads_beside_any_torch() -> None:
    code = (
        "import importlib, sys\n"
        "try: importlib.import_module('torchvision'); whole = True\n"
        "except RuntimeError: whole = False\n"
        "from modules.features import torch_libraries\n"
        "torch_libraries.open_clip(), torch_libraries.timm()\n"
        "assert (torch_libraries._import_torchvision()[1] is None) == whole\n"
        "from torchvision import transforms"
    )
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], env=environ, check=True, timeout=120)
