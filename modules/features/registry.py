"""From ``--features``, ``--weights`` and ``--clip-output`` to extractors whose weights are at hand and fit."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from modules.errors import MissingWeightsError, UsageError
from modules.features import descriptor, open_clip_model, timm_model, torchscript_model, weights
from modules.features.base import Extractor
from modules.features.catalogue import (
    ALIASES,
    AUTO,
    DESCRIPTOR,
    EMBEDDED,
    HUB,
    KNOWN,
    MODELS,
    PACKAGES,
    STAND_IN,
    HubFiles,
    Spec,
    parse,
)
from modules.features.model_base import Loader, ModelExtractor
from modules.features.open_clip_model import ClipOutput
from modules.features.perceptual import Perceptual

log = logging.getLogger(__name__)


def resolve(
    asked: Sequence[str],
    files: Sequence[str] = (),
    clip_output: ClipOutput = "final",
    *,
    settled: Sequence[str] | None = None,
) -> list[Extractor]:
    """Extractors for what was asked, each once, in order, not set up yet. Every model is loaded and tried once.

    files: ``NAME=FILE`` texts. ``auto`` stands for the models where the weights of all of them can be had, else, said
    in the log, for what :func:`auto_at_hand` says. settled: names that an earlier start came to for the same
    ``asked``: these count, and are decided no more. For ``perceptual`` alone no torch is loaded.

    Raises UsageError for names, files and weights that are no good, MissingWeightsError for weights not to be had.
    """
    check(asked, files)
    given = _given(files)
    names = list(asked) if settled is None else list(settled)
    if "auto" in names:
        chosen = _auto(given)
        names = [name for one in names for name in (chosen if one == "auto" else (one,))]
    elif "auto" in asked:  # settled earlier
        _tell_unused(given, names)
    specs = {spec.meaning: spec for spec in reversed([parse(name) for name in names])}
    ordered = sorted(specs.values(), key=lambda spec: names.index(spec.name))
    return [_open(spec, given.get(spec.meaning), clip_output) for spec in ordered]


def check(asked: Sequence[str], files: Sequence[str] = ()) -> None:
    """Raise UsageError for names and files that are no good. Loads no weights and asks no network."""
    if not asked:
        raise UsageError(f"features: no extractor given; known are {', '.join(KNOWN)}")
    names = {name for one in asked for name in ((*MODELS, STAND_IN) if one == "auto" else (one,))}
    meanings = {parse(name).meaning for name in names}
    for name in _given(files):
        if name not in meanings:
            log.info("weights: %s is not among the features; its file is not used", name)


def needs_models(extractors: Sequence[Extractor]) -> bool:
    """Whether any of them runs on torch."""
    return any(isinstance(extractor, ModelExtractor) for extractor in extractors)


def at_hand(asked: Sequence[str], files: Sequence[str] = ()) -> dict[str, str]:
    """Where the weights of each extractor lie, in words for people. Asks no network and loads no weights.

    Raises UsageError for names and files that are no good.
    """
    given = _given(files)
    auto = (*AUTO, STAND_IN) if _lies_here(STAND_IN, given) else AUTO
    names = dict.fromkeys(name for one in asked for name in (auto if one == "auto" else (one,)))
    return {name: _where(parse(name), given.get(parse(name).meaning)) for name in names}


def _where(spec: Spec, path: Path | None) -> str:
    if spec.kind == "perceptual":
        return "needs none"
    if spec.kind == "descriptor":
        return str(descriptor.WEIGHTS)
    if spec.kind == "torchscript":
        path = Path(spec.model)
        weights.check_file(spec.name, path)
    path = path or _packaged(spec)
    hub = None if path else _hub(spec)
    path = path or (weights.cached(hub) if hub else None)
    return str(path) if path else f"not at hand; on the hub as {hub.repository}" if hub else "not at hand"


def _given(files: Sequence[str]) -> dict[str, Path]:
    """Files by what their extractors' names mean. They may be of models that are not asked for, as in a config file."""
    given: dict[str, Path] = {}
    for name, path in weights.parse_files(files).items():
        spec = parse(name)
        if spec.name in EMBEDDED or spec.kind == "torchscript":
            raise UsageError(f"weights: {name} takes no file of weights: leave {name}={path} out")
        if given.setdefault(spec.meaning, path) != path:
            raise UsageError(f"weights: two files for {name}: {given[spec.meaning]} and {path}")
    return given


