"""Papers of one layout: receipts of one shop, one form filled in again, pages of other words, numbered blank pages."""

from __future__ import annotations

import random
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.lookalikes.base import (
    BLACK,
    Colour,
    Photos,
    Setting,
    box,
    canvas,
    frame,
    inset,
    laid,
    line,
    lit,
    mono,
    scanned,
    text,
    unchanged,
)
from benchmarks.lookalikes.words import NAMES, SHOPS, clock, date, digits, lines, price, word, words
from modules.records import UInt8Array

_PAPERS: tuple[Colour, ...] = ((255, 255, 255), (252, 250, 245), (245, 240, 228), (236, 238, 240), (250, 244, 214))
_DATES = ("%d/%m/%Y", "%d-%m-%y", "%d.%m.%Y", "%Y-%m-%d", "%m/%d/%y")


class _Shop(NamedTuple):
    """What all receipts of a till have in common."""

    head: list[str]
    columns: int
    currency: str
    form: str
    tax: float
    foot: list[str]
    goods: list[tuple[str, float]]
    till: str


def _shop(rng: random.Random) -> _Shop:
    columns = rng.choice([32, 36, 40, 42])
    name = f"{word(rng)} {rng.choice(SHOPS)}".upper()
    head = [name, f"REG NO {digits(rng, 6)}-{rng.choice('XMKD')}", f"{rng.randint(1, 180)}, {words(rng, 2)}"]
    head += [f"{digits(rng, 5)} {words(rng, 2).upper()}", f"TEL {digits(rng, 3)}-{digits(rng, 7)}"][: rng.randint(1, 2)]
    foot = [f"{words(rng, rng.randint(3, 5)).upper()[: columns - 2]}" for _ in range(rng.randint(1, 4))]
    goods = [(words(rng, rng.randint(1, 3)).upper()[: columns - 14], price(rng)) for _ in range(40)]
    currency, till = rng.choice(["RM", "EUR", "$", "GBP", "KR"]), f"CASHIER {rng.choice(NAMES).upper()}"
    return _Shop(head, columns, currency, rng.choice(_DATES), rng.choice([0, 6, 7, 19, 20]), foot, goods, till)


def _sides(left: str, right: str, columns: int) -> str:
    return left[: columns - len(right) - 1].ljust(columns - len(right)) + right


class _Sale(NamedTuple):
    """What one receipt says."""

    items: list[tuple[int, int]]
    day: str
    time: str
    number: str


def _sale(rng: random.Random, shop: _Shop, count: int) -> _Sale:
    items = [(rng.randrange(len(shop.goods)), rng.choice([1, 1, 1, 2, 3, 12])) for _ in range(count)]
    return _Sale(items, date(rng, shop.form), clock(rng), digits(rng, 8))


def _receipt(shop: _Shop, sale: _Sale) -> list[str]:
    columns, rule = shop.columns, "-" * shop.columns
    said = [one.center(columns) for one in shop.head] + ["", "RECEIPT".center(columns), ""]
    said += [_sides(f"{sale.day} {sale.time}", f"#{sale.number}", columns), shop.till, rule]
    total = 0.0
    for good, many in sale.items:
        name, each = shop.goods[good]
        total += each * many
        said += [name, _sides(f"  {many} x {each:.2f}", f"{each * many:.2f}", columns)]
    said += [rule, _sides("SUBTOTAL", f"{total:.2f}", columns)]
    if shop.tax:
        said.append(_sides(f"INCL. TAX {shop.tax:.0f} %", f"{total * shop.tax / (100 + shop.tax):.2f}", columns))
    paid = total if total % 1 < 0.3 else float(int(total / 10 + 1) * 10)
    said += [_sides(f"TOTAL {shop.currency}", f"{total:.2f}", columns), _sides("CASH", f"{paid:.2f}", columns)]
    said += [_sides("CHANGE", f"{paid - total:.2f}", columns), rule]
    return said + [one.center(columns) for one in shop.foot]


def receipts(rng: random.Random, photos: Photos) -> Setting:
    """Scanned receipts of one till: other goods, day and sum, or one of these alone."""
    shop, kind = _shop(rng), rng.choice(["all", "all", "goods", "day", "number"])
    count = rng.randint(1, 9)
    first = _sale(rng, shop, count)
    size = rng.choice([(1080, 1500), (600, 1000), (463, 900), (900, 1500), (720, 1280)])
    ink = rng.choice([BLACK, (60, 60, 60), (70, 70, 150), (40, 40, 90), (95, 90, 100)])
    how = _Print(size, shop.columns, ink, rng.random() < 0.5, words(rng, 3).lower() if rng.random() < 0.3 else "")
    paper = rng.choice(_PAPERS)

    def draw(rng: random.Random) -> UInt8Array:
        other = _sale(rng, shop, count if kind == "goods" else rng.randint(max(1, count - 3), count + 3))
        sale = {
            "all": other,
            "goods": first._replace(items=other.items),
            "day": first._replace(day=other.day, time=other.time, number=other.number),
            "number": first._replace(items=[(good, rng.randint(1, 9)) for good, _ in first.items]),
        }[kind]
        return _printed(_receipt(shop, sale), how)

    def finish(rng: random.Random, page: UInt8Array) -> UInt8Array:
        taken = scanned(rng, page, paper, 1.2)
        return lit(taken, rng.uniform(0.85, 1.1)) if rng.random() < 0.4 else taken

    return Setting(draw, finish)


