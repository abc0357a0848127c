"""The form of the rules of advice, and how they are read and checked. Knows the names of facts, and no values.

A condition compares a fact with a number or with another fact: ``lost.pool.low >= 0.05``, or ``gain.depth >= 0.5 *
lost.pool``. `parse_condition` and `str` are inverses. A condition on an unknown fact does not hold.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import yaml
from pydantic import BeforeValidator, Field, PlainSerializer, ValidationError, field_validator, model_validator

from harness.diagnosis.meanings import NAMES, Facts, meaning
from harness.errors import ConfigError, Problem, nearest
from harness.suite.fields import Name, Spec, Unique
from harness.suite.recipes import Part

SCHEMA = "harness/advice-1"
RULES_FILE = "advice.yaml"
Sign = Literal[">=", ">", "<=", "<"]
OPPOSITE: dict[Sign, Sign] = {">=": "<", ">": "<=", "<=": ">", "<": ">="}
CONDITION = re.compile(r"(?P<fact>\S+) (?P<sign>>=|>|<=|<) (?:(?P<times>\S+) \* )?(?P<bound>\S+)")
QUOTED = re.compile(r"\{([^{}]*)\}")
TUNES, FREE, FREE_ANSWERS = "tunes", "free", "free.answers"
WORDS = (TUNES, FREE, FREE_ANSWERS)
"""Names in templates that stand for words: parts, and the best training-free candidate in retrieval and in answers."""


@dataclass(frozen=True)
class Condition:
    """A fact against a number, or against `times` another fact."""

    fact: str
    sign: Sign
    bound: float | str
    times: float = 1.0

    def __str__(self) -> str:
        times = "" if self.times == 1 else f"{self.times!r} * "
        return f"{self.fact} {self.sign} {times}{self.bound}"

    @property
    def opposite(self) -> Condition:
        return Condition(self.fact, OPPOSITE[self.sign], self.bound, self.times)

    def limit(self, facts: Facts) -> float | None:
        """Return the number that the fact is compared with; None if it is an unknown fact."""
        if isinstance(self.bound, float):
            return self.bound
        other = facts.get(self.bound)
        return None if other is None else self.times * other

    def holds(self, facts: Facts) -> bool:
        value, limit = facts.get(self.fact), self.limit(facts)
        if value is None or limit is None:
            return False
        return {">=": value >= limit, ">": value > limit, "<=": value <= limit, "<": value < limit}[self.sign]


def parse_condition(text: str) -> Condition:
    """Return the condition of a text; raise ValueError for a wrong form or an unknown fact, with the nearest name."""
    match = CONDITION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no condition; write one like 'lost.pool.low >= 0.05'")
    times, number = _number(match["times"] or "1"), _number(match["bound"])
    if times is None or (number is not None and match["times"]):
        raise ValueError(f"{text!r} is no condition; before '*' stands a number, after it a fact")
    bound = _fact(match["bound"]) if number is None else number
    return Condition(_fact(match["fact"]), cast(Sign, match["sign"]), bound, times)


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _fact(name: str) -> str:
    if meaning(name) is None:
        raise ValueError(f"no fact is called {name!r}; {nearest(name, NAMES)}")
    return name


def _template(text: str) -> str:
    for name in QUOTED.findall(text):
        if name not in WORDS:
            _fact(name)
    return text


ConditionField = Annotated[
    Condition,
    BeforeValidator(lambda given: given if isinstance(given, Condition) else parse_condition(str(given))),
    PlainSerializer(str),
]
Template = Annotated[str, Field(min_length=1), BeforeValidator(lambda text: _template(str(text)))]
"""Text with facts in braces: ``{lost.pool}`` becomes ``12 % [8, 17]``. ``{tunes}`` names the parts of the rule."""


def _pasted(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _pasted(item) for name, item in value.items()}
    return _template(value) if isinstance(value, str) else value


class Sentence(Spec):
    """A reason. It is dropped if a condition of `where` does not hold, or if it cites an unknown fact."""

    say: Template
    where: tuple[ConditionField, ...] = ()


def _sentence(given: object) -> object:
    return {"say": given} if isinstance(given, str) else given


class Rule(Spec):
    """One piece of advice. It holds if all of `when` hold, one of `any` holds, and no rule of `unless` holds.

    A condition of `not_when` that holds stops it. A condition on an unknown fact does not hold, in `when` as in
    `not_when`.

    Within its class the rule with the largest fact `rank_by` comes first. `against`: it advises against tuning these
    parts, alone or with others. `together` stands for all parts that other rules advise to tune alone: it has no
    conditions, and holds if these are two or more. `buys` names what gives the possible gain, if that is not the parts.
    `paste` is what to add to the suite, with facts in braces as numbers; for tuning it is made of the parts.
    """

    id: Name
    kind: Literal["tune", "change", "measure", "leave"]
    action: Template
    tunes: Annotated[tuple[Part, ...], Unique] = ()
    together: bool = False
    when: tuple[ConditionField, ...] = ()
    any: tuple[ConditionField, ...] = ()
    not_when: tuple[ConditionField, ...] = ()
    unless: Annotated[tuple[Name, ...], Unique] = ()
    because: tuple[Annotated[Sentence, BeforeValidator(_sentence)], ...]
    rank_by: str | None = None
    buys: Part | Literal["depth", "context", "without-reranker", "free", "free.answers"] | None = None
    against: bool = False
    paste: Annotated[dict[str, Any] | None, BeforeValidator(_pasted)] = None

    @field_validator("rank_by")
    @classmethod
    def _known(cls, name: str | None) -> str | None:
        return None if name is None else _fact(name)

    @model_validator(mode="after")
    def _sound(self) -> Rule:
        if self.kind == "tune" and bool(self.tunes) == self.together:
            raise ValueError("a rule that tunes has either 'tunes' or 'together: true'")
        if bool(self.when or self.any) == self.together:
            raise ValueError("a rule has conditions, 'when' or 'any', unless it is 'together'")
        if not self.because:
            raise ValueError("a rule needs a reason; give 'because'")
        return self


class Class(Spec):
    """Rules that are listed together."""

    about: str
    rules: tuple[Rule, ...]


class Rules(Spec):
    """All rules, in classes in the order of the list of advice."""

    schema_: Literal["harness/advice-1"] = Field(alias="schema")
    classes: tuple[Class, ...]

    @property
    def rules(self) -> dict[str, Rule]:
        """All rules by id, in the order of the file."""
        return {rule.id: rule for group in self.classes for rule in group.rules}

    @model_validator(mode="after")
    def _names(self) -> Rules:
        ids = [rule.id for group in self.classes for rule in group.rules]
        if twice := sorted({name for name in ids if ids.count(name) > 1}):
            raise ValueError(f"rules named twice: {', '.join(twice)}")
        for rule in self.rules.values():
            for name in rule.unless:
                if name not in self.rules:
                    raise ValueError(f"rule {rule.id!r} names a rule {name!r}; {nearest(name, self.rules)}")
        try:
            TopologicalSorter({rule.id: rule.unless for rule in self.rules.values()}).prepare()
        except CycleError as error:
            raise ValueError(f"rules that wait for each other: {', '.join(error.args[1])}") from error
        return self


def load_rules(path: Path | None = None) -> Rules:
    """Return the rules of a file, or the shipped ones; raise ConfigError with everything that is wrong in it."""
    where = str(path or RULES_FILE)
    text = (path or resources.files("harness.diagnosis") / RULES_FILE).read_text(encoding="utf-8")
    try:
        return Rules.model_validate(yaml.safe_load(text))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        raise ConfigError(Problem(f"{where}{line}", f"not YAML: {getattr(error, 'problem', error)}")) from error
    except ValidationError as error:
        raise ConfigError(list(_problems(error, where))) from error


def _problems(error: ValidationError, where: str) -> Iterator[Problem]:
    for detail in error.errors(include_url=False):
        at = ".".join(str(part) for part in detail["loc"])
        what = detail["msg"].removeprefix("Value error, ")
        if detail["type"] == "extra_forbidden":
            keys = {name for kind in (Rules, Class, Rule, Sentence) for name in kind.model_fields}
            yield Problem(f"{where}: {at}", "unknown key", nearest(str(detail["loc"][-1]), keys))
        else:
            yield Problem(f"{where}: {at}" if at else where, f"{what[0].lower()}{what[1:]}")
