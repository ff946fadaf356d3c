"""The price table of ``imgsieve estimate``: an example that ships, or a file of the person's own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from modules.errors import UsageError

EXAMPLE = Path(__file__).with_name("prices.yaml")

Price = Annotated[float, Field(ge=0, le=1e9)]


class Prices(BaseModel, frozen=True):
    """Prices in ``currency``. list, read, write, other: for 10,000 transactions of that class."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)

    name: Annotated[str, Field(min_length=1, max_length=80)]
    currency: Annotated[str, Field(min_length=1, max_length=8)]
    list: Price
    read: Price
    write: Price
    other: Price
    retrieval_gib: Price = 0.0
    storage_gib_month: Price = 0.0


def read_prices(path: Path | None = None) -> Prices:
    """The table in a YAML file, by default the example. Raises UsageError, in one line, for a file that holds none."""
    place = EXAMPLE if path is None else path
    try:
        content: Any = yaml.safe_load(place.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise UsageError(f"price file {place} must hold lines of the form 'name: value'; see {EXAMPLE}")
        return Prices.model_validate(content)
    except OSError as error:
        raise UsageError(f"price file {place} cannot be read: {error.strerror}") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        field = ".".join(map(str, first["loc"])) or "the whole file"
        known = ", ".join(Prices.model_fields)
        raise UsageError(f"price file {place}: {field}: {first['msg']}; known are {known}") from None
    except (yaml.YAMLError, ValueError, RecursionError):  # dates and numbers that are none, nesting without end
        raise UsageError(f"price file {place} is not valid YAML; start from a copy of {EXAMPLE}") from None
