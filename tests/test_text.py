"""Words by language, over scripts that no dataset of ours is in; English as it always was."""

from __future__ import annotations

import json
from pathlib import Path

import pocket
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.data.datasets import load_dataset
from harness.models.search import Bm25Index
from harness.scoring.answers import normalised_tokens, token_f1
from harness.scoring.ragas_measures import Case, score_cases
from harness.suite.sources import DatasetSource as DatasetSpec
from harness.text import asks, detect, name_of, parse_language, text_of
from harness.text.detection import of_text
from harness.text.scripts import canonical
from harness.values.measures import Measure
from harness.values.records import Document

GOLDEN = Path(__file__).parent / "golden" / "english.json"
quick = settings(max_examples=60)
TEXTS = {
    "en": "The kiln must cool for nine hours before the door is opened.",
    "de": "Der Ofen muss neun Stunden abkühlen, bevor die Tür geöffnet wird.",
    "fr": "Le four doit refroidir pendant neuf heures avant que la porte ne soit ouverte.",
    "es": "El horno debe enfriarse durante nueve horas antes de que se abra la puerta.",
    "it": "Il forno deve raffreddarsi per nove ore prima che la porta sia aperta, e non di più.",
    "pt": "O forno deve arrefecer durante nove horas antes de a porta ser aberta, e não mais do que isso.",
    "nl": "De oven moet negen uur afkoelen voordat de deur wordt geopend, en niet eerder dan dat.",
    "sv": "Ugnen måste svalna i nio timmar och det är inte bra att öppna den för tidigt.",
    "pl": "Piec musi stygnąć przez dziewięć godzin i nie należy go otwierać wcześniej, bo to jest złe.",
    "cs": "Pec musí chladnout devět hodin a dveře se nesmějí otevřít dříve, protože je to na škodu.",
    "tr": "Fırın kapısı açılmadan önce dokuz saat soğumalı ve bu süre için kapı kapalı olarak kalmalıdır.",
    "vi": "Lò phải nguội trong chín giờ trước khi mở cửa và không được mở sớm.",
    "ru": "Печь должна остывать девять часов, прежде чем откроют дверцу.",
    "uk": "Піч має остигати дев'ять годин, перш ніж відчинять дверцята.",
    "el": "Ο φούρνος πρέπει να κρυώσει εννέα ώρες πριν ανοίξει η πόρτα.",
    "ar": "يجب أن يبرد الفرن تسع ساعات قبل فتح الباب.",
    "fa": "کوره باید نه ساعت خنک شود تا در آن باز شود.",
    "ur": "بھٹی کو دروازہ کھولنے سے پہلے نو گھنٹے ٹھنڈا ہونا ہے۔",
    "he": "התנור חייב להתקרר תשע שעות לפני שפותחים את הדלת.",
    "hi": "भट्ठी को दरवाज़ा खोलने से पहले नौ घंटे ठंडा होना है।",
    "ko": "가마는 문을 열기 전에 아홉 시간 동안 식혀야 한다.",
    "ja": "窯は扉を開ける前に九時間冷まさなければならない。",
    "zh": "窑炉开门之前必须冷却九小时。",
    "th": "เตาเผาต้องเย็นลงเก้าชั่วโมงก่อนเปิดประตู",
    "my": "မီးဖိုကို တံခါးမဖွင့်မီ ကိုးနာရီ အအေးခံရမည်။",
    "km": "ឡត្រូវត្រជាក់ប្រាំបួនម៉ោងមុនពេលបើកទ្វារ។",
    "ka": "ღუმელი ცხრა საათი უნდა გაცივდეს.",
    "ta": "உலை ஒன்பது மணி நேரம் குளிர வேண்டும்.",
}


@pytest.mark.parametrize("code", TEXTS)
def test_a_language_is_told_by_one_sentence(code: str) -> None:
    assert of_text(TEXTS[code]) == code


