"""Thresholds: defaults by match and extractor, what a person sets, and what is refused."""

from __future__ import annotations

import pytest

from modules.errors import UsageError
from modules.matching.thresholds import DEFAULTS, OTHERS, Thresholds, default_of

NAMES = ["clip", "efficientnet", "perceptual"]


def test_defaults_say_which_of_them_nobody_measured() -> None:
    found = Thresholds.parse("same-picture", (), NAMES)
    assert list(found.least) == NAMES
    assert found.least["perceptual"] == DEFAULTS["same-picture"]["perceptual"].least
    assert found.uncalibrated == ("clip", "efficientnet")
    assert found.describe() == "clip 0.60 (uncalibrated), efficientnet 0.50 (uncalibrated), perceptual 0.75"


def test_the_two_matches_have_defaults_of_their_own() -> None:
    picture, scene = (Thresholds.parse(match, (), NAMES).least for match in ("same-picture", "same-scene"))
    assert all(scene[name] > picture[name] for name in NAMES)


def test_a_model_has_the_default_of_its_kind_and_an_unknown_one_the_common_one() -> None:
    assert default_of("same-scene", "clip:ViT-L-14/openai") == DEFAULTS["same-scene"]["clip"]
    assert default_of("same-scene", "timm:efficientnet_b0.ra_in1k") == DEFAULTS["same-scene"]["efficientnet"]
    assert default_of("same-scene", "timm:anything") == OTHERS["same-scene"]


def test_a_number_is_for_all_and_a_named_one_wins() -> None:
    found = Thresholds.parse("same-scene", ("0.8", "clip=0.95"), NAMES)
    assert found.least == {"clip": 0.95, "efficientnet": 0.8, "perceptual": 0.8}
    assert found.uncalibrated == ()
    one = Thresholds.parse("same-scene", ("clip=-0.5",), NAMES)
    assert one.least["clip"] == -0.5
    assert one.uncalibrated == ("efficientnet",)


def test_a_file_name_with_an_equals_sign_is_a_name() -> None:
    name = "torchscript:/models/a=b.pt"
    assert Thresholds.parse("same-scene", (f"{name}=0.7",), [name]).least == {name: 0.7}


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        (("high",), "'high' is no cosine from -1 to 1"),
        (("clip=1.01",), "'clip=1.01' is no cosine from -1 to 1"),
        (("nan",), "'nan' is no cosine"),
        (("clip=",), "'clip=' is no cosine"),
        (("klip=0.5",), "'klip' is none of this run's extractors: clip, efficientnet, perceptual"),
        (("0.5", "0.6"), "the value for all extractors is given twice"),
        (("clip=0.5", "clip=0.6"), "clip is given twice"),
    ],
)
def test_what_is_no_threshold_is_refused_with_the_reason(setting: tuple[str, ...], words: str) -> None:
    with pytest.raises(UsageError) as raised:
        Thresholds.parse("same-picture", setting, NAMES)
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)
