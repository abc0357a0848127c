"""Invented outcomes that look like real ones, for tests of what reads outcomes.

Every function returns a new Outcome; `normal` is the one that the others vary.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from outcome_ledger import ANSWER as ANSWER
from outcome_ledger import MARGINS as MARGINS
from outcome_ledger import MEASURES as MEASURES
from outcome_ledger import RANK as RANK
from outcome_ledger import digest as digest
from outcome_ledger import ledger as ledger
from outcome_ledger import ledger_row as ledger_row
from outcome_ledger import provenance as provenance
from outcome_ledger import spec as spec

from harness.data import formats
from harness.results.outcomes import SCORE_COLUMNS
from harness.values.effects import RecipeClaim
from harness.values.findings import (
    AbstentionCounts,
    Comparison,
    DatasetInfo,
    Outcome,
    ServingCost,
    Summary,
    SystemInfo,
    Timing,
)
from harness.values.frozen import Verdict

DETECTABLE = {"ndcg@10": 0.0273, "utility": 0.0741}
QUERIES = {"judged": 246, "answers": 120}

ROWS = ("closed-book", "bm25", "hybrid", "untuned", "few-shot", "oracle-context")
CANDIDATES = ("retriever", "retriever-judged")

# fmt: off
MEANS: dict[str, tuple[float | None, ...]] = {
    "closed-book":      (None,   None,   None,   0.0083, 0.0412, 0.2147, -0.6583),
    "bm25":             (0.5312, 0.8537, 0.5044, 0.1417, 0.2218, 0.4120, -0.2917),
    "hybrid":           (0.5874, 0.9268, 0.5521, 0.1583, 0.2391, 0.4302, -0.2583),
    "untuned":          (0.5603, 0.9106, 0.5198, 0.1500, 0.2320, 0.4251, -0.2750),
    "few-shot":         (0.5603, 0.9106, 0.5198, 0.1750, 0.2577, 0.4398, -0.2083),
    "oracle-context":   (None,   None,   None,   0.2917, 0.3846, 0.5518,  0.0250),
    "retriever":        (0.6014, 0.9431, 0.5627, 0.1667, 0.2466, 0.4377, -0.2500),
    "retriever-judged": (0.5481, 0.9024, 0.5063, 0.1417, 0.2287, 0.4218, -0.2917),
}
GAINS: dict[str, tuple[tuple[float, float, float, float, Verdict] | None, ...]] = {
    "closed-book":      (None, (-0.3833, -0.4912, -0.2741, 0.0002, "regressed")),
    "bm25":             ((-0.0291, -0.0702, 0.0119, 0.2731, "inconclusive"), (-0.0167, -0.0961, 0.0628, 0.9655, "inconclusive")),  # noqa: E501
    "hybrid":           ((0.0271, 0.0004, 0.0538, 0.0461, "improved"), (0.0167, -0.0622, 0.0958, 0.9702, "inconclusive")),  # noqa: E501
    "few-shot":         ((0.0, 0.0, 0.0, 1.0, "equivalent"), (0.0667, -0.0154, 0.1491, 0.1604, "inconclusive")),
    "oracle-context":   (None, (0.3000, 0.1957, 0.4039, 0.0002, "improved")),
    "retriever":        ((0.0411, 0.0124, 0.0698, 0.0018, "improved"), (0.0250, -0.0513, 0.1009, 0.8863, "inconclusive")),  # noqa: E501
    "retriever-judged": ((-0.0122, -0.0467, 0.0226, 0.8214, "inconclusive"), (-0.0167, -0.0958, 0.0625, 0.9655, "inconclusive")),  # noqa: E501
}
COSTS: dict[str, tuple[float, float | None, float | None, float | None]] = {
    "closed-book":      (0.0,   None,  None,  1043.2),
    "bm25":             (3.8,   1.42,  2.31,  1311.9),
    "hybrid":           (97.4,  19.84, 25.6,  1338.0),
    "untuned":          (93.6,  17.92, 22.74, 1334.5),
    "few-shot":         (93.6,  17.92, 22.74, 1719.3),
    "oracle-context":   (0.0,   None,  None,  1302.7),
    "retriever":        (845.2, 17.95, 22.81, 1334.6),
    "retriever-judged": (412.9, 17.88, 22.69, 1334.4),
}
# fmt: on


def system(name: str, seed: int = 0, **changes: Any) -> SystemInfo:
    seconds, p50, p95, total = COSTS[name]
    candidate = name in CANDIDATES
    parts = tuple(part for part in ("retrieve" if p50 else "", "answer" if total else "") if part)
    values: dict[str, Any] = {
        "name": name,
        "seed": seed,
        "role": "candidate" if candidate else "baseline",
        "tunes": ("retriever",) if candidate else (),
        "identity": digest(7 * len(name) + seed + 1),
        "build_seconds": seconds,
        "build_dollars": seconds / 3600 * 0.05,
        "serving": ServingCost(
            parts=parts,
            retrieval=Timing(part="retrieval", n=100, p50_ms=p50, p95_ms=p95) if p50 and p95 else None,
            total=Timing(part="total", n=30, p50_ms=total * 0.71, p95_ms=total) if total else None,
            dollars_per_1000=(total or p95 or 0.0) * 0.71 / 3600 * 0.05,
        ),
    }
    return SystemInfo(**values | changes)


def summaries(name: str, seed: int = 0) -> list[Summary]:
    return [
        Summary(
            system=name, seed=seed, measure=measure, mean=mean, n=QUERIES["judged" if "@" in measure else "answers"]
        )
        for measure, mean in zip(MEASURES, MEANS[name], strict=True)
        if mean is not None
    ]


def gains(name: str, seed: int = 0) -> list[Comparison]:
    found = []
    for (measure, margin), gain in zip(MARGINS.items(), GAINS[name], strict=True):
        if gain is None:
            continue
        difference, low, high, p_value, verdict = gain
        found.append(
            Comparison(
                family="gain",
                system=name,
                seed=seed,
                measure=measure,
                difference=difference,
                low=low,
                high=high,
                p_value=p_value,
                margin=margin,
                detectable=DETECTABLE[measure],
                n_queries=QUERIES["judged" if "@" in measure else "answers"],
                n_groups=98 if "@" in measure else 61,
                verdict=verdict,
            )
        )
    return found


def normal(**changes: Any) -> Outcome:
    """Two candidates, all reference rows, retrieval and answers."""
    names = ROWS + CANDIDATES
    values: dict[str, Any] = {
        "suite": "covidqa",
        "split": "test",
        "title": "Does tuning the retriever pay on COVID-QA?",
        "created": "2025-11-23T16:40:12Z",
        "seconds": 1284.0,
        "provenance": provenance(),
        "spec": spec(),
        "dataset": DatasetInfo(
            name="covidqa",
            digest=digest(3),
            documents=3842,
            queries={"train": 1021, "dev": 187, "test": 271},
            groups=98,
            judged=246,
            answerable=246,
            unanswerable=25,
            answered=120,
            digests={"corpus": digest(4), "queries": digest(5), "qrels": digest(6)},
            source={"licence": "Apache-2.0"},
        ),
        "settings": {
            "test documents": "may be written about by synthesize",
            "depth": "100 documents a query",
            "intervals": "95 %, sign flips by group, 5,000 times",
        },
        "measures": MEASURES,
        "identities": {name: digest(20 + number) for number, name in enumerate(MEASURES)},
        "systems": tuple(system(name) for name in names),
        "summaries": tuple(row for name in names for row in summaries(name)),
        "comparisons": tuple(row for name in names if name != "untuned" for row in gains(name)),
        "abstentions": tuple(
            AbstentionCounts(
                system=name,
                seed=0,
                answerable_answered=97 - number,
                answerable_abstained=11 + number,
                unanswerable_answered=9,
                unanswerable_abstained=3,
            )
            for number, name in enumerate(names)
        ),
        "timings": (
            Timing(part="retrieve", n=100, p50_ms=17.92, p95_ms=22.74),
            Timing(part="answer", n=30, p50_ms=929.6, p95_ms=1311.8),
        ),
        "ledger": ledger(),
    }
    return Outcome(**values | changes)


def failed_candidate() -> Outcome:
    """A candidate whose training died, and a few answers that a reference row could not give."""
    base = normal()
    reason = "tune_retriever: out of memory | killed at <3.1 GB>"
    lost = {"few-shot": 7}
    rows = [row for row in base.summaries if row.system != "retriever-judged"]
    return normal(
        systems=tuple(
            system(row.name, failed=reason, serving=None) if row.name == "retriever-judged" else row
            for row in base.systems
        ),
        summaries=(
            *(
                row.model_copy(update={"failed": lost[row.system], "n": row.n - lost[row.system]})
                if row.system in lost and "@" not in row.measure
                else row
                for row in rows
            ),
            *(Summary(system="retriever-judged", seed=0, measure=name, mean=None, n=0, failed=246) for name in RANK),
        ),
        comparisons=tuple(_failed(row) if row.system == "retriever-judged" else row for row in base.comparisons),
        abstentions=tuple(row for row in base.abstentions if row.system != "retriever-judged"),
        queries_without_run={"bm25": 3, "untuned": 0},
        times_scored=4,
    )


def _failed(row: Comparison) -> Comparison:
    changes = dict.fromkeys(("difference", "low", "high", "p_value", "detectable"))
    failed = row.n_queries
    return row.model_copy(update=changes | {"verdict": "failed", "failed": failed, "reason": "it has no scores"})


def no_generator() -> Outcome:
    """A pipeline of a retriever alone."""
    base = normal()
    names = ("bm25", "hybrid", "untuned", *CANDIDATES)

    def serving(info: SystemInfo) -> ServingCost | None:
        return info.serving and info.serving.model_copy(
            update={"total": info.serving.retrieval, "parts": ("retrieve",)}
        )

    return normal(
        systems=tuple(
            info.model_copy(update={"serving": serving(info)}) for info in base.systems if info.name in names
        ),
        summaries=tuple(row for row in base.summaries if row.system in names and row.measure in RANK),
        comparisons=tuple(row for row in base.comparisons if row.system in names and row.measure in RANK),
        abstentions=(),
        timings=base.timings[:1],
        not_run=dict.fromkeys(ANSWER, "no generator in the pipeline"),
    )


def no_op() -> Outcome:
    """A candidate whose lists are those of `untuned`, byte by byte."""
    base = normal()
    same = {"system": "retriever", "seed": 0}
    untuned = {row.measure: row for row in base.summaries if row.system == "untuned"}
    zero = {"difference": 0.0, "low": 0.0, "high": 0.0, "p_value": 1.0, "verdict": "equivalent"}
    return normal(
        systems=tuple(
            info.model_copy(update={"same_run_as": "untuned"}) if info.name == "retriever" else info
            for info in base.systems
        ),
        summaries=tuple(
            untuned[row.measure].model_copy(update=same) if row.system == "retriever" else row for row in base.summaries
        ),
        comparisons=tuple(
            row.model_copy(update=zero) if row.system == "retriever" else row for row in base.comparisons
        ),
    )


def few_groups() -> Outcome:
    """A test set of fourteen groups, on which nothing can be told."""
    base = normal()
    changes = {"n_groups": 14, "n_queries": 40, "low": -0.0524, "high": 0.1341, "verdict": "inconclusive"}
    return normal(
        dataset=base.dataset.model_copy(update={"groups": 14, "judged": 40, "queries": {"dev": 12, "test": 40}}),
        summaries=tuple(row.model_copy(update={"n": 40}) for row in base.summaries),
        comparisons=tuple(
            row.model_copy(update=changes | {"detectable": 0.0934, "p_value": 0.4114}) for row in base.comparisons
        ),
    )


def regressions() -> tuple[Comparison, ...]:
    """The second family: differences to accepted scores, one of them of a system that is gone."""
    gain = gains("retriever")[0]
    values = {"difference": -0.0312, "low": -0.0521, "high": -0.0103, "p_value": 0.0021, "verdict": "regressed"}
    return (
        gain.model_copy(update=values | {"family": "regression"}),
        _failed(gain).model_copy(
            update={
                "family": "regression",
                "system": "distilled",
                "verdict": "missing",
                "failed": 0,
                "reason": "absent",
            }
        ),
    )


# ---- several seeds


def claim(system: str, measure: str, gains: tuple[float, ...], **changes: Any) -> RecipeClaim:
    mean = sum(gains) / len(gains)
    values: dict[str, Any] = {
        "system": system,
        "measure": measure,
        "seeds": tuple(range(len(gains))),
        "gains": gains,
        "difference": mean,
        "between_seeds": (sum((gain - mean) ** 2 for gain in gains) / (len(gains) - 1)) ** 0.5,
        "margin": MARGINS[measure],
        "n_queries": QUERIES["judged" if "@" in measure else "answers"],
        "n_groups": 98 if "@" in measure else 61,
    }
    return RecipeClaim(**values | changes)


def several_seeds() -> Outcome:
    """Two candidates with three seeds each: one is a gain of the recipe, one differs so much that nobody can tell."""
    base = normal()
    seeds = range(3)
    return normal(
        title="Does the gain hold for another training?",
        systems=(
            *(row for row in base.systems if row.role == "baseline"),
            *(system(name, seed) for name in CANDIDATES for seed in seeds),
        ),
        summaries=(
            *(row for row in base.summaries if row.system in ROWS),
            *(row for name in CANDIDATES for seed in seeds for row in summaries(name, seed)),
        ),
        comparisons=(
            *(row for row in base.comparisons if row.system in ROWS),
            *(row for name in CANDIDATES for seed in seeds for row in gains(name, seed)),
        ),
        abstentions=(),
        ledger=(),
        recipe_claims=(
            claim("retriever", "ndcg@10", (0.0411, 0.0362, 0.0398), low=0.0098, high=0.0682, p_value=0.0024,
                  detectable=0.0411, verdict="improved"),
            claim("retriever", "utility", (0.0250, 0.0417, 0.0083), low=-0.0764, high=0.1264, p_value=1.0,
                  detectable=0.1298, verdict="inconclusive"),
            claim("retriever-judged", "ndcg@10", (-0.0122, 0.0311, 0.0047), low=-0.1102, high=0.1259, p_value=1.0,
                  detectable=0.1401, verdict="inconclusive"),
            claim("retriever-judged", "utility", (-0.0167, 0.0083, -0.0083), low=-0.0951, high=0.0839, p_value=1.0,
                  detectable=0.1197, verdict="inconclusive"),
        ),
    )  # fmt: skip


QUERIES_PUT = 80


def put(store: Path, outcome: Outcome, means: dict[str, float], failed: str = "", noise: float = 0.05) -> Path:
    """Write an outcome as a run leaves it, with scores of ndcg@10 around these means."""
    folder = store / "outcomes" / outcome.suite / re.sub(r"\W", "", outcome.created)
    rows: list[dict[str, Any]] = []
    hard = np.random.default_rng(7).normal(0, 0.1, QUERIES_PUT)
    for info in outcome.systems:
        # Of its own, so that a system's scores do not depend on which others there are.
        generator = np.random.default_rng([*info.name.encode(), info.seed])
        for number in range(QUERIES_PUT):
            broken = info.name == failed and number == 3
            value = float(means[info.name] + hard[number] + generator.normal(0, noise)) if info.name in means else None
            rows.append(
                {
                    "system": info.name, "seed": info.seed, "split": outcome.split, "query_id": f"q{number}",
                    "group": f"g{number // 2}", "measure": "ndcg@10", "value": None if broken else value,
                    "status": "failed" if broken else "ok" if value is not None else "not_applicable",
                    "reason": "broken" if broken else "", "spread": None,
                }
            )  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    formats.write_parquet(folder / "scores.parquet", rows, SCORE_COLUMNS)
    (folder / "outcome.json").write_text(outcome.model_dump_json(), encoding="utf-8")
    latest = folder.with_name("latest")
    latest.unlink(missing_ok=True)
    latest.symlink_to(folder.name)
    return folder
