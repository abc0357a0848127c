"""The judge of a suite: its chat, its settings, and whether it is calibrated.

A calibration is stored under the identity of measure, judge and prompts, so another model, temperature or version of
ragas is another judge.
"""

from __future__ import annotations

import logging
from pathlib import Path

from harness import scoring
from harness.hashing import digest_of
from harness.judge.calibration import Calibration
from harness.llm import Chat
from harness.llm.services import Services
from harness.models.loaders import locate, model_digest
from harness.suite.roles import EMBEDDED_PREFIX, Judge
from harness.suite.spec import Suite
from harness.text import ENGLISH
from harness.values.measures import Measure

FOLDER = "calibrations"
DECIDING = ("faithfulness", "factual_correctness", "rubric")
"""Judged measures that may decide what is right."""
log = logging.getLogger(__name__)


def settings_of(suite: Suite, root: Path, language: str | None = None) -> scoring.AnswerSettings:
    """Return the settings of answer measures, without a chat; `asked_by` adds one.

    `language` is that of the dataset; without it, the one that the suite names.
    """
    model, named = suite.pipeline.retriever.model, suite.dataset.language
    language = language or (ENGLISH if named == "auto" else named)
    settings = scoring.AnswerSettings(
        suite.utility,
        suite.answer_format,
        locate(model),
        model_digest(model),
        language=language,
        abstention=scoring.AbstentionRule(suite.abstention_sentences, language),
        level=suite.evaluate.relevance_level,
        exclude_own=suite.evaluate.exclude_own,
    )
    judge = suite.llm.judge
    if judge is None:
        return settings
    identity = {**judge.identity, **({"digest": model_digest(judge.model)} if judge.in_process else {})}
    judging = scoring.JudgeSettings(None, identity, judge.repeats, suite.rubric, at_once=judge.max_concurrency)
    settings = settings._replace(judge=judging)
    known = frozenset(name for name in DECIDING if passed(root, Measure(name), settings, judge))
    return settings._replace(judge=judging._replace(calibrated=known))


def asked_by(settings: scoring.AnswerSettings, chat: Chat) -> scoring.AnswerSettings:
    """Return the settings with a chat that judges."""
    assert settings.judge is not None
    return settings._replace(judge=settings.judge._replace(chat=chat))


def chat_of(suite: Suite, services: Services, converted: Path | None) -> Chat:
    """Return the chat that judges: an endpoint, or a model in this process (`converted`, if it is a GGUF model)."""
    judge = suite.llm.judge
    assert judge is not None
    if not judge.in_process:
        from harness.llm.endpoint import EndpointChat

        return EndpointChat("judge", services)
    from harness.llm.local import LocalChat

    folder = converted or locate(judge.model)
    return LocalChat(folder, judge.model, judge.max_tokens, judge.temperature or 0.0, judge.seed or 0, judge.local)


def place_of(root: Path, measure: Measure, settings: scoring.AnswerSettings) -> Path:
    """Return the path of a calibration. The rule of abstention is not part of its identity."""
    plain = settings._replace(language=ENGLISH, abstention=scoring.AbstentionRule())
    return root / FOLDER / f"{digest_of(scoring.measurement_settings(measure, plain))}.json"


def calibration_of(root: Path, measure: Measure, settings: scoring.AnswerSettings) -> Calibration | None:
    """Return the stored calibration; None if there is none or, with a warning, if it cannot be read."""
    place = place_of(root, measure, settings)
    try:
        return Calibration.model_validate_json(place.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        log.warning("%s is no calibration of this version; calibrate the judge again", place)
        return None


def passed(root: Path, measure: Measure, settings: scoring.AnswerSettings, judge: Judge) -> bool:
    """Return whether the judge was calibrated for a measure and reached the bar of the suite."""
    calibration = calibration_of(root, measure, settings)
    return calibration is not None and calibration.reaches(judge.min_auroc, judge.accepted_from)


def family_of(model: str) -> str:
    """Return the family of a model by its name: the first word, without maker, version and size."""
    name = model.removeprefix(EMBEDDED_PREFIX).rsplit("/", 1)[-1].casefold()
    letters = "".join(letter if letter.isalpha() else " " for letter in name).split()
    return letters[0] if letters else name


def kin(suite: Suite) -> list[str]:
    """Return a remark if the judge is of the same model family as the generator or the synthesizer."""
    judge, generator = suite.llm.judge, suite.generator
    if judge is None:
        return []
    answering = suite.answerer.model if suite.answerer else generator.model if generator else ""
    makers = {"the generator": answering, "the synthesizer": suite.llm.synthesizer.model}
    same = [who for who, model in makers.items() if model and family_of(model) == family_of(judge.model)]
    if not same:
        return []
    return [
        f"The judge ({judge.model}) is of the same family as {' and '.join(same)}: models tend to favour their kind."
    ]
