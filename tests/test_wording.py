"""What is stripped from synthetic queries, what is dropped and for which reason, in several languages."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.stages.shared import common
from harness.stages.shared.wording import ANSWER, FAULTS, META, NO_QUERY, REFERENCE, REFUSAL, clean_query, fault_of
from harness.stages.sift import SiftSpec, copies, sift
from harness.suite.pipeline import Retriever
from harness.text import text_of
from harness.values.records import Document, Pair

quick = settings(max_examples=100)
PASSAGE = "1. FC Köln won the cup. 2. Bundesliga. Beethoven wrote the 7. Sinfonie in A."


@pytest.mark.parametrize(("written", "query"), [
    ("1. what happens when the kiln opens?", "what happens when the kiln opens?"),
    ("2) what happens?", "what happens?"), ("(3) what happens?", "what happens?"), ("[4] What?", "What?"),
    ("Question 1: what happens when it opens?", "what happens when it opens?"), ("Q1: What?", "What?"), ("Q1. What?", "What?"),
    ("Q2 What is it?", "What is it?"), ("**Question:** What is it?", "What is it?"), ("**1. What is it?**", "What is it?"),
    ("**Q2.** How long?", "How long?"), ("**2.** How long?", "How long?"), ("*Question 3* - How long?", "How long?"),
    ("**kiln** temperature", "kiln temperature"), ("2 ** 3 in Python", "2 ** 3 in Python"),
    ("Question: 1. What is it?", "What is it?"), ("- What is X?", "What is X?"), ("• ash glaze recipe", "ash glaze recipe"),
    ("> What is X?", "What is X?"), ("### What is X?", "What is X?"), ("a) What is glaze?", "What is glaze?"),
    ("ii) What is glaze?", "What is glaze?"), ("1.What is x?", "What is x?"), ("1 - What is?", "What is?"), ("#1 What is?", "What is?"),
    ("（1）什么是釉？", "什么是釉？"), ("1）什么是釉？", "什么是釉？"), ("1、窑炉要冷却多久？", "窑炉要冷却多久？"), ("①釉料是什么", "釉料是什么"),
    ("問1：釉薬とは何ですか？", "釉薬とは何ですか？"), ("问题2：什么是釉？", "什么是釉？"), ("質問：なぜ？", "なぜ？"), ("【1】什么是釉？", "什么是釉？"),
    ("１．釉薬とは何ですか？", "釉薬とは何ですか？"), ("Frage 1: Wie lange?", "Wie lange?"), ("سؤال 1: كم ساعة؟", "كم ساعة؟"),
    ("Вопрос 2: Сколько?", "Сколько?"), ("질문 1: 몇 시간?", "몇 시간?"), ("Pregunta: ¿Cuánto?", "¿Cuánto?"),
    ("Here is a question: What is X?", "What is X?"), ("Sure! Here's a question: What keeps X?", "What keeps X?"),
    ('"What is X?",', "What is X?"), ('{"queries": ["What is X?"]}', "What is X?"), ('["What is X?"]', "What is X?"),
    ("1. „Wie lange?“", "Wie lange?"), ("What\nis  X?", "What is X?"),
        ("第1問：なぜ？", "なぜ？"),
        ("问题一：什么是釉？", "什么是釉？"),
        ("一、什么是釉？", "什么是釉？"),
        ("一氧化碳中毒", "一氧化碳中毒"),
        ("Question 1 (easy): What?", "What?"),
        ("Keyword query: lime kiln", "lime kiln"),
    # Real beginnings.
    ("1. FC Köln cup winner", "1. FC Köln cup winner"), ("2. Bundesliga table", "2. Bundesliga table"), ("7. Sinfonie key", "7. Sinfonie key"),
    ("3D printing of clay", "3D printing of clay"), ("2024 revenue of the firm", "2024 revenue of the firm"), ("5S method", "5S method"),
    ("1.5 bar pressure", "1.5 bar pressure"), ("802.11 standard", "802.11 standard"), ("3.x API changes", "3.x API changes"),
    ("-5 degrees storage", "-5 degrees storage"), ("Q4 revenue 2024", "Q4 revenue 2024"), ("Q&A format", "Q&A format"),
    ("Question mark usage", "Question mark usage"), ("Queue length", "Queue length"), ("Query planner cost", "Query planner cost"),
    ("I/O ports", "I/O ports"), ("scipy.linalg.inv(a)", "scipy.linalg.inv(a)"), ("16:9 aspect ratio", "16:9 aspect ratio"),
    ("问题车辆如何召回", "问题车辆如何召回"), ("問題解決の手順", "問題解決の手順"), ("四号窑炉要冷却多久", "四号窑炉要冷却多久"),
    ("questions about lime", "questions about lime"), ("100 degrees in Fahrenheit", "100 degrees in Fahrenheit"), ("", ""),
])  # fmt: skip
def test_what_is_stripped(written: str, query: str) -> None:
    assert clean_query(written, PASSAGE) == query


@quick
@given(text=st.text(max_size=40))
def test_cleaning_again_changes_nothing(text: str) -> None:
    once = clean_query(text)
    assert clean_query(once) == once
    assert "\n" not in once


@quick
@given(mark=st.sampled_from(["1. ", "2) ", "(3) ", "- ", "Q1: ", "Question 12: ", "**Query:** ", "（1）", "問1：", "1、", "a) ", "* ", "> "]),
       query=st.sampled_from(["What cools the kiln?", "窑炉要冷却多久？", "كم ساعة يبرد الفرن؟", "ash glaze recipe", "Wie lange kühlt er?", "печь остывает"]))  # fmt: skip
def test_every_mark_goes_from_every_query(mark: str, query: str) -> None:
    assert clean_query(mark + query) == query
    assert clean_query(f'{mark}"{query}"') == query


BAD = {
    REFUSAL: [
        "I cannot generate a question about this.", "I'm sorry, but I can't help.", "Sorry, no.", "As an AI language model, I cannot",
        "As an AI, I", "Unfortunately, I am unable to", "Unable to generate a query", "I don't have enough information",
        "The passage does not mention any question.", "Information not available in the provided context.",
        "Tut mir leid, das geht nicht.", "Ich kann keine Frage stellen.", "Als KI-Modell kann ich", "Keine Angabe in den Unterlagen.",
        "抱歉，我无法生成问题。", "作为一个人工智能，", "无法从上下文中得知。", "申し訳ありませんが、生成できません。", "عذرًا، لا أستطيع", "Lo siento, no puedo",
        "Désolé, je ne peux pas", "Извините, я не могу", "죄송하지만 만들 수 없습니다",
    ],
    META: [
        "Here are two questions:",
        "Here's a question that can be formed from the given context:",
        "Here are two potential questions based on the provided context information:", "Here is the question you asked for", "Sure!", "Sure, here are two search queries", "Certainly! I will write it.",
        "Below are the keywords:", "The following are questions about the passage:", "Let me know if you need more.", "Questions:", "Output:",
        "Hier sind zwei Fragen:", "以下是两个问题：", "好的，", "以下は質問です：", "إليك سؤالين:", "Voici deux questions :", "Aquí tienes dos preguntas:",
    ],
    NO_QUERY: ['{"queries": ["What', "```json", '"queries": [', "{", "</passage>", '["What is'],
    REFERENCE: [
        "According to the passage, what happens when the kiln opens?",
        "From the text, what is X?",
        "As per the document, what is X?",
        "Based on this, what is X?",
        "What information is provided about X in the text?",
        "What is the purpose of the code snippet?",
        "In what year, as the article notes, was it built?",
        "根据这段话，什么是釉？",
        "ما الذي يتحدث عنه النص؟",
        "De quoi parle ce texte ?",
        "¿De qué trata el texto?",
        "Was wird im Abschnitt über Glasuren beschrieben?", "What is mentioned in the excerpt?", "Based on the given text, what is X?",
        "What does the author argue about tax?", "What is said about kilns in this document?", "What does the text above say about kilns?",
        "What is the main idea of the passage?", "What is this article about?", "As mentioned in the text, why does it cool?",
        "Which values are listed in the table above?", "What does the document say about the kiln?", "Why is the author of the opinion that it cools, according to the author?",
        "What does this paragraph describe?", "In the context provided, how long?", "What is the author's main argument?", "glaze recipe in this document",
        "Laut dem Text, wie lange kühlt der Ofen?", "Welche Temperatur wird im Text genannt?", "Was sagt der Autor über den Ofen?",
        "Wie lange kühlt der Ofen in diesem Abschnitt?", "Was steht im obigen Abschnitt über Glasuren?", "Gemäß der Passage, was geschieht?",
        "根据文章，窑炉要冷却多久？", "文中提到的温度是多少？", "这段文字的主要内容是什么？", "根据上述内容，窑炉要冷却多久？", "本文的主要观点是什么？", "作者认为窑炉应如何冷却？",
        "この文章によると、窯は何時間冷やしますか？", "本文で述べられている温度は？", "上記のテキストでは何が説明されていますか？", "筆者は何を主張していますか？",
        "وفقًا للنص، كم ساعة يبرد الفرن؟", "ما الفكرة الرئيسية في هذا المقطع؟", "بحسب الكاتب، لماذا يبرد الفرن؟",
        "Selon le texte, combien d'heures ?", "Según el pasaje, ¿cuántas horas?", "Согласно тексту, сколько часов?", "이 글에 따르면 몇 시간?", "지문에 따르면 몇 시간인가?",
        "Secondo il testo, quante ore?", "De acordo com o texto, quantas horas?", "Volgens de tekst, hoeveel uur?",
    ],
    ANSWER: ["The kiln cools for nine hours.", "Answer: nine hours", "A: nine hours", "九小时。", "Der Ofen kühlt neun Stunden.", "答案：九小时", "يبرد الفرن تسع ساعات."],
}  # fmt: skip


@pytest.mark.parametrize(("query", "reason"), [(query, reason) for reason, queries in BAD.items() for query in queries])
def test_what_is_no_query(query: str, reason: str) -> None:
    assert fault_of(clean_query(query), "question") == reason


GOOD = [
    "What happens when the kiln opens?",
    "How do I insert an image in the text?",
    "Which fields are required in the document?",
    "How do I search for a word in a document?", "Who is the author of Dune?", "How do I set the author of a commit in git?",
    "What must a document contain to be valid?", "How is the text encoded in UTF-8?", "How long is the passage through the canal?",
    "Explain how the kiln cools.", "How do I add a link in a document?", "How does article 5 of the treaty work?",
    "Wie lange kühlt der Ofen?", "Wie füge ich ein Bild in den Text ein?", "Was steht in den Unterlagen zur Kaution?",
    "窑炉要冷却多久？", "谁是《红楼梦》的作者？", "『雪国』の著者は誰ですか？", "كم ساعة يبرد الفرن؟", "من مؤلف كتاب الحيوان؟",
    "Which function computes the passage of time?", "What context manager closes files?", "Which section of the pipe is welded?",
    "Which paper size is A4?", "What does inv return when the input is not given?", "Where is the source of the Nile?", "How does a context provider work in React?",
    "文件怎么上传？", "论文的作者有几位？", "請問窯爐多久冷卻", "Сколько часов остывает печь?", "가마는 몇 시간 식히나요?", "Please explain scipy.linalg.inv?",
    "भट्ठी कितने घंटे ठंडी होती है?", "เตาเผาต้องเย็นกี่ชั่วโมง", "כמה שעות מתקרר התנור?", "What is the report of the auditor for?", "Can I refuse, and who decides?",
]  # fmt: skip
KEYWORDS = [
    "rite of passage meaning", "Northwest Passage ships", "text above image alignment css", "sorry sequence game rules", "as an AI researcher salary",
    "not available error 404", "unknown host exception", "sure-fire glaze recipe", "of course pricing", "no information leak policy", "code section highlighting",
    "here documents in bash", "json schema validation", "output voltage of a 7805", "passage planning ship", "窑炉冷却时间", "釉薬のひび", "أسباب تشقق الطلاء", "answer key format",
    "certainly not song lyrics", "scipy.linalg.inv", "C++ [[nodiscard]]", "std::vector<int>", "dict comprehension {}", "how-to guide", "author index",
]  # fmt: skip


@pytest.mark.parametrize(
    ("query", "kind"), [(query, "question") for query in GOOD] + [(query, "keyword") for query in KEYWORDS]
)
def test_what_is_a_query(query: str, kind: str) -> None:
    assert fault_of(clean_query(query), kind) is None


def test_a_claim_may_state() -> None:
    assert fault_of("The kiln cools for nine hours.", "claim") is None
    assert fault_of("The passage shows that the kiln cools.", "claim") == REFERENCE


@pytest.mark.parametrize(("query", "title", "copied"), [
    ("Ash glaze", "Ash glaze", True), ("Clay storage", "Clay storage", True), ("Potter wheel service", "Potter wheel service", True),
    ("ash  GLAZE?", "Ash glaze", True), ("Ash glaze", "How to mix an ash glaze", True), ("glaze ash", "Ash glaze", True),
    ("linalg.inv", "scipy.linalg.inv", True), ("Ash glaze recipe", "Ash glaze", False), ("What is ash glaze made of?", "Ash glaze", False),
    ("glaze crash", "ash glaze", False), ("Ash glaze", "", False),
])  # fmt: skip
def test_titles(query: str, title: str, copied: bool) -> None:
    assert copies(query, title, text_of("en")) is copied


@pytest.mark.parametrize(("query", "title", "copied"), [
    ("灰釉配方", "灰釉配方", True), ("灰釉", "灰釉配方", True), ("灰釉怎么调？", "灰釉配方", False), ("釉薬の調合", "灰釉薬の調合", True),
])  # fmt: skip
def test_titles_without_spaces(query: str, title: str, copied: bool) -> None:
    assert copies(query, title, text_of("zh")) is copied


def test_the_ledger_counts_by_reason_and_the_file_names_each(tmp_path: Path) -> None:
    parts = {name: tmp_path / name for name in ("corpus", "pairs", "out")}
    for place in parts.values():
        place.mkdir()
    common.write_corpus(parts["corpus"], {"d": Document("d", "Ash glaze", "Mix ash and clay.")})
    texts = [queries[0] for queries in BAD.values()] + [
        "What is mixed with ash?",
        "what is mixed with ash",
        "Ash glaze",
        "ash",
    ]
    common.write_pairs(parts["pairs"], [Pair(clean_query(text), "d", "question", "synthetic") for text in texts])
    spec = SiftSpec(leakage=0.6, round_trip=None, retriever=Retriever())
    usage = sift(spec, parts, parts["out"], 0, lambda done, total: None)
    wanted = dict.fromkeys(FAULTS, 1) | {
        "written": 9,
        "kept": 1,
        "too short": 1,
        "copied from the title": 1,
        "written twice": 1,
    }
    assert {
        **wanted,
        **dict.fromkeys(("asked about several passages", "too near a dev or test query", "not found again"), 0),
    } == usage.notes
    assert sum(count for name, count in usage.notes.items() if name not in ("written", "kept")) == 8
