"""What a suite uses of its data sets: which splits, whether reference answers, and by which rules."""

from __future__ import annotations

from harness.suite.sources import Forgetting, Reading
from harness.suite.spec import Suite


def reading_of(suite: Suite, *also: str) -> Reading:
    """Return what a suite reads of its data set; `also` names splits that are used beside those of the suite.

    Candidates are trained on train and chosen on dev; examples of the row `few-shot` come from train.
    """
    evaluate = suite.evaluate
    splits = {evaluate.split, *also}
    if suite.all_candidates:
        splits |= {"train", "dev", "test"}
    if suite.generator is not None and "few-shot" in suite.baseline_rows:
        splits.add("train")
    answers = suite.generator is not None
    return Reading(evaluate.split, frozenset(splits), answers, evaluate.relevance_level, evaluate.exclude_own)


def reading_elsewhere(rule: Forgetting) -> Reading:
    """Return what is read of the data set that must not be forgotten."""
    answers = bool(rule.generation_queries)
    return Reading(rule.split, frozenset([rule.split]), answers, rule.relevance_level, rule.exclude_own)
