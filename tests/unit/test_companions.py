"""Which files belong to which picture by their names."""

from __future__ import annotations

import pytest

from modules.state.companions import companion_stem, stems_of


@pytest.mark.parametrize("name", ["IMG_1.CR2", "IMG_1.xmp", "IMG_1.AAE", "IMG_1.mov", "IMG_1.jpg.xmp"])
def test_a_companion_shares_its_base_name_with_its_picture(name: str) -> None:
    assert companion_stem(f"c/a/{name}") in stems_of("c/a/IMG_1.jpg")
    assert companion_stem(f"c/b/{name}") not in stems_of("c/a/IMG_1.jpg")
    assert companion_stem(f"c/a/{name}") not in stems_of("c/a/IMG_12.jpg")


@pytest.mark.parametrize("name", ["IMG_1.jpg", "IMG_1.txt", "IMG_1", ".xmp", "a.mov/IMG_1"])
def test_other_files_are_none(name: str) -> None:
    assert companion_stem(f"c/{name}") is None
