"""By which sentences a suite lets a generator decline, and which answers are told to be one of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pocket
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.planning.plan import build_plan
from harness.scoring import AbstentionRule, is_abstention
from harness.scoring.answers import abstention_table, has_format, utility
from harness.suite.declining import AbstentionSentences, own_sentences
from harness.suite.files import load_suite
from harness.suite.pipeline import Generator
from harness.suite.recipes import ABSTENTION
from harness.suite.spec import Utility
from harness.values.records import Answer, Reference

quick = settings(max_examples=60)
IF = "If the passages do not hold the answer, "


@pytest.mark.parametrize(("instruction", "sentence"), [
    (Generator().instruction, ABSTENTION),
    ("Beantworte die Frage. Wenn die Passagen die Antwort nicht enthalten, schreibe genau: Keine Angabe in den Unterlagen.", "Keine Angabe in den Unterlagen."),
    ("Steht die Antwort nicht in den Passagen, antworte mit „Keine Angabe in den Unterlagen.“ Sei kurz.", "Keine Angabe in den Unterlagen."),
    ("If you cannot find the answer, reply with NO_ANSWER_FOUND.", "NO_ANSWER_FOUND"), (f"{IF}write N/A.", "N/A"),
    (f'{IF}say "I don\'t know" and nothing else.', "I don't know"), (f"{IF}output: [NO ANSWER]", "[NO ANSWER]"),
    ("Answer 'UNKNOWN' if the passages do not contain the answer.", "UNKNOWN"),
    (f"{IF}respond with exactly this sentence:\nNot found in the manuals.", "Not found in the manuals."),
    ("The passages may not hold the answer. In that case write exactly: Not stated. Be brief.", "Not stated."),
    ("Otherwise write exactly: nothing found", "nothing found"), ("When they are silent write exactly: Silent.", "Silent."),
    ("Never say 'I think'. If it is not there, say 'not there'.", "not there"),
    ("如果上下文中没有答案，请回答：“无法从上下文中得知。”", "无法从上下文中得知。"), ("如果资料中没有答案，请准确地写：资料中没有提到。", "资料中没有提到。"),
    ("文脈に答えがない場合は「文脈からはわかりません」と答えてください。", "文脈からはわかりません"),
    ("إذا لم تكن الإجابة في السياق، اكتب بالضبط: لا توجد معلومات كافية.", "لا توجد معلومات كافية."),
    ("Si le contexte ne contient pas la réponse, réponds « Je ne sais pas ».", "Je ne sais pas"),
    ("Si la respuesta no está en el contexto, responde exactamente: No consta.", "No consta."), ("Если ответа нет, напиши «Нет данных».", "Нет данных"),
        ("When they do not answer it, your answer must be exactly: No answer.", "No answer."),
        ("Keep answers to one word. If unanswerable: UNANSWERABLE", "UNANSWERABLE"),
        (f'{IF}write: "Keine Antwort" (without quotes).', "Keine Antwort"),
        ("Als het antwoord niet in de tekst staat, antwoord dan met 'Niet vermeld'.", "Niet vermeld"),
        ("Ist die Antwort nicht enthalten, antworte ausschließlich mit: Nicht enthalten.", "Nicht enthalten."),
        ("If you don't know the answer, just say that you don't know, don't try to make up an answer.", None),
    # What an instruction quotes for another reason.
    ("Be short.", None), ('Answer in JSON: {"answer": "..."}. Do not add text.', None), ('Answer yes or no. Do not write "maybe".', None),
    ('Begin with "Answer:" and cite.', None), ("Copy the name exactly: no abbreviations.", None), ('Reply "yes" if supported, "no" if not.', None),
    ('If the claim is not supported, answer "no".', None), ('Do not answer with "According to the passage".', None),
    ("If you do not find a unit, answer: value only.", None), ("Return the name, e.g. `scipy.linalg.inv`.", None), ("", None),
])  # fmt: skip
def test_the_sentence_of_an_instruction(instruction: str, sentence: str | None) -> None:
    assert own_sentences(instruction) == ((sentence,) if sentence else ())


words = (
    st.text("abcdefghij XYZ", min_size=3, max_size=30)
    .map(lambda text: " ".join(text.split()))
    .filter(lambda text: len(text) > 2)
)


@quick
@given(sentence=words)
def test_a_quoted_sentence_is_found_and_counts(sentence: str) -> None:
    assert own_sentences(f'{IF}write "{sentence}".') == (sentence,)
    rule = AbstentionRule((sentence,))
    for answer in (
        sentence,
        f"{sentence.upper()}.",
        f'"{sentence}"',
        f"  {sentence}!\n",
        f"Answer: {sentence}",
        f"{sentence}. More.",
    ):
        assert is_abstention(answer, rule)
    assert is_abstention(f"{sentence} ist das", rule) == is_abstention(f"{sentence} ist das")


@pytest.mark.parametrize(("answer", "counts"), [
    ("Keine Angabe in den Unterlagen.", True), ("keine angabe in den unterlagen", True), ("**Keine Angabe in den Unterlagen**", True),
    ("Antwort: Keine Angabe", False), ("Antwort: Keine Angabe in den Unterlagen.", True), ("**Antwort:** Keine Angabe in den Unterlagen.", True), ("Keine Angabe in den Unterlagen\nDie Passagen handeln von Öfen.", True), ("NO_ANSWER_FOUND", True), ("no answer found.", True),
    ("NO_ANSWER_FOUND: the passages are silent", True), ("Unknown Pleasures", False), ("Unknown", True), ("N/A", True),
    ("Es gibt keine Angabe in den Unterlagen über Blei, sondern über Zinn.", False), ("neun Stunden", False),
])  # fmt: skip
def test_own_sentences(answer: str, counts: bool) -> None:
    rule = AbstentionRule(("Keine Angabe in den Unterlagen.", "NO_ANSWER_FOUND", "Unknown", "N/A"))
    assert is_abstention(answer, rule) is counts


REFUSALS = [
    "Keine Angabe in den Unterlagen.", "Das geht aus dem Kontext nicht hervor.", "Aus den Passagen geht nicht hervor, wie lange.", "Dazu enthalten die Passagen keine Informationen.",
    "Die Unterlagen enthalten dazu nichts.", "Ich weiß es nicht.", "Die Frage lässt sich anhand der Passagen nicht beantworten. Das lässt sich aus dem Text nicht beantworten.",
    "无法从上下文中得知。", "根据提供的资料，无法回答。文中没有提到。", "文中没有提到这一点。", "我不知道。", "抱歉，无法从上下文中找到答案。", "上下文中没有相关信息。",
    "文脈からはわかりません。", "この文章には記載がありません。", "わかりません。", "提供された情報からは回答できません。",
    "لا توجد معلومات في السياق.", "لا يذكر النص ذلك.", "لا أعرف.", "المعلومات غير متوفرة في السياق.",
    "Je ne sais pas.", "Le contexte ne mentionne pas cette information.", "L'information n'est pas disponible.", "No lo sé.", "El texto no menciona esto.", "No hay información en el contexto.",
]  # fmt: skip
ANSWERS = [
    "neun Stunden", "Das ist in Berlin nicht üblich.", "Die Quelle enthält keine Salze.", "Der Ofen darf nicht geöffnet werden.", "Keine Salze", "nichts als Wasser", "Man weiß es nicht genau, wohl neun.",
    "九小时", "不能打开窑门", "材料不包含铅", "无铅釉", "没有盐", "不知道火候的人不能开窑", "九時間", "開けてはいけません", "鉛を含まない", "ありません", "外見からはわかりません",
    "تسع ساعات", "لا يفتح الباب", "لا تكنس الأرضية جافة", "غير الأبيض", "Le document ne contient pas de sel.", "neuf heures", "Rien", "La información no está cifrada.", "No se abre la puerta", "No menos de nueve horas",
]  # fmt: skip


@pytest.mark.parametrize("answer", REFUSALS[:6] + REFUSALS[7:8] + REFUSALS[9:])
def test_clear_refusals_count_where_the_language_is_not_english(answer: str) -> None:
    assert is_abstention(answer, AbstentionRule(language="de"))


@pytest.mark.parametrize("answer", ANSWERS)
def test_answers_are_no_refusals(answer: str) -> None:
    assert not is_abstention(answer, AbstentionRule(language="zh"))
    assert not is_abstention(answer)


@pytest.mark.parametrize("answer", ["无法从上下文中得知。", "Das geht aus dem Kontext nicht hervor.", "لا أعرف."])
def test_an_english_suite_reads_as_it_always_did(answer: str) -> None:
    assert not is_abstention(answer)


def test_every_count_goes_by_the_same_rule() -> None:
    rule, text = AbstentionRule(("NO_ANSWER_FOUND",)), "NO_ANSWER_FOUND"
    assert utility(Utility(), text, False, None, rule) == 1.0
    assert utility(Utility(), text, True, 0.0, rule) == 0.0
    assert has_format(r"\d+", text, rule) == 1.0
    references = {"a": Reference("a", ("x",)), "b": Reference("b", (), False)}
    answers = {key: Answer(key, text, 0, 0) for key in references}
    table = abstention_table("s", 0, answers, references, rule)
    assert (table.answerable_abstained, table.unanswerable_abstained) == (1, 1)


def test_identities_change_with_sentences_only() -> None:
    assert AbstentionRule().identity == 1
    assert AbstentionRule(("x",)).identity == {"version": 1, "sentences": ["x"]}
    assert AbstentionRule((), "de").identity == {"version": 1, "language": "de", "phrases": 1}


# in a suite


def of(**changes: Any) -> Any:
    return pocket.suite({key.replace("__", "."): value for key, value in changes.items()})


def test_the_default_instruction_names_no_sentence_of_its_own() -> None:
    suite = of()
    assert (suite.abstention_sentences, suite.abstention_sentence) == ((), ABSTENTION)


@pytest.mark.parametrize("name", sorted(path.name for path in (Path(__file__).parent.parent / "suites").iterdir()))
def test_shipped_suites_count_as_they_did(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("covidqa", "scifact", "squad2"):
        (tmp_path / folder).mkdir()
    monkeypatch.setenv("HARNESS_DATA", str(tmp_path))
    monkeypatch.setenv("OPENAI_BASE_URL", "http://localhost/v1")
    suite, _ = load_suite(name)
    assert (suite.abstention_sentences, suite.abstention_sentence) == ((), ABSTENTION)


def test_a_suite_s_sentences() -> None:
    suite = of(abstention={"sentences": ["  Keine   Angabe. ", "NO_ANSWER"]})
    assert suite.abstention_sentences == ("Keine Angabe.", "NO_ANSWER")
    # The default instruction still tells the generator what to write.
    assert suite.abstention_sentence == ABSTENTION
    told = of(
        pipeline__generator={"instruction": f"{IF}write exactly: Nothing found."},
        abstention={"sentences": ["NO_ANSWER"]},
    )
    assert told.abstention_sentences == ("Nothing found.", "NO_ANSWER")
    assert told.abstention_sentence == "Nothing found."
    silent = of(pipeline__generator={"instruction": "Be short."}, abstention={"sentences": ["NO_ANSWER"]})
    assert silent.abstention_sentence == "NO_ANSWER"
    assert of(pipeline__generator=None, measures=["ndcg@10"]).abstention_sentence == ABSTENTION


@pytest.mark.parametrize("sentences", [["..."], [""], ["a", "a"]])
def test_a_sentence_that_is_none_is_refused(sentences: list[str]) -> None:
    with pytest.raises(ValidationError):
        AbstentionSentences(sentences=sentences)


def test_examples_and_training_decline_by_the_suite_s_sentence() -> None:
    changes = {"candidates": {"answers": {"tune": ["generator"]}}, "measures": ["ndcg@10", "token_f1"]}

    def sentences(**more: Any) -> dict[str, set[str]]:
        plan = build_plan(pocket.suite({**changes, **more}), pocket.dataset())
        calls = [planned.call for planned in plan.calls.values()]
        return {
            stage: {call.spec.get("sentence", "") for call in calls if call.stage == stage}
            for stage in ("instruct", "answer")
        }

    assert sentences() == {"instruct": {ABSTENTION}, "answer": {ABSTENTION}}
    told = sentences(**{"pipeline.generator": {"instruction": f"{IF}write exactly: NO_ANSWER"}})
    # Only the prompt with examples in it shows the sentence.
    assert told == {"instruct": {"NO_ANSWER"}, "answer": {ABSTENTION, "NO_ANSWER"}}
