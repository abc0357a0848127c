"""The languages with entries of their own: stems, stop words, articles, frequent words.

A language is written as ISO 639 does, ``de``; several of one corpus are joined, ``en+zh``, the most frequent first.
"""

from __future__ import annotations

from difflib import get_close_matches
from functools import cache
from typing import NamedTuple

ENGLISH = "en"
_ISO_639_1 = frozenset(
    "aa ab ae af ak am an ar as av ay az ba be bg bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en eo "
    "es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv ka "
    "kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng "
    "nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su "
    "sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu".split()
)
_OTHER_CODES = {"nb": "no", "nn": "no", "cmn": "zh", "yue": "zh", "iw": "he", "in": "id", "arb": "ar", "pes": "fa"}


class Language(NamedTuple):
    """`stemmer` is Snowball's name, `stop_words` the name that bm25s has for its list; None where there is none.

    `frequent` words distinguish the language from others of its script; `articles` are left out of answers.
    """

    code: str
    name: str
    script: str
    stemmer: str | None = None
    stop_words: str | None = None
    articles: str = ""
    frequent: str = ""


# fmt: off
_KNOWN = (
    Language("en", "English", "LATIN", "english", "en", "a an the",
             "the of and to is that for it as was with on by this are be from at or which has were have not what how"),
    Language("de", "German", "LATIN", "german", "de", "der die das den dem des ein eine einen einem einer eines",
             "der die das und ist nicht den von mit dem zu ein eine auf sich werden wird für bei auch als nach im wie"),
    Language("fr", "French", "LATIN", "french", "fr", "le la les l un une des du d",
             "le la les des et est une du dans pour que qui pas sur par avec plus au aux ce il elle sont ou être"),
    Language("es", "Spanish", "LATIN", "spanish", "es", "el la los las un una unos unas lo",
             "el la los las de que y es en del se por con una para como más al su está son lo pero ser qué cuál"),
    Language("pt", "Portuguese", "LATIN", "portuguese", "pt", "o a os as um uma uns umas",
             "o os de que e do da em não uma para com dos das se por mais na no ao é são foi como ser você seu sua"),
    Language("it", "Italian", "LATIN", "italian", "it", "il lo la i gli le l un uno una",
             "il lo gli di che e è non per una con del della dei delle nel nella si sono da come più anche al alla"),
    Language("nl", "Dutch", "LATIN", "dutch", "nl", "de het een",
             "de het een en van is dat op te in voor met niet zijn aan er om ook als bij door naar wordt worden deze"),
    Language("sv", "Swedish", "LATIN", "swedish", "sv", "en ett den det de",
             "och att det som en är av för på med den till inte ett om har de kan från vid eller så ska efter hur"),
    Language("no", "Norwegian", "LATIN", "norwegian", "no", "en ei et den det de",
             "og det er som en på av for med til ikke et den at har de kan fra ved eller så skal etter hvordan hva"),
    Language("da", "Danish", "LATIN", "danish", "da", "en et den det de",
             "og det er som en på af for med til ikke et den at har de kan fra ved eller så skal efter hvordan hvad"),
    Language("fi", "Finnish", "LATIN", "finnish", None, "",
             "ja on ei se että oli hän ovat myös joka kun tai voi mukaan kuin sen niin mutta ole vain jos mitä"),
    Language("hu", "Hungarian", "LATIN", "hungarian", None, "a az egy",
             "a az és hogy nem egy is van meg de ez volt csak vagy mint már azt ha lehet kell után által milyen hogyan"),
    Language("pl", "Polish", "LATIN", "polish", None, "",
             "w i na z nie się do jest to że o jak po przez od dla są za oraz był jego lub ale przed jaki jakie należy"),
    Language("cs", "Czech", "LATIN", "czech", None, "",
             "a se v na je že s z do o k i to jako za by pro po jsou ale od nebo který která které při aby jak musí"),
    Language("ro", "Romanian", "LATIN", "romanian", None, "un o niște",
             "și de în a la cu nu este o pe că din se pentru sunt un mai care sau după prin fi ce cum trebuie"),
    Language("tr", "Turkish", "LATIN", "turkish", "tr", "bir",
             "ve bir bu da de için ile olarak çok daha ne gibi var olan sonra kadar en ya değil mi nasıl önce nedir"),
    Language("ca", "Catalan", "LATIN", "catalan", None, "el la els les l un una uns unes",
             "el la els les de i que en un una és amb per del dels no es al com més ha són aquest aquesta però"),
    Language("id", "Indonesian", "LATIN", "indonesian", None, "",
             "yang dan di dengan untuk dari ini itu pada tidak adalah ke dalam akan oleh atau juga sebagai harus setelah"),
    Language("vi", "Vietnamese", "LATIN", None, None, "",
             "và của là có trong được cho không các với một những khi này để từ người như đã bao nhiêu phải sau trước"),
    Language("et", "Estonian", "LATIN", "estonian", None, "",
             "ja on ei et see oli ka kui mis aga või ning oma tema ole siis kes mida selle pärast tuleb enne"),
    Language("lt", "Lithuanian", "LATIN", "lithuanian", None, "",
             "ir yra kad į iš su ne tai kaip buvo bet ar per po nuo apie už jo jos turi būti prieš"),
    Language("ru", "Russian", "CYRILLIC", "russian", "ru", "",
             "и в не на что с как по это из для от к при или но его после должна быть за до так"),
    Language("uk", "Ukrainian", "CYRILLIC", None, None, "",
             "і в не на що з як та до у це для від або за при його після щоб але є має бути"),
    Language("bg", "Bulgarian", "CYRILLIC", None, None, "",
             "и на за да се от в с е не по че са като при към до след преди или това който как"),
    Language("sr", "Serbian", "CYRILLIC", "serbian", None, "",
             "и у је да на се за од са не су као или али што по после пре како"),
    Language("el", "Greek", "GREEK", "greek", None, "ο η το οι τα του της των τον την ένας μία ένα",
             "ο η το και να του της για με που είναι στο στην από δεν τα των οι"),
    Language("hy", "Armenian", "ARMENIAN", "armenian"),
    Language("ka", "Georgian", "GEORGIAN"),
    Language("ar", "Arabic", "ARABIC", "arabic", None, "ال",
             "في من على إلى عن أن إن ما هو هي هذا هذه التي الذي كان مع أو لا قد كل بعد قبل كم كيف متى أين هل ثم عند"),
    Language("fa", "Persian", "ARABIC", "persian", None, "",
             "و در به از که این را با است برای آن یک شود می تا بر بود پس باید شده چه چگونه"),
    Language("ur", "Urdu", "ARABIC", None, None, "", "کے میں کی ہے اور سے کا کو اس پر ہیں نے کہ یہ بھی کر ہو تھا جو گیا"),
    Language("he", "Hebrew", "HEBREW", None, None, "", "של את על הוא היא לא עם כי זה או גם אל אם יש כל בין אחרי לפני מה כמה איך"),
    Language("yi", "Yiddish", "HEBREW", "yiddish", None, "", "די און איז פון צו אין דער האט מיט נישט פאר אויף וואס"),
    Language("hi", "Hindi", "DEVANAGARI", "hindi", None, "", "के में की है और से का को पर हैं ने कि यह भी कर हो था जो एक नहीं बाद लिए"),
    Language("mr", "Marathi", "DEVANAGARI", None, None, "", "आहे आणि या ते हे च्या मध्ये ला तर होते नाही एक किंवा केला आहेत"),
    Language("ne", "Nepali", "DEVANAGARI", "nepali", None, "", "छ र को मा हो लाई पनि यो छन् भएको गर्न छैन एक तथा"),
    Language("bn", "Bengali", "BENGALI"),
    Language("ta", "Tamil", "TAMIL", "tamil"),
    Language("te", "Telugu", "TELUGU"),
    Language("kn", "Kannada", "KANNADA"),
    Language("ml", "Malayalam", "MALAYALAM"),
    Language("gu", "Gujarati", "GUJARATI"),
    Language("pa", "Punjabi", "GURMUKHI"),
    Language("si", "Sinhala", "SINHALA"),
    Language("am", "Amharic", "ETHIOPIC"),
    Language("bo", "Tibetan", "TIBETAN"),
    Language("ko", "Korean", "HANGUL"),
    Language("ja", "Japanese", "KANA"),
    Language("zh", "Chinese", "CJK"),
    Language("th", "Thai", "THAI"),
    Language("lo", "Lao", "LAO"),
    Language("km", "Khmer", "KHMER"),
    Language("my", "Burmese", "MYANMAR"),
)
# fmt: on
LANGUAGES = {language.code: language for language in _KNOWN}
EXTRA_STEMMERS = {"eu": "basque", "ga": "irish", "eo": "esperanto", "st": "sesotho"}


