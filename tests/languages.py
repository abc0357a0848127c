"""Small datasets of our own in four languages, a workshop's notes in each: documents, queries, answers, one to decline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple


class Note(NamedTuple):
    """A document, the query that it answers, and the answer, which stands in it word for word."""

    title: str
    text: str
    query: str
    answer: str


class Workshop(NamedTuple):
    """`near` repeats the first query in other words; `good` are synthetic queries about the first document."""

    notes: tuple[Note, ...]
    unanswerable: str
    declined: str
    near: str
    good: tuple[str, ...]
    partial: str
    """The first answer, in a longer one."""


CHINESE = Workshop(
    (
        Note(
            "四号窑炉",
            "四号窑炉六小时后达到一千一百八十度，开门之前必须冷却九小时。开得太早，釉面会裂。",
            "四号窑炉开门之前必须冷却多久？",
            "九小时",
        ),
        Note(
            "灰釉配方",
            "灰釉由两份木灰、一份长石和一份高岭土调成，过筛两遍后静置一夜。木灰要先用清水洗去碱分。",
            "调制灰釉需要哪些原料？",
            "两份木灰、一份长石和一份高岭土",
        ),
        Note(
            "拉坯机保养",
            "拉坯机的轴承每月用锂基润滑脂润滑一次，皮带每年更换一次。机器发出尖叫声时应立即停机检查。",
            "拉坯机轴承用什么润滑？",
            "锂基润滑脂",
        ),
        Note(
            "泥料存放",
            "泥料装入厚塑料袋，放在地下室阴凉处，湿度保持在百分之七十以上。干透的泥料可以加水浸泡后回收。",
            "泥料应该存放在什么地方？",
            "地下室阴凉处",
        ),
        Note(
            "开放时间",
            "工作室周二至周日上午十点开门，晚上八点关门，周一休息。法定节假日另行通知。",
            "工作室哪一天不开门？",
            "周一",
        ),
        Note(
            "初级课程",
            "初级拉坯课共六次，每次三个小时，费用为一千二百元，包括泥料和一次素烧。名额限八人。",
            "初级拉坯课的费用是多少？",
            "一千二百元",
        ),
        Note(
            "素烧温度",
            "素烧的温度为九百五十度，升温速度每小时不超过一百度，否则坯体容易炸裂。",
            "素烧要烧到多少度？",
            "九百五十度",
        ),
        Note(
            "防尘规定",
            "打磨坯体时必须佩戴防尘口罩，地面只能用湿拖把清洁，禁止干扫，以免吸入石英粉尘。",
            "打磨坯体时要佩戴什么？",
            "防尘口罩",
        ),
        Note(
            "取件期限",
            "烧好的作品请在三十天内取走，逾期未取的作品将捐给社区义卖。取件时请出示编号牌。",
            "作品烧好后必须在几天之内取走？",
            "三十天",
        ),
        Note(
            "青花颜料",
            "青花用的颜料是氧化钴，画在素坯上，再罩透明釉，以一千二百八十度还原焰烧成。",
            "画青花用的是什么颜料？",
            "氧化钴",
        ),
        Note(
            "停电处理",
            "窑炉运行中停电时，不要打开窑门，先关闭总开关，记录当时的温度，来电后从低档重新升温。",
            "窑炉烧制途中停电时首先应该做什么？",
            "关闭总开关",
        ),
        Note(
            "会员柜",
            "会员的储物柜在二楼走廊尽头，钥匙由前台保管，丢失钥匙需支付五十元。",
            "会员储物柜的钥匙由谁保管？",
            "前台",
        ),
    ),
    "窑炉是哪家公司制造的？",
    "无法从上下文中得知。",
    "四号窑炉开门之前必须冷却多长时间？",
    ("四号窑炉六小时后达到是什么情况？", "窑门为什么不能开得太早", "四号窑炉最高能烧到多少度？", "窑炉冷却时间"),
    "必须冷却九小时",
)
JAPANESE = Workshop(
    (
        Note(
            "四号窯",
            "四号窯は六時間で千百八十度に達し、扉を開ける前に九時間冷まさなければならない。早く開けると釉薬にひびが入る。",
            "四号窯の扉を開ける前に何時間冷ましますか？",
            "九時間",
        ),
        Note(
            "灰釉の調合",
            "灰釉は木灰を二、長石を一、カオリンを一の割合で混ぜ、ふるいに二度かけてから一晩置く。",
            "灰釉はどのような割合で混ぜますか？",
            "木灰を二、長石を一、カオリンを一",
        ),
        Note(
            "ろくろの手入れ",
            "ろくろの軸受けには毎月リチウムグリースを塗り、ベルトは年に一度交換する。異音がしたらすぐに止める。",
            "ろくろの軸受けには何を塗りますか？",
            "リチウムグリース",
        ),
        Note(
            "粘土の保管",
            "粘土は厚いビニール袋に入れ、地下室の涼しい場所に置く。乾いた粘土は水に浸せば再び使える。",
            "粘土はどこに置いて保管しますか？",
            "地下室の涼しい場所",
        ),
        Note(
            "営業時間",
            "工房は火曜日から日曜日まで午前十時に開き、午後八時に閉まる。月曜日は定休日である。",
            "工房の定休日は何曜日ですか？",
            "月曜日",
        ),
        Note(
            "初心者コース",
            "初心者向けのろくろ教室は全六回、一回三時間で、受講料は二万四千円。粘土代と素焼き一回分を含む。",
            "初心者向けろくろ教室の受講料はいくらですか？",
            "二万四千円",
        ),
        Note(
            "素焼き",
            "素焼きの温度は八百度で、一時間に百度より速く上げてはならない。速すぎると素地が割れる。",
            "素焼きは何度で焼きますか？",
            "八百度",
        ),
        Note(
            "粉じん対策",
            "素地を削るときは必ず防じんマスクを着ける。床は濡れたモップで拭き、ほうきで掃いてはならない。",
            "素地を削るときは何を着けなければなりませんか？",
            "防じんマスク",
        ),
        Note(
            "作品の受け取り",
            "焼き上がった作品は三十日以内に受け取ること。期限を過ぎた作品は地域のバザーに寄付される。",
            "焼き上がった作品は何日以内に受け取りますか？",
            "三十日以内",
        ),
        Note(
            "染付の顔料",
            "染付には酸化コバルトの顔料を使い、素焼きの上に描いてから透明釉をかけて還元焼成する。",
            "染付に使う顔料は何ですか？",
            "酸化コバルト",
        ),
        Note(
            "停電のとき",
            "焼成中に停電したら、窯の扉を開けず、主電源を切ってから温度を記録する。復旧後は弱火から始める。",
            "焼成中に停電したら何を切りますか？",
            "主電源",
        ),
        Note(
            "会員ロッカー",
            "会員のロッカーは二階の廊下の突き当たりにあり、鍵は受付で預かっている。紛失した場合は千円かかる。",
            "会員のロッカーの鍵はどこで預かっていますか？",
            "受付",
        ),
    ),
    "窯を製造した会社はどこですか？",
    "この文章からはわかりません。",
    "四号窯は、扉を開ける前に何時間冷ましますか？",
    ("四号窯は何度に達しますか？", "窯の扉を早く開けるとどうなりますか", "釉薬のひびの原因", "四号窯の冷却時間"),
    "九時間冷ます",
)
GERMAN = Workshop(
    (
        Note("Ofen vier", "Ofen vier erreicht nach sechs Stunden 1180 Grad und muss neun Stunden abkühlen, bevor die Tür geöffnet "
             "wird. Wer zu früh öffnet, bekommt Risse in der Glasur.",
             "Wie lange muss Ofen vier abkühlen, bevor man die Tür öffnet?", "neun Stunden"),
        Note("Ascheglasur", "Die Ascheglasur besteht aus zwei Teilen Holzasche, einem Teil Feldspat und einem Teil Kaolin. Sie wird "
             "zweimal gesiebt und ruht über Nacht.",
             "Woraus besteht die Ascheglasur?", "zwei Teilen Holzasche, einem Teil Feldspat und einem Teil Kaolin"),
        Note("Pflege der Drehscheibe", "Die Lager der Drehscheibe werden jeden Monat mit Lithiumfett geschmiert, der Riemen wird jährlich "
             "gewechselt. Quietscht die Scheibe, ist sie sofort abzustellen.",
             "Womit schmiert man die Lager der Drehscheibe?", "Lithiumfett"),
        Note("Lagerung des Tons", "Der Ton wird in dicken Plastiksäcken im kühlen Keller aufbewahrt. Trockener Ton lässt sich einsumpfen "
             "und wieder verwenden.",
             "Wo wird der Ton aufbewahrt?", "im kühlen Keller"),
        Note("Öffnungszeiten", "Die Werkstatt öffnet von Dienstag bis Sonntag um zehn Uhr und schließt um zwanzig Uhr. Montag ist Ruhetag.",
             "An welchem Wochentag ist Ruhetag in der Werkstatt?", "Montag"),
        Note("Anfängerkurs", "Der Anfängerkurs hat sechs Abende zu je drei Stunden und kostet 180 Euro, Ton und ein Schrühbrand inbegriffen.",
             "Was kostet der Anfängerkurs?", "180 Euro"),
        Note("Schrühbrand", "Geschrüht wird bei 950 Grad. Die Temperatur darf um höchstens hundert Grad in der Stunde steigen, sonst "
             "platzen die Scherben.",
             "Bei wie viel Grad wird geschrüht?", "950 Grad"),
        Note("Staubschutz", "Beim Schleifen ist eine Staubmaske zu tragen. Die Böden werden nur feucht gewischt und niemals gekehrt.",
             "Was muss man beim Schleifen tragen?", "eine Staubmaske"),
        Note("Abholung", "Gebrannte Stücke sind innerhalb von dreißig Tagen abzuholen; danach gehen sie an den Basar der Gemeinde.",
             "Innerhalb welcher Frist müssen gebrannte Stücke abgeholt werden?", "innerhalb von dreißig Tagen"),
        Note("Kobaltblau", "Für die blaue Malerei wird Kobaltoxid auf den geschrühten Scherben aufgetragen und transparent überglasiert.",
             "Welches Oxid wird für die blaue Malerei aufgetragen?", "Kobaltoxid"),
        Note("Stromausfall", "Fällt während des Brandes der Strom aus, bleibt die Ofentür zu. Zuerst wird der Hauptschalter "
             "ausgeschaltet, dann die Temperatur notiert.",
             "Was wird bei einem Stromausfall während des Brandes zuerst ausgeschaltet?", "der Hauptschalter"),
        Note("Schließfächer", "Die Schließfächer der Mitglieder stehen am Ende des Flurs im zweiten Stock. Die Schlüssel verwahrt der "
             "Empfang; ein verlorener Schlüssel kostet zehn Euro.",
             "Wer verwahrt die Schlüssel der Schließfächer?", "der Empfang"),
    ),
    "Welche Firma hat die Öfen gebaut?",
    "Keine Angabe in den Unterlagen.",
    "Wie lange muss Ofen vier abkühlen, bevor man die Tür öffnen darf?",
    ("Welche Temperatur erreicht Ofen vier?", "Risse in der Glasur vermeiden", "Warum darf die Ofentür nicht zu früh auf?"),
    "Er muss neun Stunden abkühlen",
)  # fmt: skip
ARABIC = Workshop(
    (
        Note("الفرن الرابع", "يصل الفرن الرابع إلى ألف ومئة وثمانين درجة بعد ست ساعات، ويجب أن يبرد تسع ساعات قبل فتح الباب. من يفتح الباب مبكرا "
             "يتشقق طلاؤه.",
             "كم ساعة يجب أن يبرد الفرن الرابع قبل فتح الباب؟", "تسع ساعات"),
        Note("طلاء الرماد", "يتكون طلاء الرماد من جزأين من رماد الخشب وجزء من الفلسبار وجزء من الكاولين، وينخل مرتين ثم يترك ليلة كاملة.",
             "مم يتكون طلاء الرماد؟", "جزأين من رماد الخشب وجزء من الفلسبار وجزء من الكاولين"),
        Note("صيانة العجلة", "تشحم محامل عجلة الخزف كل شهر بشحم الليثيوم، ويستبدل الحزام مرة في السنة. إذا صدر صوت غريب توقف العجلة فورا.",
             "بماذا تشحم محامل عجلة الخزف؟", "بشحم الليثيوم"),
        Note("تخزين الطين", "يحفظ الطين في أكياس بلاستيكية سميكة في القبو البارد. الطين الجاف ينقع في الماء ويستعمل من جديد.",
             "أين يحفظ الطين؟", "في القبو البارد"),
        Note("ساعات العمل", "تفتح الورشة من الثلاثاء إلى الأحد في العاشرة صباحا وتغلق في الثامنة مساء. يوم الاثنين عطلة.",
             "أي يوم عطلة الورشة؟", "الاثنين"),
        Note("دورة المبتدئين", "تتكون دورة المبتدئين من ست حصص مدة كل منها ثلاث ساعات، وثمنها خمسمئة ريال، ويشمل ذلك الطين وحرقا أوليا واحدا.",
             "كم ثمن دورة المبتدئين؟", "خمسمئة ريال"),
        Note("الحرق الأولي", "درجة حرارة الحرق الأولي تسعمئة وخمسون درجة، ولا ترفع الحرارة أكثر من مئة درجة في الساعة وإلا انكسرت القطع.",
             "ما درجة حرارة الحرق الأولي؟", "تسعمئة وخمسون درجة"),
        Note("الوقاية من الغبار", "يجب ارتداء قناع الغبار عند صقل القطع. تمسح الأرضية بممسحة مبللة ولا تكنس جافة أبدا.",
             "ماذا يجب ارتداؤه عند صقل القطع؟", "قناع الغبار"),
        Note("استلام القطع", "تستلم القطع المحروقة خلال ثلاثين يوما، وما لم يستلم منها يمنح لسوق الحي الخيرية.",
             "خلال كم يوم تستلم القطع المحروقة؟", "ثلاثين يوما"),
        Note("الأزرق", "يستعمل أكسيد الكوبالت للرسم الأزرق، ويوضع على القطعة بعد الحرق الأولي ثم تغطى بطلاء شفاف.",
             "أي أكسيد يستعمل للرسم الأزرق؟", "أكسيد الكوبالت"),
        Note("انقطاع الكهرباء", "إذا انقطعت الكهرباء أثناء الحرق لا يفتح باب الفرن، بل يغلق المفتاح الرئيسي أولا ثم تسجل درجة الحرارة.",
             "ماذا يغلق أولا إذا انقطعت الكهرباء أثناء الحرق؟", "المفتاح الرئيسي"),
        Note("خزائن الأعضاء", "خزائن الأعضاء في آخر الممر في الطابق الثاني، وتحفظ المفاتيح عند الاستقبال، وثمن المفتاح الضائع عشرون ريالا.",
             "أين تحفظ مفاتيح خزائن الأعضاء؟", "عند الاستقبال"),
    ),
    "ما الشركة التي صنعت الأفران؟",
    "لا توجد معلومات في السياق المقدم.",
    "كم ساعة يجب أن يبرد الفرن الرابع قبل أن يفتح الباب؟",
    ("إلى أي درجة يصل الفرن الرابع؟", "سبب تشقق طلاء القطع", "لماذا لا يفتح باب الفرن مبكرا؟"),
    "يجب أن يبرد تسع ساعات",
)  # fmt: skip
WORKSHOPS = {"zh": CHINESE, "ja": JAPANESE, "de": GERMAN, "ar": ARABIC}


def write(folder: Path, workshop: Workshop) -> Path:
    """Write a dataset in BEIR layout: all queries in test; return the folder."""
    (folder / "qrels").mkdir(parents=True)
    notes = list(enumerate(workshop.notes))
    queries = [{"_id": f"q{n}", "text": note.query} for n, note in notes]
    queries += [{"_id": "none", "text": workshop.unanswerable}]
    answers = [{"_id": f"q{n}", "answers": [note.answer], "answerable": True} for n, note in notes]
    answers += [{"_id": "none", "answers": [], "answerable": False, "source_passages": ["d0"]}]
    _lines(folder / "corpus.jsonl", [{"_id": f"d{n}", "title": note.title, "text": note.text} for n, note in notes])
    _lines(folder / "queries.jsonl", queries)
    _lines(folder / "answers.jsonl", answers)
    rows = ["query-id\tcorpus-id\tscore", *(f"q{n}\td{n}\t1" for n, _ in notes)]
    (folder / "qrels" / "test.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    (folder / "splits.tsv").write_text("query-id\tsplit\nnone\ttest\n", encoding="utf-8")
    return folder


def _lines(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