@pytest.mark.parametrize(("texts", "language"), [
    ([], "en"), (["", " "], "en"), (["KX-100", "42", "👍"], "en"),
    ([TEXTS["zh"]] * 19 + [TEXTS["en"]], "zh"),
    ([TEXTS["zh"]] * 17 + [TEXTS["en"]] * 3, "zh+en"),
    ([TEXTS["en"]] * 18 + [TEXTS["zh"]] * 2, "en+zh"),
    # A few texts of another language with the same letters change nothing.
    ([TEXTS["en"]] * 18 + [TEXTS["fr"]] * 2, "en"),
    ([TEXTS["en"]] * 6 + [TEXTS["de"]] * 4, "en+de"),
    # A parts list in which one text happens to have foreign words.
    ([f"KX-{n} SR-{n}" for n in range(20)] + [TEXTS["fr"]] * 2, "en"),
    # Titles without kana in a Japanese corpus.
    ([TEXTS["ja"]] * 5 + ["会社概要"] * 5, "ja"),
    # Code in Chinese documents, and Chinese names in English ones.
    ([f"{TEXTS['zh']} `scipy.linalg.inv(a, overwrite_a=False)`"] * 4, "zh"),
    ([f"{TEXTS['en']} The potter 王明 signed it."] * 4, "en"),
])  # fmt: skip
def test_the_language_of_a_corpus(texts: list[str], language: str) -> None:
    assert detect(texts).language == language


def test_our_own_data_set_is_english() -> None:
    assert pocket.dataset().language == "en"
    assert pocket.dataset().detected.certain


@pytest.mark.slow
def test_documentation_with_code_in_it_is_english() -> None:
    dataset = load_dataset(DatasetSpec(builder="scipy-api", symbols=60), "test")
    assert dataset.detected.certain
    assert dataset.language == "en"


@pytest.mark.parametrize(("text", "code"), [
    ("auto", "auto"), ("en", "en"), (" DE ", "de"), ("zh-CN", "zh"), ("pt_BR", "pt"), ("nb", "no"), ("en+zh", "en+zh"),
    ("zh + zh-TW", "zh"), ("sw", "sw"),
])  # fmt: skip
def test_codes(text: str, code: str) -> None:
    assert parse_language(text) == code
    assert DatasetSpec(path="x", language=text).language == code


def test_a_bare_no_is_norwegian() -> None:
    assert DatasetSpec.model_validate({"path": "x", "language": False}).language == "no"


def test_a_language_that_is_none_is_refused_with_a_hint() -> None:
    with pytest.raises(ValidationError, match="'german' is not a language code of ISO 639; did you mean 'de'"):
        DatasetSpec(path="x", language="german")
    with pytest.raises(ValidationError, match="'qq' is not a language code"):
        DatasetSpec(path="x", language="en+qq")


def test_names() -> None:
    assert [name_of(code) for code in ("de", "sw", "zh+en")] == ["German (de)", "sw", "Chinese (zh) and English (en)"]


# English as it always was


def english() -> dict[str, object]:
    documents = list(pocket.dataset().documents.values())
    texts = [document.content for document in documents[:4]] + [
        "scipy.linalg.inv(a, b=3.5) isn't O(n^3), don't",
        "C3PO é ß",
    ]
    return {
        "search": text_of("en").search(texts),
        "answer": [normalised_tokens(text) for text in texts],
        "f1": [token_f1(texts[number - 1], text) for number, text in enumerate(texts)],
    }


def test_english_is_read_as_it_always_was() -> None:
    """The golden file was written by the functions as they were before there were languages."""
    assert english() == json.loads(GOLDEN.read_text(encoding="utf-8"))


def test_english_lists_are_what_bm25s_alone_gives(tmp_path: Path) -> None:
    import bm25s
    import Stemmer

    documents = list(pocket.dataset().documents.values())
    Bm25Index.save(tmp_path, documents)
    index = Bm25Index(tmp_path)
    plain = bm25s.BM25()
    words = {"stopwords": "en", "stemmer": Stemmer.Stemmer("english"), "return_ids": False, "show_progress": False}
    plain.index(bm25s.tokenize([document.content for document in documents], **words), show_progress=False)
    for query in pocket.dataset().splits["test"].queries.values():
        known = [token for token in bm25s.tokenize([query.text], **words)[0] if token in plain.vocab_dict]
        assert list(index.scores(query.text)) == list(plain.get_scores(known))
    assert not (tmp_path / "language.json").exists()


@pytest.mark.parametrize(("code", "text"), [("zh", "👍"), ("en", "the"), ("de", "")])
def test_a_corpus_without_a_word_is_searched_in_vain(code: str, text: str, tmp_path: Path) -> None:
    Bm25Index.save(tmp_path, [Document("a", "", text), Document("b", "", text)], code)
    assert Bm25Index(tmp_path).search(["kiln", text, ""], 5) == [[], [], []]


