"""The form of synthetic queries: what a model puts around one is stripped, and what is no query is told by its reason.

Rules hold in every language at once, as a model may answer in another than it was asked in. Must not know how queries
are written, or what becomes of those that are none.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache

from harness.scoring import AbstentionRule, is_abstention
from harness.text import asks

REFUSAL = "a refusal"
META = "about the queries, not one of them"
NO_QUERY = "JSON or code"
REFERENCE = "refers to the passage"
ANSWER = "an answer, not a question"
ANY_LANGUAGE = AbstentionRule(language="mul")
FAULTS = (NO_QUERY, REFUSAL, META, REFERENCE, ANSWER)

# ---- what is stripped

_LABEL_WORD = (
    r"questions?|quer(?:y|ies)|search(?: (?:words|quer(?:y|ies)|terms?))?|key ?words?(?: quer(?:y|ies))?|statements?|claims?|prompts?|fragen?|"
    r"suchworte|suchbegriffe|suchanfrage|stichworte|aussage|question|requête|mots-clés|pregunta|consulta|palabras clave|"
    r"domanda|pergunta|vraag|zoekwoorden|вопрос|запрос|سؤال|السؤال|질문|검색어|คำถาม|प्रश्न|שאלה|"
    r"问题|问|查询|关键词|搜索词|質問|問題|問い?|検索語|キーワード|q"
)
_DIGITS = r"[0-9０-９٠-٩①-⑳]{1,2}"
_LABEL = re.compile(
    rf"(?:第\s*{_DIGITS}\s*[問问题題][:：]\s*)|(?:{_LABEL_WORD})\s*+(?:(?:no\.?|nr\.?|number|nummer|第|#|№)?\s*{_DIGITS}|[a-d]|[一二三四五六七八九十]{{1,2}})?(?:\s*+\([^()]{{1,20}}\))?\s*+(?:[:：]|\.(?=\s)|\)|-(?=\s)|、)\s*|"
    rf"q{_DIGITS}\s+(?=(?:what|which|who|when|where|why|how|is|are|do|does|can)\b)",
    re.IGNORECASE,
)
_NUMBER = re.compile(
    rf"[(（\[【]\s*(?:{_DIGITS}|[a-h]|i{{1,3}}|iv|vi{{0,3}})\s*[)）\]】][.:：]?\s*"
    rf"|#\s?{_DIGITS}\s*[.:)]?\s+"
    rf"|[①-⑳]\s*"
    r"|[一二三四五六七八九十]{1,2}、"
    rf"|{_DIGITS}\s*[)）]\s*"
    rf"|{_DIGITS}\s*[、．]\s*"
    rf"|{_DIGITS}\s*[.:：](?:\s+|(?=[^\W\d_]{{2}}|[\"'“「¿]))"
    rf"|{_DIGITS}\s+[-–—]\s+"
    r"|(?:[a-hA-H]|i{1,3}|iv|vi{0,3})\)\s*",
)
_SIGNS = re.compile(r"[-*•·–—>#\s\"'“”„«»「『`]+|__+")
_EMPHASIS = re.compile(r"^(\*{1,3}|__)([^*_]{1,40})\1(?=\s)")
"""Emphasis of Markdown around a label or the first words."""
_TRAILING = " \t\"'“”„«»*`,」』_"
_SAID = re.compile(f"[^{_TRAILING}]")
_NUMBER_SIGN, _DIGIT = re.compile(rf"#\s?{_DIGITS}\b"), re.compile(r"\d")
_WORD, _FILLED = re.compile(r"[\"'“„]?[^\W_]+"), re.compile(r"\S")
_LEADING_TALK = re.compile(
    r"(?:(?:sure|certainly|of course|okay|ok|great)\s*[,!.]\s*)?(?:here(?:'s| is| are)|below (?:is|are)|the following (?:is|are))"
    r"\b[^:：?？]{0,80}\b(?:questions?|quer(?:y|ies)|key ?words?|statements?|claims?|search)\b[^:：?？]{0,60}[:：]\s*",
    re.IGNORECASE,
)


def clean_query(text: str, passage: str = "") -> str:
    """A query without what models put around it: labels, numbers, list marks, quotes; on one line.

    A number is left where the passage has it before the same word: "1. FC Köln" is a name.
    """
    line = _EMPHASIS.sub(r"\2", _unwrapped(" ".join(text.split())), count=1)
    at = 0
    while (match := _in_front(line, at, passage)) is not None:
        at = match.end()
    return line[at:].strip(_TRAILING)


def _in_front(line: str, at: int, passage: str) -> re.Match[str] | None:
    """What a model put in front of the rest of a line; None if the rest is the query."""
    # Signs are only stripped from the front where something else follows them than a number of their own (-5).
    match = None if _NUMBER_SIGN.match(line, at) else _SIGNS.match(line, at)
    if match and not (match[0].strip() in ("-", "–") and _DIGIT.match(line, match.end()) and match[0][-1] != " "):
        return match
    match = _LEADING_TALK.match(line, at) or _LABEL.match(line, at)
    if match and _SAID.search(line, match.end()):
        return match
    match = _NUMBER.match(line, at)
    return match if match and _FILLED.search(line, match.end()) and not _stands_in(match, passage) else None


def _stands_in(number: re.Match[str], passage: str) -> bool:
    """Whether the number at the front and the word behind it stand together in the passage."""
    word = _WORD.match(number.string, number.end())
    return word is not None and f"{number[0]}{word[0]}".casefold() in _folded(passage)


@lru_cache(maxsize=1)
def _folded(passage: str) -> str:
    """A passage on one line without capitals, kept for all numbers of a query."""
    return " ".join(passage.split()).casefold()


def _unwrapped(line: str) -> str:
    """The query inside of a whole JSON value that holds one; else the line itself."""
    if not line.startswith(("{", "[")):
        return line
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return line
    while isinstance(value, dict | list) and value:
        value = next(iter(value.values())) if isinstance(value, dict) else value[0]
    return " ".join(value.split()) if isinstance(value, str) else line


# ---- what is no query

_CODE = re.compile(
    r"```|^(?:json|python|sql)\b\W*$|^[{\[]\s*[\"'\]}]|[\"']\s*(?::\s*[\[{\"]|[\]}])|^[\W_]*$|^</?\w+>|</\w+>$"
)
_REFUSALS = re.compile(
    r"(?:(?:i['’]m|i am|we are) (?:so |very |really )?(?:sorry|unable|not able)|sorry(?:,| but\b|[.!]| i\b)|apologies\b|i apologi[sz]e|"
    r"(?:unfortunately,? )?(?:i|we) (?:can ?not|can['’]t|could not|couldn['’]t|won['’]t|will not|do not|don['’]t)\b|"
    r"as an? (?:ai|large language|language)\b(?: language)?(?: model| assistant|,)|as an ai\W*$|unable to (?:generate|create|write)|"
    r"(?:i|we) (?:do not|don['’]t) have (?:enough|sufficient|access)|"
    r"(?:no|not enough|insufficient) (?:question|query|information|context)s? (?:can|could|is|was|to|provided)|"
    r"(?:es )?tut mir (?:sehr )?leid|entschuldigung[,!.]|leider (?:kann|ist|konnte|enthält)|ich kann (?:\w+ )?(?:keine?|nicht|leider)|"
    r"als (?:ki|künstliche intelligenz|sprachmodell)\b|(?:je suis )?désolée?\b|je (?:ne peux|suis incapable)|en tant qu['’](?:ia|intelligence)|"
    r"lo siento\b|no puedo (?:generar|crear|ayudar|responder|escribir)|como (?:una? )?(?:ia|inteligencia artificial|modelo de lenguaje)|"
    r"(?:mi dispiace|desculpe|sinto muito)\b|к сожалению|извините|как (?:ии|языковая модель)|я не могу|"
    r"(?:很?抱歉|对不起|不好意思)|我(?:无法|不能|没有办法)|(?:作为|身为)(?:一个|一名)?(?:ai|人工智能|大?语言模型)|无法(?:生成|提供|创建|根据)|"
    r"申し訳|すみませんが|ごめんなさい|(?:私は)?aiとして|(?:質問|クエリ)を(?:生成|作成)でき|生成できません|"
    r"(?:عذر\S*|آسف|اسف|أعتذر|اعتذر)|لا (?:أستطيع|استطيع|يمكنني)|(?:بصفتي|كنموذج|بوصفي)|죄송|저는 ai|ai로서|ขออภัย|माफ़? ?करें|क्षमा करें|מצטער)",
    re.IGNORECASE,
)
_TALK = re.compile(
    r"(?:here(?:'s| is| are)|below (?:is|are)|these are|the following (?:is|are)|i(?:'ll| will| have) (?:write|written|generate[d]?|create[d]?))\b"
    r"(?=[^?？]*$)[^?？]*\b(?:questions?|quer(?:y|ies)|key ?words?|statements?|claims?|search(?:es)?|examples?)\b"
    r"|(?:here(?:'s| is| are)|below (?:is|are)|the following (?:is|are))[^?？]*[:：]\s*$"
    r"|(?:sure|certainly|of course|okay|absolutely|great)\s*[!,.](?:[^?？]*$|\s*$)|(?:sure|certainly|okay|of course)$"
    r"|(?:let me know|i hope (?:this|these)|note that these|these (?:questions|queries)|would you like (?:me|more))\b"
    r"|(?:output|questions?|queries|keywords|search words|result|json)\s*+[:：]?\s*$"
    r"|(?:hier (?:ist|sind)|folgende|nachfolgend)\b(?=[^?？]*$)[^?？]*\b(?:frage|anfrage|suchbegriff|stichwort|aussage)|(?:gerne|natürlich|klar)\s*[!,.]"
    r"|voici\b(?=[^?？]*$)[^?？]*\b(?:question|requête)s?\b|bien sûr\s*[!,.]|(?:aquí|estas) (?:está|están|son|tienes?)\b(?=[^?？]*$)[^?？]*(?:pregunta|consulta)s?\b|(?:claro|por supuesto)\s*[!,.]"
    r"|(?:以下是|下面是|这是|这里是)(?=[^?？]*$)[^?？]*(?:问题|查询|关键词)|(?:好的|当然)\s*[,，。!！]"
    r"|(?:以下は|次は|こちらは)(?=[^?？]*$)[^?？]*(?:質問|クエリ)|(?:はい|もちろん|承知しました)\s*[,、。!！]"
    r"|(?:إليك|فيما يلي|هذه)\b(?=[^?؟]*$)[^?؟]*(?:أسئلة|سؤال|الأسئلة|استعلام)|بالتأكيد\s*[,،.!]|(?:다음은|아래는)(?=[^?？]*$)[^?？]*질문|(?:вот|ниже)\b(?=[^?？]*$)[^?？]*вопрос",
    re.IGNORECASE,
)
_STATEMENT = re.compile(r"(?<!\W)[^\w.。।]*+[.。।]\W*+$")
_ANSWERS = re.compile(
    r"(?:answers?|a|response|antwort|réponse|respuesta|risposta|ответ|答案|答|回答|答え|الجواب|الإجابة|답변?|정답)\s*+[0-9]{0,2}\s*+[:：]",
    re.IGNORECASE,
)

_STRONG = r"(?:passage|excerpt|snippet|extract)s?"
_WEAK = (
    r"(?:text|document|article|paragraph|section|context|essay|story|report|study|paper|abstract|chapter|page|"
    r"information|material|content|source|description|documentation|summary|example|table|figure|code)s?"
)
_SHOWN = r"(?:given|provided|above|following|preceding|previous|present|current|supplied|quoted|accompanying)"
_WRITER = r"(?:author|writer|speaker|narrator)s?"
_TOLD = (
    r"(?:mention|state|describe|discusse?|list|give[n]?|provide|explain|outline|refer(?:red)?(?: to)?|note|present|specifie?|"
    r"indicate|cite|show[n]?|cover|highlight|define|address|detail|contain|include|name|identifie?|report|found|said|stated)"
)
_SAYS = (
    r"(?:say|mention|state|describe|discuss|explain|suggest|mean|imply|list|recommend|argue|claim|think|believe|provide|"
    r"tell|define|emphasi[sz]e|highlight|compare|refer|conclude|report|cover|indicate|specify|point out|use|consider|want)s?"
)
_ENGLISH = (
    rf"\b(?:the|this|that|these|your|our|an?) (?:{_SHOWN} )?(?:code |text )?{_STRONG}\b(?! (?:of|through|from|between|into|to|via|over|along|back|rate|time|number|way|width)\b)",
    rf"\b(?:in|from|of|by|to|on) {_STRONG} [0-9]+\b",
    rf"\b(?:the|this) {_SHOWN} {_WEAK}\b",
    rf"\bthe {_WEAK} (?:above|below|provided|given|supplied)\b",
    rf"\baccording to (?:the|this|that) (?:\w+ )?(?:{_WEAK}|{_WRITER})\b(?! (?:of|on|by|for|published|from)\b)",
    rf"\b(?:based|depending|relying) (?:only |solely )?(?:up)?on (?:the|this|that) (?:{_WEAK}|{_WRITER})\b(?! (?:of|on)\b)",
    rf"\bas {_TOLD}e?d? (?:in|by) (?:the|this) (?:{_WEAK}|{_WRITER})\b",
    rf"\b{_TOLD}e?d? (?:in|by|within|throughout) (?:the|this) (?:text|document|article|paragraph|section|context|essay|story|"
    rf"report|study|paper|abstract|chapter|information|material|content|description|summary|{_WRITER})\b(?! of\b)",
    r"\b(?:in|from|within|of|by|does|is|about|did|do|on|with) this (?:text|document|article|paragraph|section|context|essay|story|report|study|"
    r"paper|abstract|chapter|page|summary|description|information|material|example|table|figure|case study)\b",
    r"\bwhat (?:is|are|was|were) (?:this|the) (?:text|document|article|paragraph|section|essay|story) (?:mainly |mostly |primarily )?about\b",
    rf"\b(?:does|did|do) (?:the|this) (?:text|document|article|paragraph|section|context|essay|story|report|paper|abstract|chapter) {_SAYS}\b",
    rf"\b(?:does|did|do|is|was|has|would|could|can|might) (?:the|this) {_WRITER} (?:\w+ly )?(?:\w+ing\b|{_SAYS}\b)",
    rf"\b(?:the|this) {_WRITER}['’]s? (?:main|view|opinion|purpose|argument|attitude|tone|point|claim|intention|conclusion|perspective|position|message)",
    rf"\b(?:the|this) {_WRITER} (?:\w+ly )?(?:says|mentions|states|describes|discusses|explains|suggests|argues|claims|thinks|believes|recommends)\b",
    r"\b(?:main|central|key|primary) (?:idea|topic|point|purpose|theme|focus|subject|message|argument)s? of (?:the|this) (?:text|document|article|paragraph|section|essay|story|chapter)\b",
    r"\b(?:title|summary|purpose|tone) of this (?:text|document|article|paragraph|section|essay|story|chapter)\b",
    r"\b(?:mentioned|described|stated|listed|shown|given|discussed) (?:above|below|here)\b",
    r"^\W*(?:from|in|within|given|considering|as per|per|after reading) (?:the|this) (?:text|document|article|paragraph|context|story|essay|study|report|abstract|information|section)\s*,",
    r"\b(?:as per|given|considering) (?:the|this) (?:text|document|article|paragraph|context|abstract)\b(?! of\b)|^\W*(?:based on|given) (?:this|that|the above)\s*,",
    rf"\bas (?:the|this) (?:text|document|article|paragraph|section|essay|story|report|study|{_WRITER}) (?:notes?|says?|states?|mentions?|explains?|describes?|points? out)\b",
)
_DE_NOUN = r"(?:text|textabschnitt|textausschnitt|abschnitt|absatz|passage|textpassage|auszug|dokument|artikel|kontext|ausschnitt|beitrag|textstelle|unterlagen|quelle)(?:e?s|n)?"
_DE_SHOWN = r"(?:obig|vorliegend|gegeben|folgend|genannt|obenstehend|angegeben|bereitgestellt|vorstehend)e[nmrs]?"
_ZH_NOUN = r"(?:文章|文本|段落|短文|文档|文件|材料|资料|内容|片段|段话|段文字|话|篇文章|上下文|语境|摘录|报告|文献)"
_JA_NOUN = r"(?:文章|文書|本文|テキスト|段落|パッセージ|記事|資料|抜粋|文脈|ドキュメント|節|論文)"
_AR_NOUN = r"(?:النص|المقطع|الفقرة|المقال|المقالة|الوثيقة|المستند|السياق|القطعة|الكاتب|المؤلف)"
_OTHERS = (
    rf"\b(?:laut|gemäß|zufolge|basierend auf|nach|entsprechend) (?:(?:dem|der|den|diesem|dieser|diesen|des) )?(?:{_DE_SHOWN} )?(?:{_DE_NOUN}|autor(?:in|s|en)?|verfasser\w*)\b(?! (?:von|über|des|zu)\b)",
    rf"\b(?:dem|der|diesem|dieser) (?:{_DE_NOUN}|autor|verfasser) (?:zufolge|nach)\b",
    rf"\b(?:in|aus|von|über) (?:diesem|dieser|diesen) {_DE_NOUN}\b",
    rf"\b(?:im|in|aus|vom|des|der|dem|die|das) (?:\w+ )?{_DE_SHOWN} {_DE_NOUN}\b",
    rf"\b(?:im|in der|in dem|in den|vom|aus dem) {_DE_NOUN} (?:\w+ ){{0,3}}(?:genannt|erwähnt|beschrieben|aufgeführt|angegeben|erläutert|erklärt|dargestellt|behandelt|steht|vorgestellt)\w*",
    rf"\b(?:genannt|erwähnt|beschrieben|aufgeführt|angegeben|erläutert|dargestellt|behandelt)\w* (?:wird |werden |ist |sind )?(?:im|in der|in dem|in den|in diesem) {_DE_NOUN}\b",
    rf"\b(?:sagt|beschreibt|erwähnt|nennt|meint|erklärt|behandelt|erläutert) (?:der|die|das|dieser|diese|dieses) (?:{_DE_NOUN}|autor(?:in)?|verfasser(?:in)?)\b",
    rf"\b(?:der|die|das) (?:{_DE_SHOWN}) {_DE_NOUN}\b|\b(?:der|die|das|dieser|dieses) {_DE_NOUN} (?:sagt|beschreibt|erwähnt|nennt|behandelt)\b",
    rf"(?:根据|依据|按照|基于|结合|从|在|就)(?:本|这|该|此|上述|以上|上面|上|下面|以下|给定|所给|提供|所提供|文中)(?:的|一|段|篇|份|个|则|中)*{_ZH_NOUN}",
    r"(?:根据|依据|按照|基于|结合)(?:文章|文本|段落|短文|原文|上文|下文|文中|上下文|文档|材料|资料)(?:内容|所述|描述|信息|可知|中|的描述)?\s*(?:[,，:：、]|[^\w]|(?=什么|如何|为什么|怎|哪|谁|多|几|回答))",
    r"^\W*(?:文中|本文|原文|上文|短文|文章中?|该文|此文)(?:提到|提及|认为|指出|所说|说|描述|介绍|的主|主要|中|里|是|讲|谈|对|将)?",
    rf"(?:这|本|该|此|上述|以上|上面的|给定的|所给的?|提供的)(?:一?[段篇份则个])?{_ZH_NOUN}(?:中|里|内|的|是|提|讲|主|说|介|描)",
    r"(?:作者|笔者)(?:认为|提到|指出|为什么|为何|如何|怎|对|的观点|的态度|说|想|主张|在文)|(?:文中|上文|原文|本文|段落中|短文中)(?:提到|提及|所述|描述|指出|介绍|所说|列出)",
    rf"(?:この|上記の?|以下の|与えられた|提供された|次の|当該|前述の){_JA_NOUN}(?:によ|で|に|の|は|が|から|を|中|内)|(?:本文|文中|上の文章?|{_JA_NOUN}中)(?:によ|で|に|の|から)|(?:文章|本文|パッセージ|テキスト|記事|資料)によ(?:る|れ)",
    r"(?<!の)(?:著者|筆者|作者)(?:は|が|の(?:主張|意見|考え)|によ)",
    rf"(?:وفقا?|وفقًا|طبقا|طبقًا|حسب|بحسب|بناء على|بناءً على|استنادا إلى|استنادًا إلى)\s*(?:ل|لـ|إلى |على |ما (?:ورد|جاء|ذكر) في )?\s*(?:هذا |هذه |لهذا |لهذه )?(?:ل)?{_AR_NOUN.replace('ال', '(?:ال|ل)', 1)}",
    rf"(?:وفقا?|وفقًا|طبقا|طبقًا) (?:لل|لهذا ال|لهذه ال)(?:نص|مقطع|فقرة|مقال|وثيقة|مستند|سياق|كاتب|مؤلف)|(?:هذا|هذه) {_AR_NOUN}|(?:(?:المذكور|مذكور|ذكر|ورد)\w{{0,20}}) في {_AR_NOUN}|{_AR_NOUN} (?:أعلاه|السابق\w*|التالي\w*|المعطى|المقدم)|(?:يتحدث|يتناول|يدور|يشرح|يصف)\w{{0,20}} (?:عنه |حوله )?(?:هذا |هذه )?{_AR_NOUN}|يذكر {_AR_NOUN}|يقول (?:الكاتب|المؤلف|النص)",
    r"\b(?:selon|d['’]après|suivant) (?:le|la|les|l['’]|ce|cet|cette|ces)\s?(?:texte|passage|extrait|paragraphe|document|article|auteur|contexte)s?\b(?! (?:de|du|des)\b)|\bdans (?:ce|cet|cette) (?:texte|passage|extrait|paragraphe|document|article|section)\b|\b(?:mentionné|cité|décrit|indiqué|évoqué)e?s? dans (?:le|la|l['’]|ce|cet) ?(?:texte|passage|extrait|paragraphe|document|article)\b|\b(?:texte|passage|extrait|paragraphe) (?:ci-dessus|fourni|donné)\b|\b(?:parle|traite|dit|explique|décrit) (?:ce|cet|cette|le|la) (?:texte|passage|extrait|paragraphe|document|article)\b|\b(?:le|ce) passage (?:dit|décrit|mentionne|explique)",
    r"\b(?:según|de acuerdo con|conforme a|basado en) (?:el|la|este|esta) (?:texto|pasaje|fragmento|extracto|párrafo|documento|artículo|autora?|contexto|pasaje)\b(?! (?:de|del)\b)|\b(?:trata|dice|habla|describe|explica|menciona) (?:el|la|este|esta) (?:texto|pasaje|fragmento|párrafo|documento|artículo)\b|\ben est[ea] (?:texto|pasaje|fragmento|extracto|párrafo|documento|artículo|sección)\b|\b(?:mencionad|citad|descrit|indicad)[oa]s? en (?:el|la|este|esta) (?:texto|pasaje|fragmento|extracto|párrafo|documento|artículo)\b|\b(?:texto|pasaje|fragmento|párrafo) (?:anterior|proporcionado|dado)\b",
    r"\b(?:secondo|in base a) (?:il|la|lo|l['’]|questo|questa|quest['’])\s?(?:testo|passaggio|brano|paragrafo|documento|articolo|autore)\b|\b(?:segundo|de acordo com) (?:o|a|este|esta) (?:texto|passagem|trecho|parágrafo|documento|artigo|autor)\b|\bvolgens (?:de|het|deze|dit) (?:tekst|passage|fragment|alinea|document|artikel|auteur)\b",
    r"\b(?:согласно|исходя из|по|на основе) (?:этому |данному |приведённому |этого |данного )?(?:тексту|отрывку|документу|статье|абзацу|автору|текста|отрывка|документа)\b|\bв (?:этом|данном|приведённом) (?:тексте|отрывке|документе|абзаце|статье)\b|\b(?:упомянут|описан|указан)\w* в (?:тексте|отрывке|документе|статье)\b|\bавтор (?:считает|утверждает|говорит|текста|статьи)\b",
    r"(?:이|본|위|주어진|해당|다음) ?(?:지문|글|문서|본문|단락|구절|텍스트|기사|문맥|자료)(?:에|의|은|는|에서|을|과|에 따르면)|(?:지문|본문|글|텍스트|문서)에 (?:따르면|의하면)|글쓴이|(?<!의 )저자(?:는|가|에)",
    r"(?:ตาม|จาก|ใน)(?:ข้อความ|บทความ|เอกสาร|ย่อหน้า)(?:นี้|ข้างต้น|ดังกล่าว|ที่ให้)|(?:इस|उपरोक्त|दिए गए) (?:गद्यांश|अनुच्छेद|पाठ|दस्तावेज़|लेख)|(?:गद्यांश|अनुच्छेद|पाठ|लेखक) के अनुसार|(?:לפי|על פי) (?:הקטע|הטקסט|המסמך|המאמר|הפסקה|המחבר)|(?:בקטע|בטקסט|במסמך|במאמר) (?:זה|הזה|שלעיל)",
)
_TOLD_OF = re.compile(
    r"\b(?:provided|mentioned|given|described|discussed|stated|listed|said|presented|covered)\b", re.IGNORECASE
)
_IN_THE_TEXT = re.compile(r"\bin the (?:text|paragraph|document|article|context|section)\W*$", re.IGNORECASE)
"""The end of a query that asks for what is "mentioned ... in the text"."""
_REFERENCES = re.compile("|".join(f"(?:{pattern})" for pattern in (*_ENGLISH, *_OTHERS)), re.IGNORECASE)


def fault_of(query: str, kind: str) -> str | None:
    """Why a cleaned text is no query of its kind that can be asked without the passage: one of `FAULTS`, or None."""
    line = query.strip()
    if line and (_CODE.search(line) or line.startswith("{")):
        return NO_QUERY
    if _REFUSALS.match(line) or (line and is_abstention(line, ANY_LANGUAGE)):
        return REFUSAL
    if _TALK.match(line):
        return META
    if _REFERENCES.search(line) or _tells_of_the_text(line):
        return REFERENCE
    if _ANSWERS.match(line) or (kind == "question" and _states(line)):
        return ANSWER
    return None


def _tells_of_the_text(line: str) -> bool:
    """Whether a query asks for what is mentioned in the text, which it names at its end."""
    end = _IN_THE_TEXT.search(line)
    return end is not None and _TOLD_OF.search(line, line.rfind("\n", 0, end.start()) + 1, end.start()) is not None


def _states(line: str) -> bool:
    """Whether a text ends as a statement does and asks for nothing."""
    return bool(_STATEMENT.search(line)) and not re.search(r"[?？؟]", line) and not asks(line)
