"""What every spec is built from: the base class, and the field types that say what a value may be."""

from __future__ import annotations

import re
import warnings
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer

from harness.values.measures import Measure, parse

NAME_PATTERN, NAME_SHAPE = r"^[a-z0-9]+(-[a-z0-9]+)*$", "lower-case words joined by '-'"
Name = Annotated[str, Field(pattern=NAME_PATTERN, description=NAME_SHAPE)]
Share = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(gt=0, lt=1)]
Above0 = Annotated[float, Field(gt=0)]
Positive = Annotated[int, Field(ge=1, strict=True)]
Count = Annotated[int, Field(ge=0, strict=True)]
Several = Annotated[int, Field(ge=2, strict=True)]
Seed = Annotated[int, Field(ge=0, lt=2**32, strict=True)]


def _not_blank(text: str) -> str:
    # As a path, an empty text would be the current folder, whatever lies there.
    if not text.strip():
        raise ValueError("is empty; name one, or leave the key out")
    return text


Place = Annotated[str, AfterValidator(_not_blank)]
"""A folder, or the name of a model."""


def _unique(values: tuple[Any, ...]) -> tuple[Any, ...]:
    twice = sorted({str(value) for value in values if values.count(value) > 1})
    if twice:
        raise ValueError(f"named twice: {', '.join(twice)}")
    return values


def _measure(text: object) -> Measure:
    return text if isinstance(text, Measure) else parse(str(text))


def _pattern(text: str) -> str:
    try:
        with warnings.catch_warnings():
            # Of a set that a later Python may read differently, a user of this one need not hear.
            warnings.simplefilter("ignore", FutureWarning)
            re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return text


Unique = AfterValidator(_unique)
Pattern = Annotated[str, AfterValidator(_pattern)]
MeasureField = Annotated[Measure, BeforeValidator(_measure), PlainSerializer(str)]
MeasureName = Annotated[str, AfterValidator(lambda text: str(parse(text)))]


class Spec(BaseModel):
    """Base of all specs: unknown keys are errors, and values are frozen."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, allow_inf_nan=False)

    def key_settings(self) -> dict[str, Any]:
        """Return the settings that differ from their defaults, at every depth, as JSON: what keys are made of.

        A new setting with a default therefore changes no key. A default that is changed later gives old keys another
        meaning: raise the version of each stage whose spec has it (tests/test_stage_versions.py insists on it).
        """
        return self.model_dump(mode="json", exclude_defaults=True)
