"""Ruled sheets: months of a calendar, and music."""

from __future__ import annotations

import calendar
import random

import cv2

from benchmarks.lookalikes.base import (
    BLACK,
    Photos,
    Setting,
    box,
    canvas,
    colour,
    cut,
    frame,
    inset,
    line,
    scanned,
    text,
    unchanged,
)
from benchmarks.lookalikes.words import word, words
from modules.records import UInt8Array

_MONTHS: dict[str, tuple[str, ...]] = {
    "en": (
        *(
            "January",
            "February",
            "March",
            "April",
            "May",
            "June",
            "July",
            "August",
            "September",
            "October",
        ),
        *(
            "November",
            "December",
        ),
    ),
    "de": (
        *(
            "Januar",
            "Februar",
            "März",
            "April",
            "Mai",
            "Juni",
            "Juli",
            "August",
            "September",
            "Oktober",
        ),
        *(
            "November",
            "Dezember",
        ),
    ),
    "ru": (
        *(
            "Январь",
            "Февраль",
            "Март",
            "Апрель",
            "Май",
            "Июнь",
            "Июль",
            "Август",
            "Сентябрь",
            "Октябрь",
        ),
        *(
            "Ноябрь",
            "Декабрь",
        ),
    ),
}
_DAYS = {
    "en": ("Mo", "Tu", "We", "Th", "Fr", "Sa", "Su"),
    "de": ("Mo", "Di", "Mi", "Do", "Fr", "Sa", "So"),
    "ru": ("Пн", "Вт", "Ср", "Чт", "Пт", "Сб", "Вс"),
}


