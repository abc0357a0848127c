"""What a run measures and how, in words: the settings behind the numbers, and what was not run."""

from __future__ import annotations

from harness.data.datasets import Dataset
from harness.planning.comparisons import ALPHA, BOUNDS, RESAMPLES
from harness.planning.graph import Plan
from harness.remarks import data, language, models
from harness.suite.spec import Suite

NO_JUDGE = "no judge configured"
NOT_MEASURED = "the suite words it and does not measure it; add 'rubric' to measures"


def settings(suite: Suite, dataset: Dataset) -> dict[str, str]:
    """Return what a reader must know to judge the numbers, in words, by the name of the setting."""
    made, pipeline = suite.data, suite.pipeline
    found = {
        "split scored": suite.evaluate.split,
        "language": language.setting(dataset),
        **language.abstention_setting(suite.abstention_sentences),
        "passages relevant for scored questions may be synthesized from": (
            "yes" if made.synthesize.test_documents else "no"
        ),
        **models.settings(suite),
        "training pairs": _pairs_used(suite),
        "lists": f"{pipeline.depth} documents deep, exact search, ties by score and then by doc_id, descending",
        "intervals": f"{1 - ALPHA:.0%} simultaneous, sign flips by group, {RESAMPLES:,} times, single-step max-T",
        "family of gains": f"gated measures of every system but untuned, {' and '.join(BOUNDS)}",
    }
    if pipeline.generator is not None:
        found["passages shown to the generator"] = (
            f"{pipeline.context}, each cut after {pipeline.generator.passage_tokens} tokens"
        )
    rule = suite.evaluate.contexts
    if rule is not None:
        found["passages shown to the generator"] = (
            f"the same to every system, chosen by the judgements; {rule.lacking:.0%} of the answerable questions "
            "are shown another passage of the same group, and count as unanswerable"
        )
    if suite.seeds and len(suite.seeds) < 3:
        found["claims"] = "about these checkpoints; a claim about a recipe needs three seeds or more"
    return found | data.settings(dataset.splits[suite.evaluate.split])


def _pairs_used(suite: Suite) -> str:
    """Which pairs candidates are trained on: in a word if they agree."""
    used = {name: one.pairs or suite.data.pairs for name, one in suite.all_candidates.items()}
    if len(set(used.values())) == 1:
        return next(iter(used.values()))
    return "; ".join(f"{name}: {pairs}" for name, pairs in used.items()) or "none"


def not_run(suite: Suite, plan: Plan) -> dict[str, str]:
    """Return what this run does not measure, and why, by the name of the measure or the row."""
    judged = [str(measure) for measure in suite.measures if measure.is_judged]
    # What nobody asked for is named too, so that a reader sees what a judge would add.
    unjudged = judged or ["LLM-judged measures of ragas"]
    reasons = dict.fromkeys(unjudged, NO_JUDGE) if suite.llm.judge is None else {}
    if suite.rubric and "rubric" not in judged:
        reasons[f"rubric ({suite.rubric})"] = NO_JUDGE if suite.llm.judge is None else NOT_MEASURED
    if not plan.sample:
        answers = [str(m) for m in suite.measures if not m.is_rank and str(m) not in reasons]
        reasons |= dict.fromkeys(answers, "the data set has no reference answers")
    skipped = set(suite.baseline_rows) - {system.name for system in plan.systems}
    reasons |= dict.fromkeys(sorted(skipped), "needs data or settings this suite lacks")
    return reasons
