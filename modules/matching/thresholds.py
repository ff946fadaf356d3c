"""Which cosine is near enough, by what is looked for and by extractor: defaults, and what a person set instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from modules.errors import UsageError
from modules.features.catalogue import ALIASES, STAND_IN

Match = Literal["same-picture", "same-scene"]


@dataclass(frozen=True, slots=True)
class Default:
    """A least cosine. calibrated: measured on photographs with ``imgsieve calibrate``, not a guess."""

    least: float
    calibrated: bool = False


#: Same picture: the cosine from which on an extractor proposes a pair. Geometry decides, so too low costs time only.
#: Same scene: each extractor's part in the rule that decides. By an extractor's name or what stands before its colon.
DEFAULTS: Mapping[Match, Mapping[str, Default]] = {
    "same-picture": {
        "descriptor": Default(0.35, calibrated=True),
        "perceptual": Default(0.75, calibrated=True),
        "clip": Default(0.6),
        "efficientnet": Default(0.5),
        STAND_IN: Default(0.5, calibrated=True),
    },
    "same-scene": {
        "perceptual": Default(0.9, calibrated=True),
        "descriptor": Default(0.75, calibrated=True),
        "clip": Default(0.9),
        "efficientnet": Default(0.8),
        STAND_IN: Default(0.75, calibrated=True),
        "torchscript": Default(0.75),
    },
}
#: For every other extractor.
OTHERS: Mapping[Match, Default] = {"same-picture": Default(0.6), "same-scene": Default(0.85)}


@dataclass(frozen=True, slots=True)
class Thresholds:
    """The least cosine of each extractor of a run, in the order of the extractors.

    uncalibrated: names of those whose value is a default that nobody measured.
    """

    least: Mapping[str, float]
    uncalibrated: tuple[str, ...] = ()

    @classmethod
    def parse(cls, match: Match, setting: Sequence[str], names: Sequence[str]) -> Thresholds:
        """Defaults of ``match`` for the extractors ``names``, overlaid by the setting.

        setting: ``NUMBER`` for all, ``NAME=NUMBER`` for one of them; the second kind wins. Raises UsageError for
        what is no cosine, for a name that is none of the run's extractors, and for two values of one.
        """
        asked = parse_setting(setting)
        unknown = [name for name in asked if name and name not in names]
        if unknown:
            raise UsageError(f"threshold: {unknown[0]!r} is none of this run's extractors: {', '.join(names)}")
        least, uncalibrated = {}, []
        for name in names:
            default = default_of(match, name)
            value = asked.get(name, asked.get(""))
            least[name] = default.least if value is None else value
            if value is None and not default.calibrated:
                uncalibrated.append(name)
        return cls(least, tuple(uncalibrated))

    def describe(self) -> str:
        """One line: ``clip 0.90 (uncalibrated), perceptual 0.75``."""
        marks = {name: " (uncalibrated)" for name in self.uncalibrated}
        return ", ".join(f"{name} {least:.2f}{marks.get(name, '')}" for name, least in self.least.items())


def parse_setting(setting: Sequence[str]) -> dict[str, float]:
    """Values by extractor, "" for all of them. Raises UsageError for what is no cosine or is said twice."""
    asked: dict[str, float] = {}
    for text in setting:
        name, _, number = text.rpartition("=")
        name = name.strip()
        try:
            value = float(number)
        except ValueError:
            value = float("nan")
        if not -1.0 <= value <= 1.0:
            raise UsageError(f"threshold: {text!r} is no cosine from -1 to 1; write 0.8, or clip=0.8 for one extractor")
        if name in asked:
            raise UsageError(f"threshold: {name or 'the value for all extractors'} is given twice; give it once")
        asked[name] = value
    return asked


def default_of(match: Match, name: str) -> Default:
    """The default for an extractor: by its short name, else by what stands before its colon, else the common one."""
    known = DEFAULTS[match]
    short = next((short for short, meaning in ALIASES.items() if meaning == name), name)
    return known.get(short) or known.get(name.partition(":")[0]) or OTHERS[match]