def calendars(rng: random.Random, photos: Photos) -> Setting:
    """Months of one calendar, with a picture above them or none, with entries or none."""
    size = rng.choice([(800, 600), (600, 800), (1080, 1500), (1200, 900)])
    language, tone = rng.choice(list(_MONTHS)), colour(rng, 20, 190)
    picture = cut(rng, photos, (size[0], size[1] // 3)) if rng.random() < 0.3 else None
    entries, lined, scan = rng.random() < 0.4, rng.random() < 0.7, rng.random() < 0.3
    top = (size[1] // 3 if picture is not None else 0) + 0.1 * size[1]

    def draw(rng: random.Random) -> UInt8Array:
        page = canvas(size)
        if picture is not None:
            inset(page, (0, 0), picture)
        year, month = rng.randint(2015, 2027), rng.randint(1, 12)
        text(page, (0.05 * size[0], top), f"{_MONTHS[language][month - 1]} {year}", 0.05 * size[0], tone, weight=700)
        width, height = 0.9 * size[0] / 7, (0.95 * size[1] - top - 0.08 * size[1]) / 6
        for day, name in enumerate(_DAYS[language]):
            at = 0.05 * size[0] + (day + 0.5) * width, top + 0.06 * size[1]
            text(page, at, name, 0.025 * size[0], (90, 90, 90), align="centre")
        for row, week in enumerate(calendar.Calendar().monthdayscalendar(year, month)):
            for place, day in enumerate(week):
                x, y = 0.05 * size[0] + place * width, top + 0.08 * size[1] + row * height
                if lined:
                    frame(page, (x, y, x + width, y + height), (180, 180, 180))
                if not day:
                    continue
                ink = tone if place > 4 else BLACK
                text(page, (x + 0.1 * width, y + 0.03 * size[0]), str(day), 0.026 * size[0], ink, weight=500)
                if entries and rng.random() < 0.15:
                    box(page, (x + 3, y + 0.55 * height, x + width - 3, y + 0.85 * height), (205, 225, 245), 4)
                    text(page, (x + 6, y + 0.78 * height), word(rng), 0.016 * size[0], (30, 60, 110))
        return page

    def finish(rng: random.Random, page: UInt8Array) -> UInt8Array:
        return scanned(rng, page, (252, 250, 245), 0.4) if scan else unchanged(rng, page)

    return Setting(draw, finish)


def sheet_music(rng: random.Random, photos: Photos) -> Setting:
    """Pages of music in one print: other notes, or a few of them."""
    size = rng.choice([(827, 1169), (620, 877), (1080, 1500)])
    gap = size[0] / rng.uniform(85, 120)
    title, few, scan = words(rng, 3), rng.random() < 0.35, rng.random() < 0.6
    paper = rng.choice([(255, 255, 255), (250, 246, 232), (243, 238, 224)])
    systems, bars = int(0.82 * size[1] / (gap * 13)), rng.randint(3, 5)
    first = [_bar(rng) for _ in range(systems * bars)]

    def draw(rng: random.Random) -> UInt8Array:
        page = canvas(size)
        text(page, (size[0] / 2, 6 * gap), title, 3 * gap, weight=600, align="centre")
        music = list(first)
        for number in rng.sample(range(len(music)), rng.randint(1, 3)) if few else range(len(music)):
            music[number] = _bar(rng)
        for system in range(systems):
            _staff(page, music[system * bars : (system + 1) * bars], 14 * gap + system * 13 * gap, gap)
        return page

    def finish(rng: random.Random, page: UInt8Array) -> UInt8Array:
        return scanned(rng, page, paper, 0.5) if scan else unchanged(rng, page)

    return Setting(draw, finish)


def _bar(rng: random.Random) -> list[tuple[int, int]]:
    """Notes of one bar: place above the lowest line in half gaps, and length in eighths."""
    lengths = rng.choice([[2, 2, 2, 2], [4, 2, 2], [1, 1, 2, 1, 1, 2], [4, 4], [1] * 8, [2, 1, 1, 4], [8]])
    step, notes = rng.randint(0, 8), []
    for length in lengths:
        step = min(11, max(-3, step + rng.randint(-3, 3)))
        notes.append((step, length))
    return notes


def _staff(page: UInt8Array, music: list[list[tuple[int, int]]], bottom: float, gap: float) -> None:
    left, right = 7 * gap, page.shape[1] - 7 * gap
    for number in range(5):
        line(page, [(left, bottom - number * gap), (right, bottom - number * gap)], BLACK)
    curl = [(1.5, -1.2), (2.2, 0), (1.8, 4.6), (1.2, 4.2), (2.3, 2.4), (2.6, 1), (1.4, 0.4), (0.8, 1.2), (1.8, 2)]
    line(page, [(left + x * gap, bottom - y * gap) for x, y in curl], BLACK, 2)
    width = (right - left - 4 * gap) / len(music)
    for number, bar in enumerate(music):
        start = left + 4 * gap + number * width
        passed = 0
        for step, length in bar:
            _note(page, (start + (0.08 + 0.88 * passed / 8) * width, bottom - step * gap / 2), step, length, gap)
            passed += length
        line(page, [(start + width, bottom), (start + width, bottom - 4 * gap)], BLACK)


def _note(page: UInt8Array, at: tuple[float, float], step: int, length: int, gap: float) -> None:
    x, y = at
    centre, axes = (round(x), round(y)), (max(2, round(0.62 * gap)), max(1, round(0.46 * gap)))
    cv2.ellipse(page, centre, axes, -20, 0, 360, BLACK, -1 if length < 4 else max(1, round(gap / 6)), cv2.LINE_AA)
    for ledger in range(-1, step // 2 - 1, -1):
        level = y + (step - 2 * ledger) * gap / 2
        line(page, [(x - gap, level), (x + gap, level)], BLACK)
    if length == 8:
        return
    down = step > 4
    stem = x - 0.6 * gap if down else x + 0.6 * gap
    end = y + 3.4 * gap if down else y - 3.4 * gap
    line(page, [(stem, y), (stem, end)], BLACK, max(1, round(gap / 8)))
    if length == 1:
        line(
            page, [(stem, end), (stem + 0.9 * gap, end + (-1.2 if down else 1.2) * gap)], BLACK, max(2, round(gap / 4))
        )
