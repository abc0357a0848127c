"""The settings of a run in words, and what was not run and why."""

from __future__ import annotations

from harness.data.datasets import Dataset
from harness.planning.graph import Plan
from harness.remarks import data, language, models
from harness.statistics.comparisons import ALPHA, RESAMPLES
from harness.suite.spec import Suite
from harness.text.decimals import percent
from harness.values.systems import BOUNDS

NO_JUDGE = "no judge configured"
NOT_MEASURED = "not among the measures; add 'rubric' to measures"


def settings(suite: Suite, dataset: Dataset) -> dict[str, str]:
    """Return the settings that the numbers depend on, in words, by name."""
    pipeline = suite.pipeline
    words = {
        "split scored": suite.evaluate.split,
        "language": language.setting(dataset),
        **language.abstention_setting(suite.abstention_sentences),
        "queries are synthesized from passages relevant for scored queries": (
            "yes" if suite.data.synthesize.test_documents else "no"
        ),
        **models.settings(suite),
        "training pairs": _pairs_used(suite),
        "rankings": f"{pipeline.depth} documents deep, exact search, ordered by score and then by doc_id, descending",
        "intervals": f"{percent(1 - ALPHA)} simultaneous, sign flips by group, {RESAMPLES:,} times, single-step max-T",
        "family of gains": f"gated measures of every system but untuned, {' and '.join(BOUNDS)}",
    }
    if pipeline.generator is not None:
        words["passages shown to the generator"] = (
            f"{pipeline.context}, each truncated to {pipeline.generator.passage_tokens} tokens"
        )
    rule = suite.evaluate.contexts
    if rule is not None:
        words["passages shown to the generator"] = (
            f"the same for every system, chosen by the judgements; {percent(rule.lacking)} of the answerable queries "
            "get another passage of the same group, and count as unanswerable"
        )
    if len(suite.seeds) < 3 and any(candidate.tune for candidate in suite.all_candidates.values()):
        words["claims"] = "about these checkpoints; a claim about a recipe needs three seeds or more"
    return words | data.settings(dataset.splits[suite.evaluate.split])


def _pairs_used(suite: Suite) -> str:
    """Return which pairs candidates are trained on; one word if they agree."""
    trained = {name: candidate for name, candidate in suite.all_candidates.items() if candidate.tune}
    used = {name: candidate.pairs or suite.data.pairs for name, candidate in trained.items()}
    if len(set(used.values())) == 1:
        return next(iter(used.values()))
    return "; ".join(f"{name}: {pairs}" for name, pairs in used.items()) or "none"


def not_run(suite: Suite, plan: Plan) -> dict[str, str]:
    """Return why something is not measured, by the name of the measure or the row."""
    judged = [str(measure) for measure in suite.measures if measure.is_judged]
    # Judged measures are named even if none is asked for, so that a reader sees what a judge would add.
    unjudged = judged or ["LLM-judged measures of ragas"]
    reasons = dict.fromkeys(unjudged, NO_JUDGE) if suite.llm.judge is None else {}
    if suite.rubric and "rubric" not in judged:
        reasons[f"rubric ({suite.rubric})"] = NO_JUDGE if suite.llm.judge is None else NOT_MEASURED
    if not plan.sample:
        answers = [str(m) for m in suite.measures if not m.is_rank and str(m) not in reasons]
        reasons |= dict.fromkeys(answers, "the dataset has no reference answers")
    skipped = set(suite.baseline_rows) - {system.name for system in plan.systems}
    reasons |= dict.fromkeys(sorted(skipped), "needs data or settings this suite lacks")
    return reasons
