"""Where everything of a run lies: the names below the output and the state, and which places go together."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Self

from modules.errors import UsageError
from modules.location import Location

STATE_FOLDER = "_state/"
MANIFEST = "manifest.json"
SUFFIX = "_deduplicated/"


@dataclass(frozen=True, slots=True)
class Layout:
    """Keys of a run. source, output, state: prefixes that end in ``/``, all in one store."""

    source: str
    output: str
    state: str

    @classmethod
    def for_run(cls, source: Location, output: Location | None = None, state: Location | None = None) -> Self:
        """The places asked for, by default ``{source}_deduplicated/`` and ``{output}/_state/``. Makes no request.

        Raises UsageError when they are not in one store, or one lies where it would spoil another.
        """
        for name, place in (("output", output), ("state", state)):
            if place is not None:
                _check_same_store(source, name, place)
        output_prefix = default_output(source) if output is None else output.prefix
        layout = cls(source.prefix, output_prefix, output_prefix + STATE_FOLDER if state is None else state.prefix)
        check_places(source, layout)
        return layout

    @property
    def best(self) -> str:
        """Prefix of the kept pictures."""
        return self.output + "best/"

    @property
    def duplicates(self) -> str:
        """Prefix of the pictures set aside."""
        return self.output + "duplicates/"

    @property
    def report(self) -> str:
        """Key of image_report.csv."""
        return self.output + "image_report.csv"

    @property
    def failed_report(self) -> str:
        """Key of failed.csv."""
        return self.output + "failed.csv"

    @property
    def run_file(self) -> str:
        """Key of run.json."""
        return self.output + "run.json"

    @property
    def success(self) -> str:
        """Key of _SUCCESS."""
        return self.output + "_SUCCESS"

    @property
    def manifest(self) -> str:
        """Key of the state's manifest."""
        return self.state + MANIFEST

    @property
    def lock(self) -> str:
        """Key of the blob that is leased while a run is at work."""
        return self.state + "lock"

    @property
    def marker(self) -> str:
        """Key by which an output is known as ours: the manifest, or a pointer to it when the state lies elsewhere."""
        return self.output + STATE_FOLDER + MANIFEST

    def dry(self) -> Layout:
        """The same run with its tables below the state: what a dry run writes."""
        return Layout(self.source, self.state + "dry_run/", self.state)

    def target(self, key: str, *, best: bool) -> str:
        """Where the copy of a source blob goes; its path below the source is kept, so that names never collide."""
        return (self.best if best else self.duplicates) + key[len(self.source) :]


def default_output(source: Location) -> str:
    """``{source}_deduplicated/`` beside the source; a container has it inside. UsageError for a whole file system."""
    if source.is_container_root:
        return f"{source.prefix}{source.name}{SUFFIX}"
    if source.prefix == "/":
        raise UsageError("the source is the whole file system: name a folder of pictures in it")
    return source.prefix.rstrip("/") + SUFFIX


def check_places(source: Location, layout: Layout) -> None:
    """Raise UsageError when output or state lie where they would be read as pictures, or overwrite one another.

    The one output inside its source is the default one of a whole container. Links in folders are resolved.
    """
    nested = source.is_container_root and layout.output == default_output(source)
    forms = [(layout.source, layout.output, layout.state)]
    if source.scheme == "folder":
        forms.append((_resolved(layout.source), _resolved(layout.output), _resolved(layout.state)))
    for pictures, output, state in forms:
        _check_output(pictures, output, nested)
        _check_state(pictures, output, state, nested)


def _check_output(source: str, output: str, nested: bool) -> None:
    if output == source:
        raise UsageError("the output is the source itself: name another place with --output")
    if output.startswith(source) and not nested:
        raise UsageError(f"the output {output} lies inside the source: name a place outside of it with --output")
    if source.startswith(output):
        raise UsageError(f"the source lies inside the output {output}: name another place with --output")


def _check_state(source: str, output: str, state: str, nested: bool) -> None:
    if state.startswith(source) and not (nested and state.startswith(output)):
        raise UsageError(f"the state {state} lies inside the source: name a place outside of it with --state")
    if source.startswith(state):
        raise UsageError(f"the source lies inside the state {state}: name another place with --state")
    if output.startswith(state):
        raise UsageError(f"the output lies inside the state {state}: name another place with --state")
    if state.startswith(output) and not state.startswith(output + STATE_FOLDER):
        raise UsageError(f"the state {state} lies among the results: leave --state away, or name a place outside them")


def _check_same_store(source: Location, name: str, place: Location) -> None:
    if place.scheme != source.scheme:
        raise UsageError(
            f"the source {source} and the {name} {place} lie in different stores: both must be folders, "
            "or in one storage account"
        )
    if place.account is not None:
        if source.account is None:
            raise UsageError(f"write the {name} as {place} like the source, or the source as https:// too")
        if place.account.lower() != source.account.lower():
            raise UsageError(
                f"the source lies in {source.account} and the {name} in {place.account}: "
                "they must be in one storage account"
            )
    if place.sas is not None and (source.sas is None or place.sas.get_secret_value() != source.sas.get_secret_value()):
        raise UsageError(
            f"the {name} has a SAS of its own: use one SAS for all places, in the source's address or in "
            "AZURE_STORAGE_SAS_TOKEN"
        )


def _resolved(prefix: str) -> str:
    return os.path.realpath(prefix).rstrip("/") + "/"
