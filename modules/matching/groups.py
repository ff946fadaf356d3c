"""Groups without chains: each picture joins the best keeper that it matches directly, or keeps itself."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modules.matching.ledger import Ledger, Pairs, families
from modules.matching.relations import Verdicts, holds, orient
from modules.records import VERDICT_DTYPE, Float32Array, Kind, Margin

Rows = NDArray[np.int32]
#: A crop is seldom taken for a pasted picture, a pasted one on a ground like its own more often for a crop.
_PARTS_EACH = 4
#: Share of two parts that the other one shows, at least, when both are the same part.
_SAME_CUT = 0.97
#: Copies of one cut from which on a picture was added to whatever is beside it, and how many more for each copy of it.
_MANY_CUTS, _CUTS_EACH = 3, 2
#: Pixels of a picture for one of its cut, each way, from which on the cut was made smaller.
_COARSER = 1.5
#: What a wider picture has beyond a part, as a multiple of what it lacks of it: two that were both cut have no more.
_WIDER = 3.0


@dataclass(frozen=True, slots=True)
class Grouping:
    """Who stands for whom.

    keeper: int32 (n,), a keeper's own row for itself. verdict: VERDICT_DTYPE (n,), of (i, keeper[i]) with a = i;
    kind NONE for keepers. position: int32 (n,), place in the order in which pictures were asked, best first.
    """

    keeper: Rows
    verdict: Verdicts
    position: Rows

    def keepers(self) -> Rows:
        """Rows of the keepers, int32 (k,), ascending."""
        rows = np.flatnonzero(self.keeper == np.arange(len(self.keeper)))
        return rows.astype(np.int32)


@dataclass(frozen=True, slots=True)
class _Edges:
    """Who may stand for whom, sorted by child, then by holder. starts: where a child's edges begin (n + 1,).

    strict: the child cannot stand for the holder in turn. row: of the verdict; flipped: child is its b.
    """

    starts: NDArray[np.int64]
    holder: Rows
    row: Rows
    flipped: NDArray[np.bool_]
    strict: NDArray[np.bool_]


def assign(
    rank: Rows,
    ledger: Ledger,
    accepted: Collection[Kind],
    *,
    any_resolution: bool = False,
    damaged: NDArray[np.bool_] | None = None,
) -> Grouping:
    """Best first, each picture joins the best keeper that may stand for it, else becomes a keeper.

    Best is the lower rank, int32 (n,) without equals, compositions last. But a picture that another one holds
    whole, and which does not hold that one, comes after it, or the wider picture would be a second keeper. A
    composition stands for copies of itself only: a screenshot must not gather the crops of the photograph in it.
    any_resolution: see :func:`modules.matching.relations.holds`. damaged: (n,), those that stand for no whole picture,
    however much more they show; none where it is not told.
    """
    count = ledger.count
    pairs, verdicts = ledger.related()
    compositions = composed(pairs, verdicts, count)
    verdicts = _set_in(compositions, pairs, verdicts)
    hurt = np.zeros(count, np.bool_) if damaged is None else damaged
    edges = _edges(pairs, verdicts, compositions, accepted, hurt, any_resolution=any_resolution)
    position = _positions(_with_last(rank, compositions), edges)
    keeper, witness = _joined(position, edges)
    verdict = np.zeros(count, dtype=VERDICT_DTYPE)
    joined = np.flatnonzero(witness >= 0)
    used = witness[joined]
    rows = verdicts[edges.row[used]]
    flipped = edges.flipped[used]
    rows[flipped] = orient(rows[flipped])
    verdict[joined] = rows
    return Grouping(keeper, verdict, position)


def _joined(position: Rows, edges: _Edges) -> tuple[Rows, NDArray[np.int64]]:
    """The keeper of each picture, (n,), and the edge that says so, (n,), -1 for keepers."""
    count = len(position)
    # Asked number by number, lists answer several times faster than arrays.
    keeper, places, starts = list(range(count)), position.tolist(), edges.starts.tolist()
    witness = np.full(count, -1, dtype=np.int64)
    held = np.flatnonzero(np.diff(edges.starts))
    for child in held[np.argsort(position[held])].tolist():
        best = places[child]
        for edge, holder in enumerate(edges.holder[starts[child] : starts[child + 1]].tolist(), starts[child]):
            if keeper[holder] == holder and places[holder] < best:
                best, keeper[child], witness[child] = places[holder], holder, edge
    return np.array(keeper, dtype=np.int32), witness


def _edges(
    pairs: Pairs,
    verdicts: Verdicts,
    compositions: NDArray[np.bool_],
    accepted: Collection[Kind],
    damaged: NDArray[np.bool_],
    *,
    any_resolution: bool,
) -> _Edges:
    part = verdicts["kind"] == Kind.PART
    a_held = holds(verdicts, accepted, any_resolution=any_resolution) & ~(part & compositions[pairs[:, 1]])
    b_held = holds(orient(verdicts), accepted, any_resolution=any_resolution) & ~(part & compositions[pairs[:, 0]])
    a_held &= damaged[pairs[:, 0]] | ~damaged[pairs[:, 1]]
    b_held &= damaged[pairs[:, 1]] | ~damaged[pairs[:, 0]]
    rows = [np.flatnonzero(a_held), np.flatnonzero(b_held)]
    child = np.concatenate([pairs[rows[0], 0], pairs[rows[1], 1]])
    holder = np.concatenate([pairs[rows[0], 1], pairs[rows[1], 0]])
    wider = _wider(verdicts["cover_a"], verdicts["cover_b"]), _wider(verdicts["cover_b"], verdicts["cover_a"])
    strict = np.concatenate([(~b_held & wider[0])[rows[0]], (~a_held & wider[1])[rows[1]]])
    flipped = np.concatenate([np.zeros(len(rows[0]), np.bool_), np.ones(len(rows[1]), np.bool_)])
    order = np.lexsort((holder, child))
    starts = np.searchsorted(child[order], np.arange(len(compositions) + 1))
    return _Edges(
        starts.astype(np.int64),
        holder[order],
        np.concatenate(rows).astype(np.int32)[order],
        flipped[order],
        strict[order],
    )


def _wider(inner: Float32Array, outer: Float32Array) -> NDArray[np.bool_]:
    """Whether the outer one of two pictures shows much more than what it lacks of the inner one; covers (m,) each."""
    return np.asarray(1 - outer > _WIDER * (1 - inner))


def composed(pairs: Pairs, verdicts: Verdicts, count: int) -> NDArray[np.bool_]:
    """Which pictures are compositions around other ones, (count,).

    Where an edge is hard to see, verdicts on one picture differ: it is a composition when more pictures are
    embedded in it than are copies of it, and not far fewer than are taken for parts of it. Or when no edge is seen at
    all: between white margins when more copies of one cut of it than of itself are there, else when these are many.
    Cuts that show less detail than it does say nothing: a site makes small ones of one photograph in many sizes.
    """
    outer = _outer(pairs, verdicts)
    inside = np.isin(verdicts["kind"], (Kind.EMBEDDED, Kind.COLLAGE))
    embedded = np.bincount(outer[inside], minlength=count)
    part = np.flatnonzero(verdicts["kind"] == Kind.PART)
    parts = np.bincount(outer[part], minlength=count)
    copies = np.bincount(pairs[verdicts["kind"] == Kind.COPY].ravel(), minlength=count)
    found = (embedded > copies) & (_PARTS_EACH * embedded >= parts)
    alike = _cut_alike(pairs, verdicts, outer, part, count)
    # scale: pixels of b for one of a; here those of the outer one for one of the cut.
    scale = verdicts["scale"][alike]
    alike = alike[np.where(outer[alike] == pairs[alike, 1], scale, 1 / np.maximum(scale, 1e-3)) < _COARSER]
    beyond = np.where(outer[alike] == pairs[alike, 1], verdicts["margin_b"][alike], verdicts["margin_a"][alike])
    on_ground = np.bincount(outer[alike[beyond == Margin.GROUND]], minlength=count)
    anywhere = np.bincount(outer[alike], minlength=count)
    return np.asarray(found | (on_ground > copies) | (anywhere >= _MANY_CUTS + _CUTS_EACH * copies))


def _outer(pairs: Pairs, verdicts: Verdicts) -> Rows:
    """Of each pair, (m,), the picture that the other one does not cover."""
    return np.where(verdicts["cover_a"] >= verdicts["cover_b"], pairs[:, 1], pairs[:, 0])


def _set_in(compositions: NDArray[np.bool_], pairs: Pairs, verdicts: Verdicts) -> Verdicts:
    """The same verdicts, (m,), but a picture is no part of a composition: it is embedded in it.

    That it lies in the other one whole was seen in the two of them, that the rest was added in all their copies. Where
    pictures that have nothing to do with each other lie in one, it is a collage, which nothing stands for.
    """
    if not compositions.any():
        return verdicts
    outer, kind = _outer(pairs, verdicts), verdicts["kind"]
    inner = pairs.sum(axis=1) - outer
    lies = np.isin(kind, (Kind.PART, Kind.EMBEDDED, Kind.COLLAGE)) & compositions[outer] & ~compositions[inner]
    kin = np.isin(kind, (Kind.COPY, Kind.PART)) & ~compositions[pairs].any(axis=1)
    family = families(pairs[kin], len(compositions))[inner[lies]]
    shown = np.unique(np.stack([outer[lies], family], axis=1), axis=0)[:, 0]
    single = np.bincount(shown, minlength=len(compositions)) == 1
    single[outer[lies & (kind == Kind.COLLAGE)]] = False
    found = verdicts.copy()
    found["kind"] = np.where(lies & (kind == Kind.PART) & single[outer], Kind.EMBEDDED, kind)
    return found


def _cut_alike(pairs: Pairs, verdicts: Verdicts, outer: Rows, part: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Of the rows of parts, (p,), those that show exactly what some other part of the same picture shows, (k,).

    Crops that are made of one picture, one by one, show different parts of it.
    """
    whole = (verdicts["kind"] == Kind.COPY) & (np.minimum(verdicts["area_a"], verdicts["area_b"]) >= _SAME_CUT)
    alike = pairs[whole]
    holder, inner = outer[part].astype(np.int64), (pairs[part].sum(axis=1) - outer[part]).astype(np.int64)
    # Every (holder, inner) is a number; an inner one counts where the same holder has a copy of it as well.
    held = holder * count + inner
    ends = np.concatenate([alike, alike[:, ::-1]]).astype(np.int64)
    order = np.argsort(ends[:, 0], kind="stable")
    ends = ends[order]
    first, last = (np.searchsorted(ends[:, 0], inner, side) for side in ("left", "right"))
    times = last - first
    row = np.repeat(np.arange(len(part)), times)
    place = np.arange(len(row)) - np.repeat(np.cumsum(times) - times, times) + np.repeat(first, times)
    again = np.isin(holder[row] * count + ends[place, 1], held)
    return np.asarray(part[np.unique(row[again])])


