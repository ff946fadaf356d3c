"""Fetches the weights of extractors into the hub's cache, so that an image holds them and a run needs no hub.

python -m scripts.bake_weights NAME,...      names as in --features; auto stands for all that it may pick
"""

from __future__ import annotations

import sys

import click

from modules.errors import ImgsieveError
from modules.features.catalogue import MODELS
from modules.features.registry import resolve
from modules.log_lines import set_up_logging


def bake(names: str) -> list[str]:
    """Fetch and try the weights of every extractor in ``names``, comma-separated; the extractors' names.

    Raises UsageError for a name that is none, MissingWeightsError for weights that cannot be had: with ``auto`` too,
    for which a run would do without them.
    """
    asked = [name.strip() for name in names.split(",") if name.strip()]
    wanted = [name for one in asked for name in (MODELS if one == "auto" else (one,))]
    return [extractor.name for extractor in resolve(wanted)]


@click.command(help=__doc__)
@click.argument("names")
def main(names: str) -> None:
    """Fetch them, or end with the code of the error."""
    set_up_logging()
    try:
        for name in bake(names):
            click.echo(f"{name}: ready")
    except ImgsieveError as error:
        click.echo(f"bake_weights: {error}", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
