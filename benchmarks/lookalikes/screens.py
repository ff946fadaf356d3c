"""Screens of one application, posts within one page's frame, pages of one web site."""

from __future__ import annotations

import random
from typing import NamedTuple

import numpy as np

from benchmarks.lookalikes.base import (
    Colour,
    Photos,
    Setting,
    box,
    canvas,
    colour,
    cut,
    disc,
    inset,
    line,
    text,
    unchanged,
)
from benchmarks.lookalikes.words import LABELS, NAMES, clock, digits, lines, price, words
from modules.records import UInt8Array

_PHONES = ((1080, 2400), (1080, 1920), (720, 1600), (828, 1792), (540, 960))
_WIDE = ("zh", "ja", "ko", "el")


class _Theme(NamedTuple):
    """Colours of an application."""

    ground: Colour
    card: Colour
    ink: Colour
    faint: Colour
    accent: Colour


def _theme(rng: random.Random) -> _Theme:
    accent = colour(rng, 20, 200)
    if rng.random() < 0.35:
        return _Theme((18, 18, 20), (34, 34, 38), (238, 238, 238), (150, 150, 155), accent)
    ground = rng.choice([(255, 255, 255), (244, 245, 247), (250, 248, 252)])
    return _Theme(ground, (255, 255, 255), (24, 24, 28), (120, 122, 130), accent)


class _Screen(NamedTuple):
    """What a screen says: language, state of each switch, numbers beside rows, open tab, time."""

    language: str
    on: list[bool]
    values: list[str]
    tab: int
    time: str


def _screen(rng: random.Random) -> _Screen:
    on = [rng.random() < 0.5 for _ in range(16)]
    values = [rng.choice([digits(rng, rng.randint(1, 4)), f"{rng.randint(0, 100)} %", clock(rng)]) for _ in range(16)]
    return _Screen(rng.choice(list(LABELS)), on, values, rng.randrange(4), clock(rng))


def app_screens(rng: random.Random, photos: Photos) -> Setting:
    """One screen of one application: in other languages, with other data, or a switch turned over."""
    size, theme = rng.choice(_PHONES), _theme(rng)
    first, what = _screen(rng), rng.choice(["language", "language", "data", "switch", "all"])
    body = rng.choice([_settings_list, _chats, _cards])
    order = rng.sample(range(16), 12)
    tones = [colour(rng, 60, 220) for _ in range(16)]

    def draw(rng: random.Random) -> UInt8Array:
        other = _screen(rng)
        turned = list(first.on)
        for number in rng.sample(range(8), rng.randint(1, 2)):
            turned[number] = not turned[number]
        screen = {
            "language": first._replace(language=other.language),
            "data": first._replace(values=other.values, time=other.time),
            "switch": first._replace(on=turned, tab=rng.choice([first.tab, other.tab])),
            "all": other,
        }[what]
        shown = canvas(size, theme.ground)
        _bars(shown, theme, screen)
        body(shown, theme, screen, (order, tones))
        return shown

    return Setting(draw, unchanged)


def _face(language: str) -> str:
    return "uni" if language in _WIDE else "sans"


def _bars(shown: UInt8Array, theme: _Theme, screen: _Screen) -> None:
    """Clock and battery above, the title, and tabs below."""
    height, width = shown.shape[:2]
    unit, labels = width / 36, LABELS[screen.language]
    text(shown, (1.5 * unit, 1.6 * unit), screen.time, 1.2 * unit, theme.ink, weight=600)
    box(shown, (32.5 * unit, 0.7 * unit, 34.5 * unit, 1.6 * unit), theme.ink, 0.2 * unit)
    for bar in range(3):
        box(
            shown, ((30 + 0.6 * bar) * unit, (1.3 - 0.3 * bar) * unit, (30.4 + 0.6 * bar) * unit, 1.6 * unit), theme.ink
        )
    face = _face(screen.language)
    text(shown, (1.8 * unit, 5.4 * unit), labels[screen.tab], 2.2 * unit, theme.ink, weight=700, face=face)
    disc(shown, (33.5 * unit, 4.8 * unit), 1.2 * unit, theme.accent)
    low = height - 4.5 * unit
    line(shown, [(0, low), (width, low)], theme.faint)
    for tab, label in enumerate((labels[14], labels[2], labels[1], labels[15])):
        x, ink = (4.5 + 9 * tab) * unit, theme.accent if tab == screen.tab else theme.faint
        disc(shown, (x, low + 1.5 * unit), 0.8 * unit, ink, -1 if tab % 2 else max(2, round(0.25 * unit)))
        text(shown, (x, low + 3.6 * unit), label, 0.95 * unit, ink, face=face, align="centre")