def _with_last(rank: Rows, last: NDArray[np.bool_]) -> Rows:
    """Place of each picture, best first; those of ``last`` after the others."""
    places = np.empty(len(rank), dtype=np.int32)
    places[np.lexsort((rank, last))] = np.arange(len(rank), dtype=np.int32)
    return places


def _positions(rank: Rows, edges: _Edges) -> Rows:
    """Place of each picture in the order of asking: a depth-first walk, best first, holders before the held."""
    if not edges.strict.any():
        return rank
    starts, waited_for = _strict_holders(rank, edges)
    entered, position = bytearray(len(rank)), [-1] * len(rank)
    placed = 0
    for first in np.argsort(rank).tolist():
        stack = [first]
        while stack:
            picture = stack[-1]
            if not entered[picture]:
                entered[picture] = True
                holders = waited_for[starts[picture] : starts[picture + 1]]
                stack.extend(holder for holder in holders.tolist() if not entered[holder])
                continue
            stack.pop()
            if position[picture] < 0:
                position[picture] = placed
                placed += 1
    return np.array(position, dtype=np.int32)


def _strict_holders(rank: Rows, edges: _Edges) -> tuple[list[int], Rows]:
    """Where each picture's holders begin that it cannot stand for, (n + 1,), and these, the best one of each last."""
    child = np.repeat(np.arange(len(rank)), np.diff(edges.starts))[edges.strict]
    holder = edges.holder[edges.strict]
    starts: list[int] = np.searchsorted(child, np.arange(len(rank) + 1)).tolist()
    return starts, holder[np.lexsort((-rank[holder], child))]


