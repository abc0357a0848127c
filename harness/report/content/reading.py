"""What a reader must know: warnings about the numbers of an outcome, and how its tables are read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeVar

from harness.report import format as fmt
from harness.report.content.candidates import recited
from harness.report.view import BASELINE, View, identical_words
from harness.text.decimals import finite

Said = TypeVar("Said", str, int)
FEW_GROUPS = 20
RECIPE_SEEDS = 3

HOW_TO_READ = (
    f"**Gain** is the difference to `{BASELINE}` on the same queries in this outcome. **Regression** is the difference "
    "to the accepted scores of the same system.",
    "**Interval**: the true differences that agree with the data. It is simultaneous: it holds for all comparisons of "
    "its table together. Queries of one group (an article, a conversation) are resampled together, because they are "
    "not independent.",
    "**improved**: the whole interval lies above zero.",
    "**regressed**: the whole interval lies below zero and reaches below minus the margin.",
    "**equivalent**: the whole interval lies within the margin: the difference is too small to matter.",
    "**inconclusive**: none of these. It is no evidence that nothing changed: the test set is too small to decide. The "
    "minimum detectable effect says how small a difference it could have shown.",
    "**new**: nothing was accepted for this system. **missing**: an accepted system is absent. **failed**: more scores "
    "failed than the suite allows. **not comparable**: the two were measured in different ways.",
    "**Exploratory**: everything outside the gated measures. It is not corrected for the number of figures shown, so a "
    "large one may be chance. Confirm it on other queries before you act on it.",
)

READ_SEEDS = (
    "**Across seeds** is about a recipe, not one checkpoint. Its interval covers the variance of the queries and of "
    "training (another seed trains another model), so it is wider than that of a gain. It needs three seeds, more if "
    "they differ much.",
)
READ_UNTRAINED = (
    "**The best without training** is the system that trains nothing and has the highest mean on dev. Trained "
    "candidates are compared with it in a family of their own: a training pays only if it improves on this system too.",
)
READ_EFFECTS = (
    "**Do the gains add up?** compares all combinations of the changes. A change **adds** (**takes away**) if its "
    "whole interval lies above (below) zero, averaged over the levels of the other factors. Two changes **absorb** "
    "each other if they gain significantly less together than the sum of their gains; they **reinforce** each other if "
    "they gain significantly more; their gains **add up** if the difference from the sum lies within the margin. The "
    "intervals hold together for all effects of the outcome, but no gate rests on them.",
)


def how_to_read(view: View) -> tuple[str, ...]:
    """Return what the words of the tables mean, without those of tables that this outcome does not have."""
    return (
        *HOW_TO_READ,
        *(READ_SEEDS if view.outcome.recipe_claims else ()),
        *(READ_UNTRAINED if view.over_best else ()),
        *(READ_EFFECTS if view.outcome.effects else ()),
    )


def warnings(view: View) -> tuple[str, ...]:
    """Return what to keep in mind, except what the sentences about candidates have said."""
    outcome = view.outcome
    others = [info for info in view.systems if info not in recited(view)]
    failed = {info.label: fmt.bare(info.failed) for info in others if info.failed}
    same = {info.label: words for info in others if (words := identical_words(info))}
    no_run = {system: number for system, number in outcome.queries_without_run.items() if number}
    return (
        *(f"{who} failed: {reason}." for who, reason in _together(failed)),
        *_few_groups(view),
        *_failed_scores(view),
        *(f"{who}: {what}." for who, what in _together(same)),
        *(
            f"{who}: {fmt.counted(number, 'query has', 'queries have')} no ranking, which scores 0."
            for who, number in _together(no_run)
        ),
        *_seeds(view),
        *_evaluations(view),
        *(
            f"Not run: {who} ({reason})."
            for who, reason in _together({name: fmt.bare(why) for name, why in outcome.not_run.items()})
        ),
        *outcome.notes,
    )


def _together(said: Mapping[str, Said]) -> Iterable[tuple[str, Said]]:
    """Return each thing that is said once, with the names of all that it is said of."""
    about: dict[Said, list[str]] = {}
    for name, what in said.items():
        about.setdefault(what, []).append(name)
    return ((fmt.listed(names), what) for what, names in about.items())


def few_groups(groups: int, of: str) -> str:
    """Return the warning about a number of groups under 20."""
    return f"{of}: only {fmt.counted(groups, 'group')}, under {FEW_GROUPS}; the intervals and verdicts are rough."


def _few_groups(view: View) -> Iterable[str]:
    fewest: dict[str, int] = {}
    for row in view.outcome.comparisons:
        if finite(row.difference) is not None:
            fewest[row.measure] = min(row.n_groups, fewest.get(row.measure, row.n_groups))
    few = {measure: groups for measure, groups in fewest.items() if groups < FEW_GROUPS}
    for measures, groups in sorted(_together(few), key=lambda pair: pair[1]):
        yield few_groups(groups, measures)


def _failed_scores(view: View) -> Iterable[str]:
    failed = {
        info.label: sum(row.failed for name in view.measures if (row := view.summary(info, name)))
        for info in view.systems
        if not info.failed
    }
    parts = [f"{label} {fmt.count(number)}" for label, number in failed.items() if number]
    if parts:
        yield f"Failed scores, over all measures: {', '.join(parts)}. The means leave them out and carry a †."


def _seeds(view: View) -> Iterable[str]:
    if len(view.seeds) == 1:
        yield (
            f"One seed ({view.seeds[0]}): a verdict on a trained candidate is about this checkpoint only; a claim "
            f"about a recipe needs at least {RECIPE_SEEDS} seeds."
        )
    elif any(claim.verdict for claim in view.outcome.recipe_claims):
        yield "A gain is about one checkpoint (one seed); the table Across seeds has the verdicts on recipes."
    elif len(view.seeds) > 1:
        enough = "" if len(view.seeds) >= RECIPE_SEEDS else f" at least {RECIPE_SEEDS} seeds and"
        yield (
            "Every verdict is about one checkpoint (one seed); a claim about a recipe needs"
            f"{enough} an interval that holds the variance between seeds."
        )


def _evaluations(view: View) -> Iterable[str]:
    outcome = view.outcome
    if outcome.split != "test":
        yield f"Scored on the split {outcome.split}, on which choices are made: confirm on test."
    elif outcome.times_scored > 1:
        yield (
            f"The test split has been scored {outcome.times_scored} times for this suite: choices that were made from "
            "earlier scores make the gains look better than they are."
        )
