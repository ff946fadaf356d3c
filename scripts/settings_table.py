"""Writes the table of docs/settings.md from the settings themselves; a test holds the two together."""

from __future__ import annotations

from pathlib import Path

from modules.settings import Settings
from modules.settings_sources import allowed, default_text, env_name, flag_names, note_of

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "settings.md"
BEGIN, END = "<!-- table: begin (make docs) -->\n", "<!-- table: end -->"


def table() -> str:
    """All settings as a Markdown table."""
    lines = ["| Variable | YAML key | Flag | Default | Kind | Meaning | Memory |", "|---|---|---|---|---|---|---|"]
    for name, field in Settings.model_fields.items():
        flags = ", ".join(f"`{flag}`" for flag in flag_names(name)) or "the argument"
        default = "required" if field.is_required() else f"`{default_text(name)}`"
        note = note_of(name)
        meaning = f"{field.description} Must be {allowed(name)}."
        cells = (f"`{env_name(name)}`", f"`{name}`", flags, default, note.kind, meaning, note.cost or "-")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def with_table(document: str) -> str:
    """``document`` with the table between its two marks renewed."""
    before, _, rest = document.partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise ValueError(f"{DOCUMENT.name} lacks the marks {BEGIN!r} and {END!r}")
    return before + BEGIN + table() + END + after


if __name__ == "__main__":
    DOCUMENT.write_text(with_table(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
