"""Groups without chains: each picture joins the best keeper that it matches directly, or keeps itself."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modules.matching.ledger import Ledger, Pairs
from modules.matching.relations import Verdicts, holds, orient
from modules.records import VERDICT_DTYPE, Kind

Rows = NDArray[np.int32]
#: A crop is seldom taken for a pasted picture, a pasted one on a ground like its own more often for a crop.
_PARTS_EACH = 4


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


def assign(rank: Rows, ledger: Ledger, accepted: Collection[Kind], *, any_resolution: bool = False) -> Grouping:
    """Best first, each picture joins the best keeper that may stand for it, else becomes a keeper.

    Best is the lower rank, int32 (n,) without equals, compositions last. But a picture that another one holds
    whole, and which does not hold that one, comes after it, or the wider picture would be a second keeper. A
    composition stands for copies of itself only: a screenshot must not gather the crops of the photograph in it.
    any_resolution: see :func:`modules.matching.relations.holds`.
    """
    count = ledger.count
    pairs, verdicts = ledger.related()
    compositions = composed(pairs, verdicts, count)
    edges = _edges(pairs, verdicts, compositions, accepted, any_resolution)
    position = _positions(_with_last(rank, compositions), edges)
    keeper = np.arange(count, dtype=np.int32)
    witness = np.full(count, -1, dtype=np.int64)
    held = np.flatnonzero(np.diff(edges.starts))
    for child in held[np.argsort(position[held])]:
        start, end = edges.starts[child], edges.starts[child + 1]
        holders = edges.holder[start:end]
        able = np.flatnonzero((keeper[holders] == holders) & (position[holders] < position[child]))
        if len(able):
            edge = able[position[holders[able]].argmin()]
            keeper[child], witness[child] = holders[edge], start + edge
    verdict = np.zeros(count, dtype=VERDICT_DTYPE)
    joined = np.flatnonzero(witness >= 0)
    used = witness[joined]
    rows = verdicts[edges.row[used]]
    flipped = edges.flipped[used]
    rows[flipped] = orient(rows[flipped])
    verdict[joined] = rows
    return Grouping(keeper, verdict, position)


def _edges(
    pairs: Pairs,
    verdicts: Verdicts,
    compositions: NDArray[np.bool_],
    accepted: Collection[Kind],
    any_resolution: bool,
) -> _Edges:
    part = verdicts["kind"] == Kind.PART
    a_held = holds(verdicts, accepted, any_resolution=any_resolution) & ~(part & compositions[pairs[:, 1]])
    b_held = holds(orient(verdicts), accepted, any_resolution=any_resolution) & ~(part & compositions[pairs[:, 0]])
    rows = [np.flatnonzero(a_held), np.flatnonzero(b_held)]
    child = np.concatenate([pairs[rows[0], 0], pairs[rows[1], 1]])
    holder = np.concatenate([pairs[rows[0], 1], pairs[rows[1], 0]])
    strict = np.concatenate([~b_held[rows[0]], ~a_held[rows[1]]])
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


def composed(pairs: Pairs, verdicts: Verdicts, count: int) -> NDArray[np.bool_]:
    """Which pictures are compositions around other ones, (count,).

    Where an edge is hard to see, verdicts on one picture differ: it is a composition when more pictures are
    embedded in it than are copies of it, and not far fewer than are taken for parts of it.
    """
    # The outer one of two is the one that the other one does not cover.
    outer = np.where(verdicts["cover_a"] >= verdicts["cover_b"], pairs[:, 1], pairs[:, 0])
    embedded = np.bincount(outer[verdicts["kind"] == Kind.EMBEDDED], minlength=count)
    parts = np.bincount(outer[verdicts["kind"] == Kind.PART], minlength=count)
    copies = np.bincount(pairs[verdicts["kind"] == Kind.COPY].ravel(), minlength=count)
    return np.asarray((embedded > copies) & (_PARTS_EACH * embedded >= parts))


def _with_last(rank: Rows, last: NDArray[np.bool_]) -> Rows:
    """Place of each picture, best first; those of ``last`` after the others."""
    places = np.empty(len(rank), dtype=np.int32)
    places[np.lexsort((rank, last))] = np.arange(len(rank), dtype=np.int32)
    return places


def _positions(rank: Rows, edges: _Edges) -> Rows:
    """Place of each picture in the order of asking: a depth-first walk, best first, holders before the held."""
    if not edges.strict.any():
        return rank
    count = len(rank)
    best_first = np.argsort(rank)
    entered = np.zeros(count, dtype=np.bool_)
    position = np.full(count, -1, dtype=np.int32)
    placed = 0
    for first in best_first:
        stack = [first]
        while stack:
            picture = stack[-1]
            if not entered[picture]:
                entered[picture] = True
                stack.extend(_waited_for(edges, picture, rank, entered))
                continue
            stack.pop()
            if position[picture] < 0:
                position[picture] = placed
                placed += 1
    return position


def _waited_for(edges: _Edges, picture: np.int32, rank: Rows, entered: NDArray[np.bool_]) -> Rows:
    """Strict holders of a picture that were not met yet, the best one last."""
    start, end = edges.starts[picture], edges.starts[picture + 1]
    holders = edges.holder[start:end][edges.strict[start:end]]
    holders = holders[~entered[holders]]
    return holders[np.argsort(-rank[holders])]


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