# words


@pytest.mark.parametrize(("code", "text", "words"), [
    ("zh", "必须冷却９小时，GPU 用 scipy.linalg.inv。", "必 须 冷 却 9 小 时 gpu 用 scipy linalg inv"),
    ("ja", "ｶﾀｶﾅとABC①", "カ タ カ ナ と abc1"),
    ("ko", "가마는 9시간", "가 마 는 9 시 간"),
    ("ru", "Печь №4: ёлка, ПЕЧЬ", "печь no4 ёлка печь"),
    ("hi", "हिन्दी भाषा, ३ घंटे।", "हिन्दी भाषा 3 घंटे"),
    ("he", "הַתַּנּוּר, התנור", "התנור התנור"),
    ("ar", "الطِّينُ والطـــين ٣٥", "الطين والطين 35"),
    ("fa", "می‌خواهم می خواهم", "ميخواهم مي خواهم"),
    ("de", "Straße STRASSE Öfen", "strasse strasse öfen"),
    ("tr", "IŞIK İstanbul", "ışık istanbul"),
    ("fr", "L'argile d\u2019été e\u0301te\u0301", "l argile d été été"),
    ("vi", "nguội trong chín giờ", "nguội trong chín giờ"),
    ("de", "👍", "👍"),
    ("zh", "", ""),
])  # fmt: skip
def test_words(code: str, text: str, words: str) -> None:
    assert text_of(code).words(text) == words.split()


def test_thai_is_read_in_characters_with_their_marks() -> None:
    assert text_of("th").words("ชั่วโมง") == ["ชั่", "ว", "โ", "ม", "ง"]


@pytest.mark.parametrize(("code", "one", "other"), [
    ("de", "Die Öfen kühlen ab", "Ofen kühlt"), ("ru", "печи остывают", "печь остыла"), ("fr", "les fours refroidissent", "four"),
    ("ar", "الأفران والطين", "الطين"), ("zh", "四号窑炉必须冷却", "窑炉"), ("ja", "四号窯は冷ます", "四号窯の温度"),
    ("ko", "가마는 식혀야 한다", "가마를 식힌다"), ("ko", "물은 끓는다", "물"),
        ("ko", "서울은 수도이다", "서울"),
        ("ja", "国際標準化に関する動向", "国際標準化"),
        ("ar", "والطين الجاف", "الطين"),
        ("th", "เตาเผาต้องเย็น", "เตาเผา"), ("hi", "घंटे ठंडा", "घंटों"),
    ("es", "los hornos eléctricos", "horno eléctrico"), ("zh", "用 scipy.linalg.inv 求逆", "scipy.linalg.inv"),
    ("en+zh", "The kilns 窑炉", "窑炉"), ("en+zh", "The kilns 窑炉", "kiln"), ("zh", "温度１２８０度", "1280度"),
])  # fmt: skip
def test_bm25_finds_other_forms_of_a_word(code: str, one: str, other: str, tmp_path: Path) -> None:
    Bm25Index.save(tmp_path, [Document("a", "", one), Document("b", "", "xyz 123")], code)
    index = Bm25Index(tmp_path)
    assert index.language == code
    assert [doc_id for doc_id, _ in index.search([other], 5)[0]] == ["a"]


@pytest.mark.parametrize(("code", "answer", "reference", "value"), [
    ("zh", "必须冷却九小时", "九小时", 0.6),
    ("zh", "九小时。", "９小时", 2 / 3),
    ("zh", "９小时", "9小时", 1.0),
    ("ja", "九時間です", "九時間", 0.75),
    ("ko", "아홉 시간입니다", "아홉 시간", 8 / 11),
    ("th", "เก้าชั่วโมง", "เก้าชั่วโมง", 1.0),
    ("de", "Es sind die neun Stunden", "neun Stunden", 2 / 3),
    ("de", "der Ofen", "Ofen", 1.0),
    ("de", "Straße", "STRASSE", 1.0),
    ("ar", "القماش", "قماش", 1.0),
    ("fr", "l'argile", "argile", 1.0),
    ("ru", "девять часов", "девять", 2 / 3),
    ("zh", "👍", "👍", 1.0),
    ("zh", "👍", "👎", 0.0),
    ("zh", "用 scipy.linalg.inv", "scipy.linalg.inv", 6 / 7),
    ("en", "必须冷却九小时", "九小时", 0.0),
])  # fmt: skip
def test_token_f1_by_language(code: str, answer: str, reference: str, value: float) -> None:
    assert token_f1(answer, reference, code) == pytest.approx(value)
    assert token_f1(reference, answer, code) == pytest.approx(value)


