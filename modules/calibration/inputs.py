"""What a device gets of one picture of the sample and of its edits. Made in worker processes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from modules.calibration.edits import EDITS
from modules.errors import PictureError
from modules.feature_extraction import Analyser
from modules.features.decode import decode
from modules.matching.evidence import Size
from modules.records import Analysis, BlobInfo, Processed, WorkItem


@dataclass(frozen=True, slots=True)
class Inputs:
    """sha: SHA-256 of the file's bytes. size: (width, height). pictures: the file's, then each edit of it.

    All of them have the inputs of every extractor, the first one has keypoints too.
    """

    sha: bytes
    size: Size
    pictures: list[Processed]


def inputs_of(analyser: Analyser, blob: BlobInfo, name: str, data: bytes) -> Inputs | PictureError:
    """Of a blob's bytes, or why they cannot be used. name: what the chances of its edits hang on.

    The error is returned, not raised: one picture's trouble does not end the others.
    """
    sha = hashlib.sha256(data).digest()
    try:
        decoded = decode(data, analyser.max_pixels)
        copies = [edit.apply(decoded.rgb, name) for edit in EDITS]
        analyses = [_analyse(analyser, file, keypoints=file is data) for file in (data, *copies)]
    except PictureError as error:
        return error
    except MemoryError:
        return PictureError("there is too little memory to decode it: try fewer --workers")
    item = WorkItem(0, blob, frozenset())
    size = decoded.header.width, decoded.header.height
    return Inputs(sha, size, [Processed(item, sha, analysis) for analysis in analyses])


def _analyse(analyser: Analyser, data: bytes, *, keypoints: bool) -> Analysis:
    """As a run does it."""
    names = frozenset(extractor.name for extractor in analyser.extractors)
    return analyser.analyse(data, facts=False, keypoints=keypoints, extractors=names)