class _Print(NamedTuple):
    """How receipts come out: ``dots`` of a needle or thermal head or not, and who wrote a name above."""

    size: tuple[int, int]
    columns: int
    ink: Colour
    dots: bool
    owner: str


def _printed(said: list[str], how: _Print) -> UInt8Array:
    page, size = canvas(how.size), how.size
    cell = 0.86 * size[0] / how.columns
    step = min(cell * 2.1, 0.9 * size[1] / (len(said) + 3))
    top = 0.05 * size[1]
    if how.owner:
        text(page, (0.5 * size[0], top), how.owner, 0.04 * size[0], BLACK, weight=700, align="centre")
        top += 2 * step
    if how.dots:
        wide = round(cell * how.columns), min(round(step * len(said)), size[1] - round(top))
        inset(page, (round(0.07 * size[0]), round(top)), _dotted(said, wide, how))
        return page
    for number, one in enumerate(said):
        mono(page, (0.07 * size[0], top + (number + 1) * step), one, cell / 0.6, how.ink)
    return page


def _dotted(said: list[str], size: tuple[int, int], how: _Print) -> UInt8Array:
    """Lines in a coarse font of 6 x 11 dots, enlarged to a size."""
    small = Image.new("L", (6 * how.columns, 13 * len(said)), 255)
    pen, font = ImageDraw.Draw(small), ImageFont.load_default_imagefont()
    for number, one in enumerate(said):
        pen.text((0, 13 * number), one, fill=0, font=font)
    grown = cv2.resize(np.array(small), size, interpolation=cv2.INTER_NEAREST)
    soft = cv2.GaussianBlur(grown, (0, 0), 0.12 * size[0] / how.columns) / np.float32(255)
    return laid(canvas(size, how.ink), canvas(size), soft)


def forms(rng: random.Random, photos: Photos) -> Setting:
    """One form, filled in by other people or with one entry changed."""
    size = rng.choice([(827, 1169), (1080, 1500), (620, 877), (1240, 1754)])
    unit = size[0] / 40
    title, office = words(rng, 3).upper(), words(rng, 4)
    fields = [(words(rng, rng.randint(1, 2)), rng.choice(["name", "date", "digits", "words"])) for _ in range(10)]
    ticks = [[words(rng, 1) for _ in range(rng.randint(2, 4))] for _ in range(3)]
    small = [lines(rng, 3, 70) for _ in range(2)]
    ink, paper = rng.choice([(25, 45, 140), (20, 20, 30), (60, 60, 160)]), rng.choice(_PAPERS)
    few, band = rng.random() < 0.4, rng.choice([(225, 232, 240), (235, 235, 235), (250, 235, 215)])
    filled, ticked = [_entry(rng, kind) for _, kind in fields], [rng.randrange(len(row)) for row in ticks]

    def draw(rng: random.Random) -> UInt8Array:
        page = canvas(size)
        entries, chosen = list(filled), list(ticked)
        for number in [rng.randrange(len(fields))] if few else range(len(fields)):
            entries[number] = _entry(rng, fields[number][1])
        if not few:
            chosen = [rng.randrange(len(row)) for row in ticks]
        box(page, (2 * unit, 2 * unit, 38 * unit, 5 * unit), band)
        text(page, (3 * unit, 4 * unit), title, 1.5 * unit, weight=700)
        text(page, (37 * unit, 4 * unit), office, 0.8 * unit, align="right")
        y = 7 * unit
        for (label, _), entry in zip(fields, entries, strict=True):
            text(page, (3 * unit, y), label, 0.75 * unit, (60, 60, 60))
            frame(page, (13 * unit, y - 1.3 * unit, 37 * unit, y + 0.6 * unit), (120, 120, 120))
            text(page, (13.5 * unit, y + 0.1 * unit), entry, 1.35 * unit, ink, face="italic")
            y += 2.6 * unit
        for row, mark in zip(ticks, chosen, strict=True):
            _tick(page, (3 * unit, y), (row, mark), unit, ink)
            y += 2.2 * unit
        for paragraph in small:
            for one in paragraph:
                text(page, (3 * unit, y), one, 0.62 * unit, (70, 70, 70))
                y += 0.95 * unit
            y += unit
        line(page, [(3 * unit, y + 3 * unit), (16 * unit, y + 3 * unit)], BLACK)
        return page

    def finish(rng: random.Random, page: UInt8Array) -> UInt8Array:
        return scanned(rng, page, paper, 0.6)

    return Setting(draw, finish)


