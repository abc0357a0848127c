"""What every spec is built from: the base class, and the field types that say what a value may be."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from harness.values.measures import Measure, parse

Name = Annotated[str, Field(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$", description="lower-case words joined by '-'")]
Share = Annotated[float, Field(ge=0, le=1)]
Rate = Annotated[float, Field(gt=0, lt=1)]
Above0 = Annotated[float, Field(gt=0)]
Positive = Annotated[int, Field(ge=1, strict=True)]
Count = Annotated[int, Field(ge=0, strict=True)]
Several = Annotated[int, Field(ge=2, strict=True)]
Seed = Annotated[int, Field(ge=0, lt=2**32, strict=True)]


def _unique(values: tuple[Any, ...]) -> tuple[Any, ...]:
    twice = sorted({str(value) for value in values if values.count(value) > 1})
    if twice:
        raise ValueError(f"named twice: {', '.join(twice)}")
    return values


def _measure(text: object) -> Measure:
    return text if isinstance(text, Measure) else parse(str(text))


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return text


Unique = AfterValidator(_unique)
Pattern = Annotated[str, AfterValidator(_pattern)]
MeasureField = Annotated[Measure, BeforeValidator(_measure), PlainSerializer(str)]
MeasureName = Annotated[str, AfterValidator(lambda text: str(parse(text)))]


class Spec(BaseModel):
    """Base of all specs: nothing unknown, nothing changed afterwards."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, allow_inf_nan=False)


class LeavesOwn(Spec):
    """Base of the specs of stages that can leave out the document that has the id of its query."""

    exclude_own: bool = False

    @model_serializer(mode="wrap")
    def _without_default(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Leave out what is not asked for, so that keys of calls without it are those of before it was known."""
        values: dict[str, Any] = handler(self)
        return values if self.exclude_own else {name: one for name, one in values.items() if name != "exclude_own"}
