"""What every spec is built from: the base class, and the field types that say what a value may be."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar

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


class Quiet(Spec):
    """Base of specs some of whose fields, those of `QUIET`, are written out only where they are not at their default.

    So a field that came later changes no key of what is made as before. The names of all base classes count.
    """

    QUIET: ClassVar[tuple[str, ...]] = ()

    @model_serializer(mode="wrap")
    def _without_defaults(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields
        quiet = {name for base in type(self).__mro__ for name in vars(base).get("QUIET", ())}
        return {
            name: value
            for name, value in whole(self).items()
            if name not in quiet or getattr(self, name) != fields[name].get_default(call_default_factory=True)
        }


class LeavesOwn(Quiet):
    """Base of the specs of stages that can leave out the document that has the id of its query."""

    QUIET: ClassVar[tuple[str, ...]] = ("exclude_own",)

    exclude_own: bool = False