def _tell_unused(given: Mapping[str, Path], settled: Sequence[str]) -> None:
    """Whoever gives weights to ``auto`` expects them to be used; a state that was begun without them stays as it is."""
    unused = [name for name in (*MODELS, STAND_IN) if parse(name).meaning in given and name not in settled]
    if unused:
        named = AUTO if set(unused) & set(MODELS) else (STAND_IN, DESCRIPTOR)
        log.warning(
            "features: this state was begun with %s alone; weights of %s are not used unless you name --features %s",
            *(", ".join(settled), ", ".join(unused), ",".join(named)),
        )


def auto_at_hand(files: Sequence[str] = ()) -> tuple[str, ...]:
    """What ``auto`` stands for where not all its models can be had. Asks no network and loads no weights.

    EfficientNet-Lite0 takes the place of EfficientNet-B0 where that one is not at hand and weights of its own are given
    or installed, beside CLIP where that is at hand, for whatever did not bring the one would not bring the other;
    else ``descriptor`` alone. Raises UsageError for files that are no good.
    """
    return _at_hand_for_auto(_given(files))


def _at_hand_for_auto(given: Mapping[str, Path]) -> tuple[str, ...]:
    clip, replaced = MODELS
    if _lies_here(replaced, given) or not _lies_here(STAND_IN, given):
        return (DESCRIPTOR,)
    return (*((clip,) if _lies_here(clip, given) else ()), STAND_IN, DESCRIPTOR)


def _lies_here(name: str, given: Mapping[str, Path]) -> bool:
    """Whether the weights of a model that ``auto`` may take are given, installed or in the hub's cache."""
    meaning = ALIASES[name]
    if meaning in given or _packaged(parse(name)) is not None:
        return True
    return meaning in HUB and weights.cached(HUB[meaning]) is not None


def _packaged(spec: Spec) -> Path | None:
    """The file of weights of an installed package that carries them."""
    package = PACKAGES.get(spec.meaning)
    return weights.packaged(package) if package else None


def _auto(given: Mapping[str, Path]) -> tuple[str, ...]:
    """What ``auto`` stands for here and now; models' weights are in the hub's cache then, fetched smallest first."""
    try:
        for name in reversed(MODELS):
            meaning = parse(name).meaning
            if meaning not in given:
                weights.fetch(name, HUB[meaning])
    except MissingWeightsError as error:
        chosen = _at_hand_for_auto(given)
        log.warning("features auto: %s alone, as not all models can be had: %s", ", ".join(chosen), error)
        return chosen
    return AUTO


def _hub(spec: Spec) -> HubFiles | None:
    """Where the weights lie on the hub. Raises UsageError for a model that its library does not know."""
    if spec.meaning in HUB:
        return HUB[spec.meaning]
    if spec.kind == "clip":
        open_clip_model.check(spec)
        return open_clip_model.hub_files(spec)
    timm_model.check(spec)
    return timm_model.hub_files(spec)


def _open(spec: Spec, path: Path | None, clip_output: ClipOutput) -> Extractor:
    if spec.kind == "perceptual":
        return Perceptual()
    if spec.kind == "descriptor":
        return descriptor.open_descriptor(spec)
    if spec.kind == "torchscript":
        weights.check_file(spec.name, Path(spec.model))
        return torchscript_model.Program.open(spec, Path(spec.model), torchscript_model.load)
    hub = _hub(spec)
    if path is not None:
        return _open_weights(spec, path, clip_output)
    package = PACKAGES.get(spec.meaning)
    if package and (path := weights.packaged(package)):
        weights.check_packaged(spec.name, path, package)
        return _open_weights(spec, path, clip_output)
    if hub is None:
        raise weights.missing(spec.name, "its library names no place for them on the hub")
    path = weights.fetch(spec.name, hub, package)
    with weights.refetchable(spec.name, path):
        return _open_weights(spec, path, clip_output)


def _open_weights(spec: Spec, path: Path, clip_output: ClipOutput) -> Extractor:
    if spec.kind == "timm":
        return ModelExtractor.open(spec, path, partial(timm_model.load, spec))
    load: Loader = partial(open_clip_model.load, spec, clip_output)
    return ModelExtractor.open(spec, path, load, clip_output)
