"""The matcher's fingerprint: a number that changes is another matcher, and nothing else is."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from modules.features import base
from modules.matching import agreement, confidence, fingerprint, regions, registration, verdicts
from modules.matching.fingerprint import DECIDING, WEIGHTS, digest
from modules.records import Grade
from tests.command import CLEAN, ROOT


def module(**values: object) -> ModuleType:
    made = ModuleType("made")
    vars(made).update(values)
    return made


@pytest.mark.parametrize(
    ("owner", "name", "value"),
    [
        (agreement, "_FLAT", agreement._FLAT + 1e-12),
        (agreement, "_GAINS", (0.4, 2.6)),
        (agreement, "_STRIDE", 5),
        (verdicts, "LIMITS", {**verdicts.LIMITS, Grade.STRICT: verdicts.Limits((0.9, 0.86, 0.8, 0.7), 0.16)}),
        (registration, "_CENTRE", registration._CENTRE + np.eye(3) * 1e-6),
        (confidence, "DOUBT", (confidence.DOUBT[0], confidence.DOUBT[1] - 1e-6)),
        (regions, "_NOISE", regions._NOISE + 0.1),
    ],
)
def test_one_number_more_or_less_is_another_digest(
    monkeypatch: pytest.MonkeyPatch, owner: ModuleType, name: str, value: Any
) -> None:
    before = digest(DECIDING)
    assert digest(DECIDING) == before
    monkeypatch.setattr(owner, name, value)
    assert digest(DECIDING) != before


def test_a_number_changed_before_the_start_changes_the_names_of_cached_verdicts() -> None:
    show = "from modules.stages.verify import verdicts_family; print(verdicts_family('k'))"
    change = "from modules.matching import covering; covering._FILLED += 0.1; "
    asked = ("", "", change)
    ended = [
        subprocess.run([sys.executable, "-c", code + show], cwd=ROOT, env=CLEAN, capture_output=True, check=True)
        for code in asked
    ]
    first, again, changed = (one.stdout for one in ended)
    assert first == again
    assert changed != first
    assert len(changed) == len(first)


def test_values_swapped_between_names_or_keys_count() -> None:
    assert digest([module(A=1, B=2)]) != digest([module(A=2, B=1)])
    assert digest([module(A={Grade.STRICT: 1, Grade.NORMAL: 2})]) != digest([module(A={3: 2, 2: 1})])
    assert digest([module(A=slice(3, 11))]) != digest([module(A=slice(3, 12))])
    assert digest([module(A=np.ones((3, 5)))]) != digest([module(A=np.ones((5, 3)))])


def test_what_is_no_number_and_the_last_bits_of_computed_ones_do_not_count() -> None:
    computed = np.cos(np.arange(9.0))
    plain = digest([module(A=computed, Z=np.zeros(2))])
    assert digest([module(A=np.nextafter(computed, 9), Z=-np.zeros(2), word="b", kind=int, f=len, x=[])]) == plain
    assert digest([module(A=computed + 1e-6, Z=np.zeros(2))]) != plain
    assert digest([module(A=computed, Z=np.zeros(2), made=np.ones(3, np.float32))]) == plain


def test_the_bytes_of_weights_count() -> None:
    assert len({digest([], weights) for weights in ({}, {"a": b"1"}, {"a": b"2"}, {"b": b"1"})}) == 4


def test_the_numbers_of_the_shipped_model_count() -> None:
    assert WEIGHTS[confidence.FILE.name] == confidence.FILE.read_bytes()
    refitted = {**WEIGHTS, confidence.FILE.name: WEIGHTS[confidence.FILE.name] + b" "}
    assert digest(DECIDING, refitted) != digest(DECIDING)


VERSIONED = ("features.keypoints", "features.sequences", "features.decode", "features.base")


def imported(path: Path) -> set[str]:
    """Modules that a file imports from ``modules.matching`` and ``modules.features``."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module in {"modules.matching", "modules.features"}:
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(("modules.matching", "modules.feat")):
            found.add(node.module or "")
    return found


def test_every_module_that_verdicts_are_made_with_is_counted() -> None:
    """Keypoints and decoding excepted, whose versions are in the names of what they find."""
    pending, reached = ["modules.matching.verdicts", "modules.matching.second_look"], set()
    while pending:
        name = pending.pop()
        if name not in reached and not name.endswith(VERSIONED):
            reached.add(name)
            pending += imported(ROOT / f"{name.replace('.', '/')}.py")
    assert {one.__name__ for one in DECIDING} == reached


def test_the_fingerprint_hangs_on_version_and_numbers() -> None:
    of_today = base.fingerprint("matcher", verdicts.VERSION, digest(DECIDING))
    assert of_today == fingerprint.MATCHER_FINGERPRINT
