"""The scratch index: see :class:`ScratchIndex`.

Listing, catalogue and facts of a run in a local SQLite file that is rebuilt from the state at every start. It answers
what the phases ask while Python's memory stays flat however long the listing is.
"""

from modules.state.picture_index import ScratchIndex

__all__ = ["ScratchIndex"]