@pytest.mark.parametrize("code", [*TEXTS, "en+zh", "sw"])
def test_an_equal_answer_is_right_by_every_string_measure(code: str) -> None:
    language, text = code, TEXTS.get(code, TEXTS["zh"] + TEXTS["en"])
    assert token_f1(text, text, language) == 1.0
    for name in ("exact_match", "rouge_l", "string_similarity"):
        assert score_cases(Measure(name), {"q": Case(text, (text,))}, None, language)["q"].value == 1.0


@pytest.mark.parametrize("text", ["九小时", "Девять часов", "👍", "عشر"])
def test_rouge_sees_other_scripts_in_an_english_suite(text: str) -> None:
    assert score_cases(Measure("rouge_l"), {"q": Case(text, (text,))}, None)["q"].value == 1.0
    assert score_cases(Measure("rouge_l"), {"q": Case(text, ("nine hours",))}, None)["q"].value == 0.0


def test_rouge_is_partial_where_no_spaces_are() -> None:
    value = score_cases(Measure("rouge_l"), {"q": Case("必须冷却九小时", ("九小时",))}, None, "zh")["q"].value
    assert value == pytest.approx(0.6)


@pytest.mark.parametrize(("code", "one", "other", "value"), [
    ("zh", "９小时", "9小时", 1.0), ("ar", "السَّاعة", "الساعه", 1.0), ("zh", "九小时。", "九小时", 0.0), ("de", "Ofen", "ofen", 0.0),
    ("fr", "e\u0301te\u0301", "été", 1.0), ("en", "９", "9", 0.0),
])  # fmt: skip
def test_exact_match_by_language(code: str, one: str, other: str, value: float) -> None:
    assert score_cases(Measure("exact_match"), {"q": Case(one, (other,))}, None, code)["q"].value == value


@pytest.mark.parametrize(("code", "text", "length"), [
    ("zh", "四号窑炉六小时后达到是什么情况？", 8), ("zh", "窑", 1), ("zh", "窑炉", 1), ("zh", "釉料配方", 2), ("ja", "釉薬のひび", 3),
    ("ko", "소성 온도", 2), ("de", "Risse in der Glasur", 4), ("zh", "GPU 温度", 2), ("en", "a b", 2), ("th", "เตาเผา", 3),
])  # fmt: skip
def test_lengths(code: str, text: str, length: int) -> None:
    assert text_of(code).length(text) == length


anything = st.text(st.characters(codec="utf-8"), max_size=30)
language = st.sampled_from(["zh", "ja", "de", "ar", "ko", "th", "hi", "ru", "tr", "en+zh", "fa+en"])


@quick
@given(text=anything, code=language)
def test_laws_of_words(text: str, code: str) -> None:
    texts = text_of(code)
    assert canonical(canonical(text)) == canonical(text)
    assert texts.words(f"  {text}\n") == texts.words(text)
    assert token_f1(text, text, code) == 1.0
    assert texts.length(text) >= 0
    assert all(token for token in texts.search([text])[0])
    assert all(set(shingle) <= set(texts.words(text)) for shingle in texts.shingles(text))


@quick
@given(one=anything, other=anything, code=language)
def test_token_f1_is_symmetric(one: str, other: str, code: str) -> None:
    assert 0 <= token_f1(one, other, code) == token_f1(other, one, code) <= 1


@pytest.mark.parametrize(("text", "expected"), [
    ("How long?", True), ("Wie lange kühlt er", True), ("窑炉要冷却多久", True), ("何時間冷ましますか", True), ("كم ساعة يبرد", True),
    ("가마는 몇 시간 식히나요", True), ("сколько часов", True), ("¿Cuánto dura", True), ("Explain the kiln", True),
    ("九小时", False), ("The kiln cools.", False), ("Der Ofen kühlt.", False), ("窑炉必须冷却九小时。", False),
])  # fmt: skip
def test_asks(text: str, expected: bool) -> None:
    assert asks(text) is expected


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps(english(), ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
