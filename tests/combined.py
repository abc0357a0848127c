"""Invented outcomes in which parts are combined: all tunings of three parts, and settings beside trainings.

Like those of `outcomes`, every function returns a new Outcome.
"""

from __future__ import annotations

from typing import Any

from outcome_ledger import MARGINS, digest
from outcomes import QUERIES, ROWS, gains, normal, summaries, system

from harness.values.effects import Effect
from harness.values.findings import Comparison, Outcome, Summary, SystemInfo
from harness.values.frozen import Verdict
from harness.values.gains import BestUntrained

# fmt: off
COMBINATIONS: dict[str, tuple[tuple[float, float, float], tuple[float, float, float, Verdict], float]] = {
    # ndcg@10 of its lists, recall, mrr; the gain in utility; seconds to make
    "retriever":                    ((0.6003, 0.9431, 0.5627), ( 0.0250, -0.0513, 0.1009, "inconclusive"),  845.2),
    "reranker":                     ((0.6153, 0.9106, 0.5811), ( 0.0333, -0.0441, 0.1105, "inconclusive"), 1211.7),
    "generator":                    ((0.5603, 0.9106, 0.5198), ( 0.1417,  0.0561, 0.2270, "improved"),     2384.0),
    "retriever-reranker":           ((0.6163, 0.9431, 0.5823), ( 0.0333, -0.0452, 0.1114, "inconclusive"), 2003.5),
    "retriever-generator":          ((0.6003, 0.9431, 0.5627), ( 0.1667,  0.0745, 0.2588, "improved"),     3260.9),
    "reranker-generator":           ((0.6153, 0.9106, 0.5811), ( 0.1750,  0.0839, 0.2661, "improved"),     3611.2),
    "retriever-reranker-generator": ((0.6163, 0.9431, 0.5823), ( 0.1833,  0.0902, 0.2764, "improved"),     4440.8),
}
EFFECTS: tuple[tuple[Any, ...], ...] = (
    ("main", "ndcg@10", ("retriever",), "", (0.0205, 0.0043, 0.0367, 0.0051), "adds"),
    ("main", "ndcg@10", ("reranker",), "", (0.0355, 0.0161, 0.0549, 0.0001), "adds"),
    ("main", "ndcg@10", ("generator",), "", (0.0, 0.0, 0.0, 1.0), "changes nothing"),
    ("interaction", "ndcg@10", ("retriever", "reranker"), "", (-0.0390, -0.0601, -0.0179, 0.0002), "absorb"),
    ("simple", "ndcg@10", ("retriever",), "-reranker", (0.0400, 0.0189, 0.0611, 0.0001), "adds"),
    ("simple", "ndcg@10", ("retriever",), "+reranker", (0.0010, -0.0122, 0.0142, 0.9998), "could not tell"),
    ("simple", "ndcg@10", ("reranker",), "-retriever", (0.0550, 0.0302, 0.0798, 0.0001), "adds"),
    ("simple", "ndcg@10", ("reranker",), "+retriever", (0.0160, -0.0019, 0.0339, 0.0993), "could not tell"),
    ("main", "utility", ("retriever",), "", (0.0146, -0.0287, 0.0579, 0.9231), "could not tell"),
    ("main", "utility", ("reranker",), "", (0.0229, -0.0194, 0.0652, 0.6120), "could not tell"),
    ("main", "utility", ("generator",), "", (0.1438, 0.0763, 0.2113, 0.0001), "adds"),
    ("interaction", "utility", ("retriever", "reranker"), "", (-0.0208, -0.0907, 0.0491, 0.9604), "could not tell"),
    ("interaction", "utility", ("retriever", "generator"), "", (0.0042, -0.0601, 0.0685, 0.9999), "could not tell"),
    ("interaction", "utility", ("reranker", "generator"), "", (0.0125, -0.0502, 0.0752, 0.9977), "could not tell"),
    ("simple", "utility", ("retriever",), "-reranker", (0.0250, -0.0316, 0.0816, 0.8214), "could not tell"),
    ("simple", "utility", ("retriever",), "+reranker", (0.0042, -0.0524, 0.0608, 0.9999), "could not tell"),
    ("simple", "utility", ("reranker",), "-retriever", (0.0333, -0.0233, 0.0899, 0.5541), "could not tell"),
    ("simple", "utility", ("reranker",), "+retriever", (0.0125, -0.0441, 0.0691, 0.9971), "could not tell"),
    ("simple", "utility", ("retriever",), "-generator", (0.0125, -0.0441, 0.0691, 0.9971), "could not tell"),
    ("simple", "utility", ("retriever",), "+generator", (0.0167, -0.0399, 0.0733, 0.9741), "could not tell"),
    ("simple", "utility", ("generator",), "-retriever", (0.1417, 0.0701, 0.2133, 0.0001), "adds"),
    ("simple", "utility", ("generator",), "+retriever", (0.1459, 0.0743, 0.2175, 0.0001), "adds"),
    ("simple", "utility", ("reranker",), "-generator", (0.0167, -0.0399, 0.0733, 0.9741), "could not tell"),
    ("simple", "utility", ("reranker",), "+generator", (0.0292, -0.0274, 0.0858, 0.7102), "could not tell"),
    ("simple", "utility", ("generator",), "-reranker", (0.1375, 0.0659, 0.2091, 0.0001), "adds"),
    ("simple", "utility", ("generator",), "+reranker", (0.1500, 0.0784, 0.2216, 0.0001), "adds"),
)
ABSORBED = {"retriever": 0.975, "reranker": 0.7091}
# fmt: on


