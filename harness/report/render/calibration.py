"""A calibration on a terminal: how far judge and people agree, and what the judge may decide."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.judge.agreement import Agreement, AgreementEstimate
from harness.judge.calibration import Calibration
from harness.report import format as fmt
from harness.text import decimals

NAMES = {
    "spearman": "Spearman's rank correlation",
    "auroc": "AUROC at the cut",
    "weighted_kappa": "weighted kappa on the people's scale",
    "kappa": "kappa at the cut",
}

REASONS_SHOWN = 3


def render(calibration: Calibration, console: Console) -> None:
    """Print the agreement of the judge with people, that of people among themselves, and the verdict."""
    title = f"{calibration.measure}: {calibration.judge.get('model', 'the judge')} against people"
    console.print(Text(title, style="bold"))
    console.print(Text(_answers(calibration)))
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    table.add_column("agreement")
    table.add_column("judge")
    table.add_column("one person against the others")
    for name in Agreement.model_fields:
        judge, people = getattr(calibration.agreement, name), getattr(calibration.ceiling, name)
        table.add_row(NAMES[name], _estimate(judge), _estimate(people))
    console.print(table)
    console.print(Text("In brackets: 95 % intervals, by resampling turns.", style="dim"))
    for sentence in _meaning(calibration):
        console.print(Text(sentence))
    console.print(Text(_verdict(calibration), style="green" if calibration.passed else "yellow"))


def _estimate(estimate: AgreementEstimate) -> str:
    return decimals.mean(estimate.value, estimate.low, estimate.high)


def _answers(found: Calibration) -> str:
    """Return how many rows were judged, and what became of the others."""
    rows = fmt.counted(found.rows, "rated answer")
    text = f"{rows}: {found.scored:,} judged, to {fmt.counted(found.turns, 'turn')}; {found.failed:,} failed"
    text += _counts(found.reasons)
    aside = sum(found.not_applicable.values())
    return f"{text}; {aside:,} not applicable to this measure{_counts(found.not_applicable)}."


def _counts(reasons: Mapping[str, int]) -> str:
    """Return the commonest reasons by name, and the others together, so that the numbers add up."""
    ordered = sorted(reasons.items(), key=lambda one: -one[1])
    rest = sum(count for _, count in ordered[REASONS_SHOWN:])
    shown = [f"{reason}: {count:,}" for reason, count in ordered[:REASONS_SHOWN]]
    shown += [f"other reasons: {rest:,}"] if rest else []
    return f" ({'; '.join(shown)})" if shown else ""


def _meaning(found: Calibration) -> Iterator[str]:
    low, high = found.scale
    least = decimals.fixed(low + found.cut * (high - low), 2)
    yield (
        f"People accept an answer from {least} on their scale of {low:g} to {high:g}: {found.accepted:,} accepted, "
        f"{found.refused:,} refused."
    )
    auroc, ceiling = found.agreement.auroc.value, found.ceiling.auroc.value
    if auroc is not None:
        times = f"{100 * auroc:.0f} times in 100"
        yield f"Given an accepted and a refused answer, the judge scores the accepted one higher {times}."
    if auroc is not None and ceiling is not None:
        yield f"One person does so {100 * ceiling:.0f} times in 100, measured against the other people."
    if found.failures_against.value is not None and found.failed and found.scored:
        yield f"With every failure counted against the judge, the AUROC is {_estimate(found.failures_against)}."
    if found.spread is not None:
        spread = decimals.fixed(found.spread)
        yield f"Judged again, the score of an answer varies by {spread} (mean standard deviation)."


def _verdict(found: Calibration) -> str:
    if found.passed:
        return (
            f"Calibrated: the interval of the AUROC lies at or above {found.bar:g}, so {found.measure} may decide "
            "which answers are right in utility."
        )
    return f"Not calibrated: {found.reason}. {found.measure} stays advisory."
