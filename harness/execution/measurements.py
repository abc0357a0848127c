"""What the systems of a plan are measured by: measures, their settings, and the identity of each measurement.

All of it is known before anything is made, so it also says whether a judge will have to be asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from harness import scoring
from harness.data.datasets import Dataset
from harness.hashing import digest_of
from harness.judge import judges
from harness.planning.graph import Plan
from harness.store import Store
from harness.values.findings import MeasurementInputs
from harness.values.measures import Measure

JUDGED_TURNS = 512
"""Tokens of the turns before a query that a judge is shown, whatever the generator was shown."""


class Measurements:
    """The measurements of a plan on its dataset. `root` holds the calibrations of judges; `store` holds scores."""

    def __init__(
        self, plan: Plan, dataset: Dataset, store: Store, root: Path, measures: Sequence[Measure] | None = None
    ) -> None:
        """`measures` replaces those of the suite; of these, judged ones are left out where no judge is configured."""
        self.plan, self.dataset, self.store, self.root = plan, dataset, store, root
        self.split = plan.suite.evaluate.split
        self.references = plan.generation_sample.references
        has_judge = plan.suite.llm.judge is not None
        asked = [measure for measure in plan.suite.measures if has_judge or not measure.is_judged]
        self.measures = asked if measures is None else list(measures)

    @cached_property
    def settings(self) -> scoring.AnswerSettings:
        return judges.settings_of(self.plan.suite, self.root, self.dataset.language)

    @property
    def calibrated(self) -> list[Measure]:
        """The measures that do not rest on an uncalibrated judge."""
        advisory = self.uncalibrated()
        return [measure for measure in self.measures if str(measure) not in advisory]

    def uncalibrated(self) -> tuple[str, ...]:
        """Measures that rest on an uncalibrated judge: they are advisory."""
        right = self.plan.suite.utility.right
        judge = self.settings.judge
        return ("utility",) if Measure(right).is_judged and not (judge and right in judge.calibrated) else ()

    def is_judged(self, measure: Measure) -> bool:
        """Whether an LLM judges it, or decides it."""
        return not measure.is_rank and scoring.asks_judge(measure, self.settings)

    def lacks_judgements(self) -> bool:
        """Whether the judge has to be asked: any answer or any judged score is not in the store."""
        judged = [measure for measure in self.measures if self.is_judged(measure)]
        answers = {system.answers for system in self.plan.systems if system.answers}
        return any(
            not self.store.has(key) or not self.store.has(self.score_key(key, self.split, measure))
            for key in answers
            for measure in judged
        )

    def identity(self, measure: Measure, split: str) -> str:
        """Measurement identity: data, sample, and the measure with its version and settings."""
        digests = self.dataset.digests
        parts = ["queries", "qrels", "groups"] if measure.is_rank else ["queries", "references", "groups"]
        # Where evidence lies decides what a ranking of chunks finds.
        parts += ["spans"] if measure.is_rank and f"{split}.spans" in digests else []
        data = {"corpus": digests["corpus"], **{part: digests[f"{split}.{part}"] for part in parts}}
        made = self.measured(measure)
        return digest_of([data, made.sample, made.settings])

    def measured(self, measure: Measure) -> MeasurementInputs:
        """What a measurement identity is made of beside the data."""
        given = self.plan.generation_sample
        sample = None if measure.is_rank else digest_of(given.query_ids)
        if given.contexts and not measure.is_rank:
            shown = [list(given.contexts.items()), [list(reference) for reference in given.references.values()]]
            sample = digest_of([sample, shown])
        settings = scoring.measurement_settings(measure, self.settings)
        if self._asks_in_conversations and not measure.is_rank and scoring.judges_turns(measure, self.settings):
            settings["judged_turns"] = JUDGED_TURNS
        return MeasurementInputs(sample=sample, settings=settings)

    @cached_property
    def _asks_in_conversations(self) -> bool:
        histories = self.dataset.splits[self.split].histories
        return any(query_id in histories for query_id in self.references)

    def score_key(self, key: str, split: str, measure: Measure) -> str:
        """The key of the scores of an artifact: equal contents under an equal identity share it."""
        return digest_of(["scores", self.store.content_digest(key), self.identity(measure, split)])

    def remarks(self) -> list[str]:
        """What a reader must know of the judge, if one is asked."""
        suite = self.plan.suite
        if suite.llm.judge is None or not any(map(self.is_judged, self.measures)):
            return []
        uncalibrated = [
            f"{name} rests on {suite.utility.right}, for which the judge {suite.llm.judge.model} is not calibrated, so "
            f"it is advisory and gates nothing; 'harness judge SUITE --labels FILE' compares it with people."
            for name in self.uncalibrated()
        ]
        return [*uncalibrated, *judges.kin(suite)]