_Looks = tuple[list[int], list[Colour]]


def _settings_list(shown: UInt8Array, theme: _Theme, screen: _Screen, looks: _Looks) -> None:
    height, width = shown.shape[:2]
    unit, labels = width / 36, LABELS[screen.language]
    y = 8 * unit
    for number, which in enumerate(looks[0]):
        if y > height - 9 * unit:
            return
        box(shown, (unit, y, 35 * unit, y + 4 * unit), theme.card, 0.6 * unit)
        box(shown, (2 * unit, y + 0.9 * unit, 4.2 * unit, y + 3.1 * unit), looks[1][number], 0.5 * unit)
        at = 5.4 * unit, y + 2.5 * unit
        text(shown, at, labels[which], 1.45 * unit, theme.ink, face=_face(screen.language))
        if which % 2:
            _switch(shown, (30.5 * unit, y + 1.2 * unit), unit, theme, screen.on[which // 2])
        else:
            text(shown, (34 * unit, y + 2.5 * unit), screen.values[which], 1.2 * unit, theme.faint, align="right")
        y += 4.2 * unit + (2 * unit if number % 4 == 3 else 0)


def _switch(shown: UInt8Array, at: tuple[float, float], unit: float, theme: _Theme, on: bool) -> None:
    track = theme.accent if on else (178, 178, 182)
    box(shown, (at[0], at[1], at[0] + 3 * unit, at[1] + 1.7 * unit), track, 0.85 * unit)
    disc(shown, (at[0] + (2.15 if on else 0.85) * unit, at[1] + 0.85 * unit), 0.7 * unit, (250, 250, 250))


def _chats(shown: UInt8Array, theme: _Theme, screen: _Screen, looks: _Looks) -> None:
    height, width = shown.shape[:2]
    unit, labels, y = width / 36, LABELS[screen.language], 7.5 * width / 36
    box(shown, (1.5 * unit, y, 34.5 * unit, y + 3 * unit), theme.card, 1.5 * unit)
    text(shown, (3 * unit, y + 2 * unit), labels[2], 1.2 * unit, theme.faint, face=_face(screen.language))
    y += 4 * unit
    for number, tone in enumerate(looks[1]):
        if y > height - 10 * unit:
            return
        disc(shown, (3.6 * unit, y + 2.2 * unit), 1.8 * unit, tone)
        name = NAMES[looks[0][number % 12]]
        text(shown, (3.6 * unit, y + 2.7 * unit), name[0], 1.6 * unit, (255, 255, 255), weight=600, align="centre")
        text(shown, (6.5 * unit, y + 1.9 * unit), name, 1.3 * unit, theme.ink, weight=600)
        said = f"{labels[(number * 5 + looks[0][number % 12]) % 18]} {screen.values[number]}"
        text(shown, (6.5 * unit, y + 3.6 * unit), said, 1.1 * unit, theme.faint, face=_face(screen.language))
        if screen.on[number]:
            disc(shown, (33 * unit, y + 3.2 * unit), 0.8 * unit, theme.accent)
        y += 4.9 * unit


def _cards(shown: UInt8Array, theme: _Theme, screen: _Screen, looks: _Looks) -> None:
    height, width = shown.shape[:2]
    unit, labels = width / 36, LABELS[screen.language]
    for number in range(12):
        row, side = divmod(number, 2)
        x, y = (1 + 17.4 * side) * unit, (8 + 9.6 * row) * unit
        if y > height - 14 * unit:
            return
        box(shown, (x, y, x + 16.6 * unit, y + 9 * unit), theme.card, unit)
        box(shown, (x, y, x + 0.6 * unit, y + 9 * unit), looks[1][number])
        at = x + 1.6 * unit, y + 2.2 * unit
        text(shown, at, labels[looks[0][number]], 1.1 * unit, theme.faint, face=_face(screen.language))
        text(shown, (x + 1.6 * unit, y + 5.2 * unit), screen.values[number], 2.4 * unit, theme.ink, weight=700)
        heights = [(ord(letter) * (number + 3)) % 9 / 9 for letter in screen.values[number] * 4][:9]
        points = [(x + (1.6 + 1.6 * n) * unit, y + (8.2 - 1.8 * share) * unit) for n, share in enumerate(heights)]
        line(shown, points, theme.accent, max(2, round(0.2 * unit)))
        _switch(shown, (x + 13 * unit, y + 0.8 * unit), 0.8 * unit, theme, screen.on[number])


def feed(rng: random.Random, photos: Photos) -> Setting:
    """Posts in one page's frame: another photograph inside, and perhaps another name and other words."""
    size, theme = rng.choice([(1080, 1920), (1080, 2400), (720, 1280), (600, 900), (750, 1334)]), _theme(rng)
    unit = size[0] / 36
    side = round(rng.choice([12, 16, 20, 27, 36, 42]) * unit)
    side = min(side, round(size[1] - 28 * unit))
    margin = round(unit * rng.choice([0, 1, 2] if side > 22 * unit else [5, 8, 9]))
    remarks = [(rng.choice(NAMES), lines(rng, rng.randint(1, 2), 40)) for _ in range(12)]
    name, said = f"{rng.choice(NAMES).lower()}_{digits(rng, 2)}", lines(rng, 2, 44)
    same_words, likes, time = rng.random() < 0.5, digits(rng, 3), clock(rng)
    title, language = words(rng, 1), rng.choice(list(LABELS))
    untold = rng.sample(range(len(photos)), len(photos))

    def draw(rng: random.Random) -> UInt8Array:
        shown = canvas(size, theme.ground)
        who, what, many = (name, said, likes) if same_words else (rng.choice(NAMES), lines(rng, 2, 44), digits(rng, 3))
        screen = _Screen(language, [], [], 0, time if same_words else clock(rng))
        _bars(shown, theme, screen)
        box(shown, (0, 2.6 * unit, size[0], 7 * unit), theme.card)
        text(shown, (1.5 * unit, 5.6 * unit), title, 2.2 * unit, theme.accent, weight=800, face="italic")
        disc(shown, (3 * unit, 9.4 * unit), 1.6 * unit, theme.accent)
        text(shown, (5.5 * unit, 9.3 * unit), who, 1.3 * unit, theme.ink, weight=600)
        text(shown, (5.5 * unit, 10.8 * unit), what[1][:20], 1.0 * unit, theme.faint)
        top = round(12.2 * unit)
        # Each photograph once: two crops of one would be parts of one picture, which may be joined.
        if not untold:
            raise ValueError(f"a feed of more than {len(photos)} posts needs more photographs")
        inset(shown, (margin, top), cut(rng, [photos[untold.pop()]], (size[0] - 2 * margin, side), 0.4))
        y = top + side + 2.4 * unit
        for number in range(3):
            disc(shown, ((2.5 + 4 * number) * unit, y), unit, theme.ink, max(2, round(0.25 * unit)))
        text(shown, (1.5 * unit, y + 3 * unit), f"{many} likes", 1.2 * unit, theme.ink, weight=600)
        for number, one in enumerate(what):
            text(shown, (1.5 * unit, y + (4.8 + 1.7 * number) * unit), one, 1.2 * unit, theme.ink)
        _remarks(shown, y + 9.5 * unit, remarks, theme)
        return shown

    return Setting(draw, unchanged)


def _remarks(shown: UInt8Array, y: float, remarks: list[tuple[str, list[str]]], theme: _Theme) -> None:
    """What people said, in place from height ``y`` down to the tabs."""
    unit = shown.shape[1] / 36
    for who, said in remarks:
        if y > shown.shape[0] - 8 * unit:
            return
        disc(shown, (2.5 * unit, y), 0.9 * unit, theme.faint)
        text(shown, (4.3 * unit, y), who, 1.1 * unit, theme.ink, weight=600)
        for number, one in enumerate(said):
            text(shown, (4.3 * unit, y + (1.5 + 1.4 * number) * unit), one, 1.05 * unit, theme.ink)
        y += (2.6 + 1.4 * len(said)) * unit


def web_pages(rng: random.Random, photos: Photos) -> Setting:
    """Pages of one site: the same head, columns and foot round another article, or other goods."""
    size = rng.choice([(1280, 800), (1024, 1400), (1366, 768), (1200, 1600), (800, 1000)])
    theme = _theme(rng)
    unit = size[0] / 64
    site, menu = words(rng, 1), [words(rng, 1)[:9] for _ in range(6)]
    aside, shop = [words(rng, 3) for _ in range(14)], rng.random() < 0.4
    pictured, language = rng.random() < 0.6, rng.choice(["en", "en", "de", "ru", "zh", "el"])
    quiet = cut(rng, photos, (round(14 * unit), round(10 * unit)))

    def draw(rng: random.Random) -> UInt8Array:
        shown = canvas(size, theme.ground)
        box(shown, (0, 0, size[0], 5 * unit), theme.accent)
        text(shown, (3 * unit, 3.4 * unit), site, 2.4 * unit, (255, 255, 255), weight=800)
        for number, one in enumerate(menu):
            text(shown, ((20 + 7 * number) * unit, 3.2 * unit), one, 1.2 * unit, (245, 245, 245))
        (_goods if shop else _article)(rng, shown, photos, theme, (language, pictured))
        for number, one in enumerate(aside):
            y = (20 + 2.2 * number) * unit
            if y < size[1] - 6 * unit:
                text(shown, (47 * unit, y), one, 1.0 * unit, theme.accent)
        inset(shown, (round(47 * unit), round(7 * unit)), quiet)
        box(shown, (0, size[1] - 3 * unit, size[0], size[1]), (60, 62, 68))
        text(shown, (3 * unit, size[1] - 1.2 * unit), f"{site}  -  {menu[0]}  -  {menu[1]}", unit, (200, 200, 200))
        return shown

    return Setting(draw, unchanged)


def _article(rng: random.Random, shown: UInt8Array, photos: Photos, theme: _Theme, kind: tuple[str, bool]) -> None:
    unit, (language, pictured) = shown.shape[1] / 64, kind
    face, y = _face(language), 9.5 * unit
    text(shown, (3 * unit, y), words(rng, 4, language)[:34], 2.3 * unit, theme.ink, weight=700, face=face)
    text(shown, (3 * unit, y + 2 * unit), f"{rng.choice(NAMES)} {clock(rng)}", 0.95 * unit, theme.faint)
    y += 3.5 * unit
    if pictured:
        height = round(min(20 * unit, 0.35 * shown.shape[0]))
        inset(shown, (round(3 * unit), round(y)), cut(rng, photos, (round(41 * unit), height), 0.4))
        y += height + 2.4 * unit
    while y < shown.shape[0] - 9 * unit:
        for one in lines(rng, rng.randint(3, 6), 78, language):
            if y < shown.shape[0] - 4 * unit:
                text(shown, (3 * unit, y), one, 1.05 * unit, theme.ink, face=face)
            y += 1.6 * unit
        y += unit


def _goods(rng: random.Random, shown: UInt8Array, photos: Photos, theme: _Theme, kind: tuple[str, bool]) -> None:
    unit, (language, pictured) = shown.shape[1] / 64, kind
    for number in range(12):
        row, column = divmod(number, 3)
        x, y = (3 + 14.3 * column) * unit, (7 + 17 * row) * unit
        if y > shown.shape[0] - 20 * unit:
            return
        box(shown, (x, y, x + 13 * unit, y + 16 * unit), theme.card, 0.5 * unit)
        part = (round(11 * unit), round(8 * unit))
        picture = cut(rng, photos, part, 0.3) if pictured else np.asarray(canvas(part, colour(rng, 90, 230)))
        inset(shown, (round(x + unit), round(y + unit)), picture)
        name = words(rng, 2, language)[:18]
        text(shown, (x + unit, y + 11.2 * unit), name, 1.1 * unit, theme.ink, face=_face(language))
        text(shown, (x + unit, y + 13.6 * unit), f"{price(rng):.2f} €", 1.5 * unit, theme.accent, weight=700)
