"""Keep policies one by one, and how they are asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modules.errors import UsageError
from modules.matching.keep import PATTERNS, POLICIES, Keep, folder, plain_name
from modules.records import Copy
from modules.settings import Settings

COPY = Copy("a/b.jpg", 100, 5, 40, 30, 50.0, 0)


def first(policy: str, *copies: Copy) -> Copy:
    """The copy that is kept; of equals the earlier one."""
    order = Keep.parse([policy]).order
    return min(copies, key=lambda copy: tuple(key(copy) for key in order))


PREFERRED: list[tuple[str, dict[str, Any]]] = [
    ("quality", {"quality": 50.01}),
    ("lexi", {"path": "A/z.jpg"}),
    ("smallest", {"size": 99}),
    ("largest", {"size": 101}),
    ("newest", {"modified_ns": 6}),
    ("oldest", {"modified_ns": 4}),
    ("oldest", {"modified_ns": -4}),
    ("folder:B", {"path": "z/B/b.jpg"}),
]


@pytest.mark.parametrize(("policy", "change"), PREFERRED)
def test_each_policy_prefers_what_it_says_over_better_quality(policy: str, change: dict[str, Any]) -> None:
    wanted = replace(COPY, **change)
    rival = COPY if policy == "quality" else replace(COPY, quality=90.0, metadata=3)
    assert first(policy, rival, wanted) == wanted


@pytest.mark.parametrize("policy", ["newest", "oldest"])
def test_a_copy_of_unknown_time_comes_last(policy: str) -> None:
    unknown = replace(COPY, modified_ns=0)
    assert first(policy, unknown, COPY) == COPY


def test_equals_go_to_quality_then_to_metadata() -> None:
    better, told = replace(COPY, quality=50.02), replace(COPY, metadata=1)
    assert first("smallest", COPY, told, better) == better
    assert first("smallest", COPY, told) == told
    assert first("quality", replace(COPY, quality=50.004), replace(told, quality=49.996)).metadata == 1


def test_later_policies_break_the_ties_of_earlier_ones() -> None:
    chain = Keep.parse(["folder:originals", "folder:raw", "newest"])
    copies = [
        replace(COPY, path="x/a", modified_ns=99),
        replace(COPY, path="originals/a", modified_ns=7),
        replace(COPY, path="raw/a", modified_ns=80),
        replace(COPY, path="raw/b", modified_ns=90),
        replace(COPY, path="originals/raw/a", modified_ns=1),
        replace(COPY, path="originals/b", modified_ns=8),
    ]
    ranked = sorted(copies, key=lambda copy: tuple(key(copy) for key in chain.order))
    assert [copy.path for copy in ranked] == ["originals/raw/a", "originals/b", "originals/a", "raw/b", "raw/a", "x/a"]


@pytest.mark.parametrize(
    "name",
    [
        *("Copy of IMG_1.jpg", "copy (2) of IMG_1.jpg", "IMG_1 (1).jpg", "IMG_1(2).jpg", "IMG_1-001.jpg"),
        *("IMG_1 copy.jpg", "IMG_1 copy 2.jpg", "IMG_1_copy.jpg", "IMG_1 - Copy.jpg", "IMG_1 - Copy (3).jpg"),
        *("Kopie von IMG_1.jpg", "IMG_1 - Kopie.jpg", "IMG_1 - Kopie (2).jpg", "Copie de IMG_1.jpg"),
    ],
)
def test_among_equals_the_plain_name_is_kept(name: str) -> None:
    # "A/…" comes first by path: only what the name says can make the other one the kept.
    said, plain = replace(COPY, path=f"A/{name}"), replace(COPY, path="b/IMG_1.jpg")
    assert first("quality", said, plain) == plain
    assert first("lexi", said, plain) == said
    assert first("quality", replace(said, metadata=1), plain).path == said.path


@pytest.mark.parametrize(
    "name", ["IMG_0001.jpg", "photocopy.jpg", "copyright.jpg", "2024-05-01.jpg", "Copyright of me.jpg", "a (2024).jpg"]
)
def test_a_name_that_only_looks_like_a_copy_s_is_a_plain_one(name: str) -> None:
    assert not plain_name(replace(COPY, path=name))


def test_one_with_companions_comes_before_one_without_and_after_one_that_says_more() -> None:
    accompanied, told = replace(COPY, accompanied=True), replace(COPY, metadata=1)
    assert first("quality", COPY, accompanied) == accompanied
    assert first("quality", told, accompanied) == told


@pytest.mark.parametrize("policy", [*POLICIES, "folder:B"])
def test_no_policy_keeps_a_damaged_one_beside_a_whole_one(policy: str) -> None:
    change = next((change for name, change in PREFERRED if name == policy))
    assert first(policy, replace(COPY, damaged=True, **change), COPY) == COPY


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("originals", "originals/a.jpg", True),
        ("originals", "2020/originals/june/a.jpg", True),
        ("originals", "originals.jpg", False),
        ("originals", "x/originals", False),  # a file is no folder
        ("originals", "Originals/a.jpg", False),
        ("orig*", "2020/originals/a.jpg", True),
        ("20[12]?", "2031/a.jpg", False),
        ("20[12]?", "2021/2020/a.jpg", True),
        ("2020/*", "2020/june/a.jpg", True),
        ("2020/*", "2020/a.jpg", False),
        ("2020/*", "x/2020/june/a.jpg", False),
        ("/2020", "2020/a.jpg", True),
        ("/2020", "x/2020/a.jpg", False),
        ("originals/", "x/originals/a.jpg", True),
        ("[", "[/a.jpg", True),
        ("two\nlines", "two\nlines/a.jpg", True),
        ("*", "a.jpg", False),
    ],
)
def test_folders_fit_by_name_or_by_path(pattern: str, path: str, fits: bool) -> None:
    assert folder(pattern)(replace(COPY, path=path)) == (0 if fits else 1)


@given(st.text(), st.text())
def test_any_path_and_pattern_give_an_answer(pattern: str, path: str) -> None:
    if pattern.strip("/"):
        assert folder(pattern)(replace(COPY, path=path)) in (0, 1)


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (
            ["nicest"],
            "unknown policy 'nicest'; known are quality, lexi, smallest, largest, newest, oldest, folder:PATT",
        ),
        (["folder"], "folder needs a pattern: folder:PATTERN"),
        (["folder:"], "folder needs a pattern"),
        (["newest", "folder://"], "folder needs a pattern"),
        (["newest:1"], "newest takes no pattern, found 'newest:1'"),
        (["Newest"], "unknown policy 'Newest'"),
        (["newest", "lexi", "newest"], "'newest' is named twice"),
        (["folder:a", "folder:a"], "'folder:a' is named twice"),
        (["two\nlines"], r"unknown policy 'two\\nlines'"),
        ([], "name 1 to 50 policies, not 0"),
        ([f"folder:{n}" for n in range(51)], "name 1 to 50 policies, not 51"),
    ],
)
def test_what_is_no_chain_of_policies_is_said_in_one_line(names: list[str], reason: str) -> None:
    with pytest.raises(UsageError, match=f"^keep: .*{reason}") as caught:
        Keep.parse(names)
    assert "\n" not in str(caught.value)


def test_settings_pass_on_what_is_repeated() -> None:
    assert Settings(source="x", keep="folder:a,newest,newest").keep == ("folder:a", "newest", "newest")  # type: ignore[arg-type]  # as flags and YAML give it
    assert Keep.parse(Settings(source="x").keep).names == ("quality",)


def test_quality_alone_holds_detail_dear() -> None:
    assert not Keep.parse(["quality", "newest"]).any_resolution
    assert Keep.parse(["newest", "quality"]).any_resolution
    assert Keep.parse(["folder:quality"]).any_resolution


def test_every_policy_is_tested_above() -> None:
    assert {policy.partition(":")[0] for policy, _ in PREFERRED} == {*POLICIES, *PATTERNS}


def test_the_settings_name_every_policy() -> None:
    description = Settings.model_fields["keep"].description or ""
    assert all(name in description for name in (*POLICIES, *PATTERNS))