def bridges(grouping: Grouping, ledger: Ledger, accepted: Collection[Kind]) -> Pairs:
    """Pairs to judge because a partner went to a better keeper, int32 (m, 2), at most two a picture.

    Where two related pictures have different keepers, the one with the worse keeper, and that keeper too, may
    belong to the better one: 1,000 re-encodings that know 20 neighbours each come together in this way. A
    picture asks one keeper at a time, the best one first.
    """
    pairs, verdicts = ledger.related()
    pairs = pairs[np.isin(verdicts["kind"], [int(kind) for kind in accepted])]
    keepers = grouping.keeper[pairs]
    apart = keepers[:, 0] != keepers[:, 1]
    pairs, keepers = pairs[apart], keepers[apart]
    worse = (grouping.position[keepers[:, 0]] < grouping.position[keepers[:, 1]]).astype(np.int64)
    rows = np.arange(len(pairs))
    better = keepers[rows, 1 - worse]
    asking = np.concatenate([pairs[rows, worse], keepers[rows, worse]])
    asked = np.concatenate([better, better])
    return _one_each(asking, asked, grouping.position, ledger)


def _one_each(asking: Rows, asked: Rows, position: Rows, ledger: Ledger) -> Pairs:
    """Of the pairs not judged yet, the best asked one of each asking picture."""
    apart = asking != asked
    asking, asked = asking[apart], asked[apart]
    ends = np.stack([np.minimum(asking, asked), np.maximum(asking, asked)], axis=1)
    new = ledger.is_unknown(ends)
    asking, asked, ends = asking[new], asked[new], ends[new]
    order = np.lexsort((position[asked], asking))
    first = np.unique(asking[order], return_index=True)[1]
    return ledger.unknown(ends[order[first]])