def effect(kind: Any, measure: str, parts: tuple[str, ...], other: str, numbers: Any, finding: Any) -> Effect:
    """`other` is ``+part`` or ``-part``: another part that is tuned, or is not."""
    difference, low, high, p_value = numbers
    return Effect(
        kind=kind,
        measure=measure,
        parts=parts,
        given=(other[1:],) if other.startswith("+") else (),
        without=(other[1:],) if other.startswith("-") else (),
        difference=difference,
        low=low,
        high=high,
        p_value=p_value,
        margin=MARGINS[measure],
        n_queries=QUERIES["judged" if "@" in measure else "answers"],
        n_groups=98 if "@" in measure else 61,
        finding=finding,
        absorbed=ABSORBED[parts[0]] if measure == "ndcg@10" and other.startswith("+") else None,
    )


def effects() -> tuple[Effect, ...]:
    return tuple(effect(*row) for row in EFFECTS)


def _combination(name: str) -> tuple[SystemInfo, list[Summary], list[Comparison]]:
    rank, (gain, low, high, verdict), seconds = COMBINATIONS[name]
    changes = {"name": name, "tunes": tuple(name.split("-")), "identity": digest(50 + len(name))}
    costs = {"build_seconds": seconds, "build_dollars": seconds / 3600 * 0.05}
    info = system("retriever").model_copy(update=changes | costs)
    means = (*rank, *(mean + gain / 3 for mean in (0.15, 0.232, 0.4251)), -0.275 + gain)
    rows = [
        row.model_copy(update={"system": name, "mean": mean})
        for row, mean in zip(summaries("retriever"), means, strict=True)
    ]
    difference = rank[0] - 0.5603
    bounds: dict[str, Any] = {"low": difference - 0.028, "high": difference + 0.028, "verdict": "improved"}
    if not difference:
        bounds = {"low": 0.0, "high": 0.0, "p_value": 1.0, "verdict": "equivalent"}
    ndcg, utility = gains("retriever")
    return (
        info,
        rows,
        [
            ndcg.model_copy(update={"system": name, "difference": difference, **bounds}),
            utility.model_copy(
                update={"system": name, "difference": gain, "low": low, "high": high, "verdict": verdict}
            ),
        ],
    )


def factorial(**changes: Any) -> Outcome:
    """All combinations of three tuned parts: the reranker absorbs what the retriever gains."""
    base = normal()
    made = [_combination(name) for name in COMBINATIONS]
    values: dict[str, Any] = {
        "title": "Which parts should be tuned on COVID-QA?",
        "systems": (*(row for row in base.systems if row.role == "baseline"), *(info for info, _, _ in made)),
        "summaries": (
            *(row for row in base.summaries if row.system in ROWS),
            *(row for _, rows, _ in made for row in rows),
        ),
        "comparisons": (
            *(row for row in base.comparisons if row.system in ROWS),
            *(row for _, _, rows in made for row in rows),
        ),
        "abstentions": (),
        "ledger": (),
        "effects": effects(),
        "calls_planned": 61,
        "calls_without_sharing": 148,
    }
    return normal(**values | changes)


# ---- settings as candidates

LATE = "late-interaction"
FACTORS = {"retriever": ("untuned", "tuned"), "reranker": ("none", "late-interaction", "tuned")}
# fmt: off
LEVELS: tuple[tuple[Any, ...], ...] = (
    # kind, factor=level of what varies, with or without another level, numbers, finding
    ("main", ("retriever=tuned",), "", (0.0290, 0.0081, 0.0499, 0.0011), "adds"),
    ("main", ("reranker=late-interaction",), "", (0.0730, 0.0511, 0.0949, 0.0001), "adds"),
    ("main", ("reranker=tuned",), "", (0.0810, 0.0570, 0.1050, 0.0001), "adds"),
    ("interaction", ("retriever=tuned", "reranker=late-interaction"), "", (-0.0310, -0.051, -0.0109, 0.0008), "absorb"),
    ("interaction", ("retriever=tuned", "reranker=tuned"), "", (-0.0050, -0.0310, 0.0210, 0.9802), "could not tell"),
    ("simple", ("retriever=tuned",), "-reranker", (0.0411, 0.0124, 0.0698, 0.0018), "adds"),
    ("simple", ("retriever=tuned",), "+reranker=late-interaction", (0.0101, -0.0102, 0.0304, 0.8010), "could not tell"),
    ("simple", ("reranker=late-interaction",), "-retriever", (0.0885, 0.0650, 0.1120, 0.0001), "adds"),
    ("simple", ("reranker=late-interaction",), "+retriever=tuned", (0.0575, 0.0340, 0.0810, 0.0001), "adds"),
    ("simple", ("retriever=tuned",), "+reranker=tuned", (0.0361, 0.0100, 0.0622, 0.0040), "adds"),
    ("simple", ("reranker=tuned",), "-retriever", (0.0835, 0.0590, 0.1080, 0.0001), "adds"),
    ("simple", ("reranker=tuned",), "+retriever=tuned", (0.0785, 0.0530, 0.1040, 0.0001), "adds"),
)
# fmt: on


