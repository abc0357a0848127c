"""All that a report says, made once from an outcome; the terminal and the files only draw it."""

from __future__ import annotations

from dataclasses import dataclass

from harness.report import across, aftermath, details, elsewhere, judged, tables, together, words
from harness.report.sections import Section, present
from harness.report.values import Table
from harness.report.view import view
from harness.values.findings import Outcome


@dataclass(frozen=True)
class Contents:
    """Sentences and tables, in the order in which a reader wants them; a table with nothing in it is left out."""

    title: str
    subject: str
    headline: tuple[str, ...]
    warnings: tuple[str, ...]
    answer: tuple[Table, ...]
    after: tuple[Section, ...]
    together: tuple[Table, ...]
    together_in_full: tuple[Table, ...]
    surely: tuple[Table, ...]
    costs: tuple[Table, ...]
    answers: tuple[Table, ...]
    data: tuple[Table, ...]
    provenance: tuple[Table, ...]
    packages: Table | None
    identities: tuple[Table, ...]


def contents(outcome: Outcome) -> Contents:
    seen = view(outcome)
    return Contents(
        title=outcome.title or outcome.suite,
        subject=words.subject(seen),
        headline=words.headline(seen),
        warnings=(*elsewhere.cautions(seen), *words.warnings(seen)),
        answer=present(
            tables.quality(seen), tables.gains(seen), across.seeds(seen), details.published(seen), tables.cost(seen)
        ),
        after=aftermath.sections(seen),
        together=present(together.effects(seen)),
        together_in_full=present(together.absorbed(seen), together.in_full(seen)),
        surely=present(
            tables.comparisons(seen, "gain"), tables.comparisons(seen, "regression"), details.failures(seen)
        ),
        costs=present(judged.paid(seen), details.ledger(seen), details.latency(seen)),
        answers=present(judged.advisory(seen), judged.spread(seen), details.abstention(seen)),
        data=present(
            details.dataset(seen),
            details.repairs(seen),
            details.settings(seen),
            details.resolved(seen),
            details.stage_notes(seen),
            details.not_run(seen),
        ),
        provenance=present(details.provenance(seen)),
        packages=details.packages(seen),
        identities=present(details.identities(seen), details.system_identities(seen)),
    )
