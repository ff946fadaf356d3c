"""Process stage: from the names of shard families to what the analyser computes. Runs in worker processes."""

from __future__ import annotations

from dataclasses import dataclass

from modules.feature_extraction import Analyser
from modules.records import Analysis
from modules.state.commit import Families


@dataclass(frozen=True, slots=True)
class Analyse:
    """Picklable: an analyser that is asked by family names."""

    analyser: Analyser
    families: Families

    def __call__(self, data: bytes, wanted: frozenset[str]) -> Analysis:
        """Compute just the wanted families of one picture. Raises PictureError, MemoryError."""
        return self.analyser.analyse(
            data,
            facts=self.families.facts in wanted,
            keypoints=not wanted.isdisjoint((self.families.keypoints, self.families.codes)),
            extractors=frozenset(name for name, family in self.families.vectors.items() if family in wanted),
        )
