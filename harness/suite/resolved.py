"""The resolved settings of every candidate: the suite's sections with the candidate's changes applied."""

from __future__ import annotations

from collections.abc import Iterator

from harness.suite.fields import Spec
from harness.suite.spec import Candidate, Suite
from harness.suite.training_data import Data
from harness.values.findings import Resolved

OF_LISTS = ("mine", "label")
OF_ANSWERS = ("instruct",)


def resolved(suite: Suite) -> tuple[Resolved, ...]:
    """The settings of every candidate of a suite, a value for each section that makes it, in the order of making."""
    return tuple(
        _section(name, at, section, default)
        for name, candidate in suite.all_candidates.items()
        for at, section, default in _sections(suite, candidate)
    )


def _sections(suite: Suite, candidate: Candidate) -> Iterator[tuple[str, Spec, Spec]]:
    """Each section with what it is where a suite says nothing."""
    making, default = suite.making(candidate), Data()
    names = OF_LISTS if {"retriever", "reranker"} & {*candidate.tune} else ()
    for name in (*names, *(OF_ANSWERS if "generator" in candidate.tune else ())):
        yield f"data.{name}", getattr(making, name), getattr(default, name)
    for part in candidate.tune:
        recipe = suite.recipe(candidate, part)
        yield f"recipes.{part}", recipe, type(recipe)()
    yield "data", _Pairs(pairs=making.pairs), _Pairs(pairs=default.pairs)


class _Pairs(Spec):
    """The one key of `data` that a candidate sets by itself."""

    pairs: str


def _section(candidate: str, at: str, section: Spec, default: Spec) -> Resolved:
    settings, unset = section.model_dump(mode="json"), default.model_dump(mode="json")
    changed = tuple(name for name, value in settings.items() if value != unset.get(name))
    return Resolved(candidate=candidate, section=at, settings=settings, changed=changed)