def _entry(rng: random.Random, kind: str) -> str:
    if kind == "name":
        return f"{rng.choice(NAMES)} {words(rng, 1)}"
    if kind == "date":
        return date(rng, "%d.%m.%Y")
    return digits(rng, rng.randint(4, 11)) if kind == "digits" else words(rng, rng.randint(1, 3))


def _tick(page: UInt8Array, at: tuple[float, float], row: tuple[list[str], int], unit: float, ink: Colour) -> None:
    (labels, mark), (x, y) = row, at
    for number, label in enumerate(labels):
        frame(page, (x, y - 0.8 * unit, x + 0.8 * unit, y), (90, 90, 90))
        text(page, (x + 1.2 * unit, y), label, 0.75 * unit, (60, 60, 60))
        if number == mark:
            strokes = [(x + 0.1 * unit, y - 0.5 * unit), (x + 0.4 * unit, y - 0.1 * unit), (x + unit, y - 1.1 * unit)]
            line(page, strokes, ink, max(2, round(0.15 * unit)))
        x += 8.5 * unit


def text_pages(rng: random.Random, photos: Photos) -> Setting:
    """Pages of one layout with other words, or with a few words or one digit changed."""
    size = rng.choice([(827, 1169), (620, 877), (1080, 1500), (600, 800), (1200, 900)])
    kind, language = rng.choice(["all", "all", "some", "digit"]), rng.choice(["en", "en", "en", "ru", "zh", "el", "ko"])
    unit, columns = size[0] / 48, rng.choice([1, 1, 2])
    face, em = rng.choice(["sans", "uni", "italic"]), rng.uniform(0.95, 1.3)
    head, side = words(rng, 4, language), rng.choice(["left", "centre"])
    letters = round(42 * 1.9 / em / columns * (0.95 if columns == 1 else 0.86))
    lengths = [rng.randint(3, 9) for _ in range(12)]
    first = [lines(rng, count, letters, language) for count in lengths]
    year, paper, scan = digits(rng, 4), rng.choice(_PAPERS), rng.random() < 0.6

    def draw(rng: random.Random) -> UInt8Array:
        page = canvas(size)
        body = [lines(rng, len(one), letters, language) for one in first] if kind == "all" else first
        if kind == "some":
            body = [list(one) for one in first]
            for _ in range(rng.randint(1, 4)):
                paragraph = body[rng.randrange(3)]
                paragraph[rng.randrange(len(paragraph))] = lines(rng, 1, round(letters * 1.4), language)[0]
        number = digits(rng, 4) if kind == "digit" else year
        x = size[0] / 2 if side == "centre" else 3 * unit
        text(page, (x, 4 * unit), f"{head} {number}", 1.9 * unit, BLACK, weight=700, align=side)
        _columns(page, body, (columns, unit, em * unit), face)
        return page

    def finish(rng: random.Random, page: UInt8Array) -> UInt8Array:
        return scanned(rng, page, paper, 0.5) if scan else unchanged(rng, page)

    return Setting(draw, finish)


def _columns(page: UInt8Array, body: list[list[str]], form: tuple[int, float, float], face: str) -> None:
    """Paragraphs in columns; form: their number, a 48th of the page's width, and the size of letters."""
    columns, unit, em = form
    x, y, column = 3 * unit, 7 * unit, 0
    for paragraph in body:
        for one in paragraph:
            if y > page.shape[0] - 4 * unit:
                column, y = column + 1, 7 * unit
                x = 3 * unit + column * 43 * unit / columns
            if column >= columns:
                return
            text(page, (x, y), one, em, (25, 25, 25), face=face)
            y += 1.5 * em
        y += 0.9 * em


def blanks(rng: random.Random, photos: Photos) -> Setting:
    """Pages with nothing but their number, and perhaps a line that all of them have."""
    size = rng.choice([(827, 1169), (620, 877), (600, 800), (1240, 1754)])
    unit, place = size[0] / 48, rng.choice([(0.5, 0.95), (0.9, 0.95), (0.9, 0.05), (0.5, 0.05)])
    shared = rng.choice(["", "", "This page intentionally left blank", words(rng, 4)])
    ruled, pattern = rng.random() < 0.25, rng.choice(["{}", "- {} -", "Page {}", "{} / 480"])
    em, paper, scan = rng.uniform(1.2, 2.4) * unit, rng.choice(_PAPERS), rng.random() < 0.6

    def draw(rng: random.Random) -> UInt8Array:
        page = canvas(size)
        for y in range(round(6 * unit), round(size[1] - 6 * unit), round(2 * unit)) if ruled else ():
            line(page, [(3 * unit, y), (45 * unit, y)], (205, 215, 230))
        text(page, (0.5 * size[0], 0.5 * size[1]), shared, 1.3 * unit, (90, 90, 90), align="centre")
        at = place[0] * size[0], place[1] * size[1]
        text(page, at, pattern.format(rng.randint(1, 480)), em, (30, 30, 30), align="centre")
        return page

    def finish(rng: random.Random, page: UInt8Array) -> UInt8Array:
        return scanned(rng, page, paper, 0.3) if scan else unchanged(rng, page)

    return Setting(draw, finish)
