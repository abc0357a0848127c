"""Answer measures in plain Python: token overlap, keys, format, abstention, utility.

`BY_RULE` names the function of each measure; `values.measures.KINDS` says what it reads. This module must not know
ragas, ranx or models.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from harness.scoring.abstention import PLAIN, AbstentionRule, is_abstention
from harness.scoring.values import NO_REFERENCE, AnsweredQuery, AnswerSettings, QueryScore, failed
from harness.suite.spec import Utility
from harness.text import ENGLISH, text_of
from harness.values.findings import AbstentionCounts
from harness.values.measures import Measure
from harness.values.records import Answer, Reference


def normalised_tokens(text: str, language: str = ENGLISH) -> list[str]:
    """Return tokens as SQuAD counts them: lower case, no punctuation or articles; characters without spaces."""
    return text_of(language).answer(text)


def token_f1(answer: str, reference: str, language: str = ENGLISH) -> float:
    """Return the harmonic mean of precision and recall of tokens; without tokens on one side, 1 if neither has any."""
    written, wanted = normalised_tokens(answer, language), normalised_tokens(reference, language)
    if not written or not wanted:
        return float(written == wanted)
    common = (Counter(written) & Counter(wanted)).total()
    return 2 * common / (len(written) + len(wanted))


def find_key(pattern: str, text: str) -> str | None:
    """Return the first key in a text: the group ``key`` if the pattern has one, else all that matches.

    Full stops at its end belong to the sentence and are removed, those of Chinese and Japanese too. None if no key is
    found or nothing is left of it.
    """
    match = re.search(pattern, text)
    if match is None:
        return None
    key = match["key"] if "key" in match.re.groupindex else match[0]
    return (key or "").strip().rstrip(".。") or None


def key_match(pattern: str, answer: str, references: Iterable[str]) -> float:
    """Return 1 if the first key of the answer is that of any reference; raise ValueError if no reference has one."""
    wanted = {find_key(pattern, reference) for reference in references} - {None}
    if not wanted:
        raise ValueError("no reference answer holds a key of the answer format")
    return float(find_key(pattern, answer) in wanted)


def has_format(pattern: str, answer: str, abstention: AbstentionRule = PLAIN) -> float:
    """Return 1 if the whole answer, stripped of white space, matches the pattern, or if it is an abstention."""
    return float(re.fullmatch(pattern, answer.strip()) is not None or is_abstention(answer, abstention))


def abstains_rightly(answer: str, answerable: bool, abstention: AbstentionRule = PLAIN) -> float:
    """Return 1 if an unanswerable question was declined, or an answerable one was answered."""
    return float(is_abstention(answer, abstention) != answerable)


def utility(
    rule: Utility, answer: str, answerable: bool, right: float | None, abstention: AbstentionRule = PLAIN
) -> float:
    """Return the utility of an answer. `right` is its value on the deciding measure; needed only for real answers."""
    if is_abstention(answer, abstention):
        return 0.0 if answerable else 1.0
    if not answerable:
        return 0.0 - rule.wrong_cost
    if right is None:
        raise ValueError(f"{rule.right} has no value")
    return 1.0 if right >= rule.threshold else 0.0 - rule.wrong_cost


def utility_score(settings: AnswerSettings, answered: AnsweredQuery, right: QueryScore | None) -> QueryScore:
    """Return the utility of an answer, given its score on the measure that decides what is right.

    It has a value for every answer, unless that score of a real answer failed. Where the passages decide and none was
    shown, the answer is not right.
    """
    reference, abstention = answered.reference, settings.abstention
    decided = reference.answerable and not is_abstention(answered.text, abstention)
    if decided and right is not None and right.status == "failed":
        return right
    value = (right.value or 0.0) if right is not None else None
    return QueryScore(utility(settings.utility, answered.text, reference.answerable, value, abstention))


def same_text(answer: str, references: Iterable[str], language: str = ENGLISH) -> float:
    """Return 1 if the answer is one of the references, in canonical form: `exact_match` without ragas."""
    form = text_of(language).exact
    return float(form(answer) in {form(reference) for reference in references})


def utility_by_rule(text: str, reference: Reference, settings: AnswerSettings) -> float | None:
    """Return the utility of an answer where no LLM judges what is right; None if the reference cannot decide it.

    For choosing checkpoints: reported scores come from `scoring.score_answers`. Raises KeyError if an LLM decides.
    """
    answered, name = AnsweredQuery(text, reference), settings.utility.right
    if name == "exact_match":
        right = QueryScore(same_text(text, reference.answers, settings.language))
    else:
        right = score_by_rule(Measure(name), answered, settings)
    return utility_score(settings, answered, right).value


def score_by_rule(measure: Measure, answered: AnsweredQuery, settings: AnswerSettings) -> QueryScore:
    """Score an answer by a measure of `BY_RULE`; a ValueError of its function is the reason of a failure."""
    if measure.population == "answerable" and not answered.reference.answers:
        return failed(NO_REFERENCE)
    if measure.kind.zero_if_abstained and is_abstention(answered.text, settings.abstention):
        return QueryScore(0.0)
    try:
        return QueryScore(BY_RULE[measure.name](answered, settings))
    except ValueError as error:
        return failed(str(error))


def _pattern(settings: AnswerSettings) -> str:
    return settings.answer_format.pattern if settings.answer_format else ""


BY_RULE: Mapping[str, Callable[[AnsweredQuery, AnswerSettings], float]] = {
    "abstention": lambda one, by: abstains_rightly(one.text, one.reference.answerable, by.abstention),
    "format": lambda one, by: has_format(_pattern(by), one.text, by.abstention),
    "key_match": lambda one, by: key_match(_pattern(by), one.text, one.reference.answers),
    "token_f1": lambda one, by: max(token_f1(one.text, reference, by.language) for reference in one.reference.answers),
}
"""The function of each measure by rule: an answer with its reference, and the settings -> the value."""


def abstention_table(
    system: str,
    seed: int,
    answers: Mapping[str, Answer],
    references: Mapping[str, Reference],
    abstention: AbstentionRule = PLAIN,
) -> AbstentionCounts:
    """Count answers by (answerable, abstained). Questions without an answer on file are failures and not counted."""
    cells = Counter(
        (reference.answerable, is_abstention(answers[query_id].text, abstention))
        for query_id, reference in references.items()
        if query_id in answers
    )
    return AbstentionCounts(
        system=system,
        seed=seed,
        answerable_answered=cells[True, False],
        answerable_abstained=cells[True, True],
        unanswerable_answered=cells[False, False],
        unanswerable_abstained=cells[False, True],
    )