def level_effect(kind: Any, levels: tuple[str, ...], other: str, numbers: Any, finding: Any) -> Effect:
    """`other` is ``+factor=level`` or ``-factor``: another factor at that level, or at its reference."""
    plain = effect(kind, "ndcg@10", tuple(level.split("=")[0] for level in levels), "", numbers, finding)
    held, _, level = other[1:].partition("=")
    update: dict[str, Any] = {"levels": tuple(level.split("=")[1] for level in levels)}
    if other.startswith("+"):
        update |= {"given": (held,), "given_levels": (level,)}
    elif other:
        update |= {"without": (held,)}
    return plain.model_copy(update=update)


def with_settings(**changes: Any) -> Outcome:
    """A candidate that trains nothing is the best on dev; one training improves on it, another does not."""
    base = normal()
    settings = ("reranker.kind=late-interaction", "reranker.depth=50")
    late = system("hybrid").model_copy(
        update={"name": LATE, "role": "candidate", "changes": settings, "build_seconds": 61.2, "build_dollars": 0.001}
    )
    ndcg = gains("hybrid")[0].model_copy(update={"system": LATE})
    wins = {"difference": 0.0885, "low": 0.0610, "high": 0.1160, "p_value": 0.0001, "verdict": "improved"}
    more = {"difference": 0.1203, "low": 0.0911, "high": 0.1495, "p_value": 0.0001, "verdict": "improved"}
    less = {"difference": -0.0474, "low": -0.0702, "high": -0.0246, "p_value": 0.0003, "verdict": "regressed"}
    over = {"difference": 0.0318, "low": 0.0103, "high": 0.0533, "p_value": 0.0021, "verdict": "improved"}
    mine = {"tunes": ("retriever", "reranker"), "changes": settings[:1]}
    values: dict[str, Any] = {
        "title": "Does late interaction pay on COVID-QA, and tuning on top of it?",
        "systems": (
            *(info for info in base.systems if info.role == "baseline"),
            late,
            system("retriever"),
            system("retriever").model_copy(update={"name": "staged", "identity": digest(91), **mine}),
        ),
        "summaries": (
            *(row for row in base.summaries if row.system in (*ROWS, "retriever")),
            *(
                row.model_copy(update={"system": name, "mean": (row.mean or 0.0) + gain})
                for name, gain in ((LATE, 0.0885), ("staged", 0.1203))
                for row in summaries("untuned")
            ),
        ),
        "comparisons": (
            *(row for row in base.comparisons if row.system in (*ROWS, "retriever")),
            ndcg.model_copy(update=wins),
            ndcg.model_copy(update=more | {"system": "staged"}),
            ndcg.model_copy(update=less | {"family": "untrained", "system": "retriever"}),
            ndcg.model_copy(update=over | {"family": "untrained", "system": "staged"}),
        ),
        "best_untrained": BestUntrained(
            system=LATE, measure="ndcg@10", means={"untuned": 0.5512, "bm25": 0.5401, "hybrid": 0.5822, LATE: 0.6417}
        ),
        "factors": FACTORS,
        "effects": tuple(level_effect(*row) for row in LEVELS),
        "abstentions": (),
        "ledger": (),
    }
    return normal(**values | changes)


def many(copies: int = 5) -> Outcome:
    """As `with_settings`, with more trainings of both kinds, some of whose names are long."""
    base = with_settings()
    copied = ("retriever", "staged")
    names = {f"{name}-copy{number * '-of-a-copy'}": name for number in range(copies) for name in copied}

    def with_copies(rows: Any, field: str) -> tuple[Any, ...]:
        by_name = {name: [row for row in rows if getattr(row, field) == name] for name in copied}
        return (*rows, *(row.model_copy(update={field: new}) for new, name in names.items() for row in by_name[name]))

    rows = {"systems": "name", "summaries": "system", "comparisons": "system"}
    return base.model_copy(update={name: with_copies(getattr(base, name), field) for name, field in rows.items()})