@cache
def language_of(code: str) -> Language:
    """Return the entry of a language; a code without one counts as a language in Latin script."""
    return LANGUAGES.get(code) or Language(code, code, "LATIN", EXTRA_STEMMERS.get(code))


def codes_of(language: str) -> tuple[str, ...]:
    """Return the codes in a joined language, the most frequent first."""
    return tuple(language.split("+"))


def name_of(language: str) -> str:
    """Return the name in words, ``German (de)``; of several, ``English (en) and Chinese (zh)``."""
    names = [
        f"{entry.name} ({code})" if (entry := language_of(code)).name != code else code for code in codes_of(language)
    ]
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def parse_language(text: str) -> str:
    """Return the short form of a code: ``zh-CN`` is ``zh``, ``EN`` is ``en``; ``auto`` stays. ValueError if unknown."""
    wanted = text.strip().lower()
    if wanted == "auto":
        return wanted
    codes: list[str] = []
    for part in wanted.split("+"):
        code = part.strip().replace("_", "-").split("-")[0]
        code = _OTHER_CODES.get(code, code)
        if code not in _ISO_639_1 and code not in LANGUAGES:
            raise ValueError(f"{part.strip()!r} is not a language code of ISO 639{_hint(code)}")
        codes += [code] if code not in codes else []
    return "+".join(codes)


def _hint(text: str) -> str:
    names = {language.name.lower(): language.code for language in _KNOWN}
    near = get_close_matches(text, names, 1, 0.7)
    return f"; did you mean {names[near[0]]!r}?" if near else ", such as 'en', 'de' or 'zh'; or 'auto'"
