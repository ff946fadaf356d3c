"""Made-up verdicts, and ledgers of them."""

from __future__ import annotations

import numpy as np

from modules.matching import relations
from modules.matching.ledger import Ledger
from modules.matching.relations import Verdicts
from modules.records import VERDICT_DTYPE, Kind

COPY = relations.verdict(Kind.COPY, cover_a=1, cover_b=1, agreement=1)


def ledger(count: int, verdicts: dict[tuple[int, int], Verdicts]) -> Ledger:
    """One that knows these verdicts, by pair, on ``count`` pictures."""
    made = Ledger(count)
    made.add(np.array(list(verdicts), np.int32).reshape(-1, 2), np.array(list(verdicts.values()), VERDICT_DTYPE))
    return made
