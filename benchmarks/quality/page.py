"""What was found, as tables that docs/benchmarks.md takes as they are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.quality.contenders import Answer, Cost
from benchmarks.quality.score import Score, Share

LEVELS = ("easy", "medium", "hard", "embedded")
Judged = tuple[Answer, Score]


def page(judged: Sequence[Judged], pictures: int) -> Iterator[str]:
    """The lines: accuracy against speed, then each contender's pairs, then every edit."""
    yield from accuracy_and_speed(judged, pictures)
    for answer, score in judged:
        yield ""
        yield from details(answer, score)
    yield ""
    yield from edits(judged)


def accuracy_and_speed(judged: Sequence[Judged], pictures: int) -> Iterator[str]:
    """One row for each contender."""
    yield (
        "| | " + " | ".join(LEVELS) + " | wrong pairs per 1,000 right | of them without blanks | original kept | "
        "pairs compared a picture | pictures/s | without the start | CPU a picture, without the start |"
    )
    yield "|---" * (len(LEVELS) + 8) + "|"
    for answer, score in judged:
        cells = [answer.name, *(f"{score.level(level).value:.3f}" for level in LEVELS)]
        cells += [f"{score.wrong_per_thousand:,.2f}", f"{score.without_blanks:,.2f}"]
        cells.append("" if score.kept is None else f"{score.kept.value:.3f}")
        cells.append("" if answer.pairs is None else f"{answer.pairs / pictures:.1f}")
        yield f"| {' | '.join([*cells, *_speed(answer.cost, answer.start, pictures)])} |"


def details(answer: Answer, score: Score) -> Iterator[str]:
    """Shares with their 95 % intervals, and which families were joined."""
    yield f"{answer.name}:"
    for level in LEVELS:
        if score.level(level).tries:
            yield f"  {level:9} {_with_interval(score.level(level))} copies found"
    yield f"  joined    {_with_interval(score.pairs)} pairs right, {score.impure} impure groups"
    if score.kept is not None:
        instead = _listed(score.instead.most_common(12))
        yield f"  kept      {_with_interval(score.kept)} originals; in their place {instead}"
    wrong = [("/".join(sorted(set(pair))), count) for pair, count in score.wrong.most_common(12)]
    yield f"  wrong     {_listed(wrong)}"
    if score.absent:
        yield f"  absent    {score.absent} pictures without an answer"


def edits(judged: Sequence[Judged]) -> Iterator[str]:
    """Copies found of each edit, one column for each contender."""
    yield f"| Level | Edit | {' | '.join(answer.name for answer, _ in judged)} |"
    yield "|---" * (2 + len(judged)) + "|"
    names = sorted(judged[0][1].edits, key=lambda edit: (LEVELS.index(edit[0]), edit[1]))
    for level, name in names:
        shares = [score.edits[level, name] for _, score in judged]
        yield f"| {level} | {name} | {' | '.join(f'{share.hits}/{share.tries}' for share in shares)} |"


def _speed(cost: Cost | None, start: Cost | None, pictures: int) -> list[str]:
    """Pictures per second of the whole run; of what it takes longer than on a few pictures; CPU time of that."""
    if cost is None or start is None:
        return ["", "", ""]
    seconds, cpu = cost.seconds - start.seconds, cost.cpu - start.cpu
    beyond = f"{pictures / seconds:.0f}" if seconds > 0 else "too few pictures to tell"
    return [f"{pictures / cost.seconds:.0f}", beyond, f"{max(0.0, cpu) / pictures * 1e3:.1f} ms"]


def _with_interval(share: Share) -> str:
    low, high = share.interval()
    return f"{share.hits:,} of {share.tries:,} ({share.value:.4f}; {low:.4f} to {high:.4f})"


def _listed(counts: Sequence[tuple[str, int]]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in counts) or "none"
