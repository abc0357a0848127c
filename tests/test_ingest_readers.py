"""What is read out of single files: titles, headings, every text, and one sentence where there is none."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import documents
import pytest

from harness.ingest.readers.encodings import decode
from harness.ingest.readers.formats import FORMATS, OTHERS, SUFFIXES, read
from harness.ingest.readers.parsed import Parsed, Unreadable
from harness.text.chunks import headings

MOST = 1 << 26


def read_as(suffix: str, raw: bytes | str, most: int = MOST) -> Parsed:
    return read(SUFFIXES[suffix], raw.encode() if isinstance(raw, str) else raw, most)


def refused(suffix: str, raw: bytes | str, most: int = MOST) -> str:
    with pytest.raises(Unreadable) as caught:
        read_as(suffix, raw, most)
    assert "\n" not in caught.value.reason + caught.value.hint
    return caught.value.reason


# ---- every format


@pytest.mark.parametrize("suffix", documents.MAKERS)
def test_title_headings_and_text_are_the_same_in_every_format(suffix: str) -> None:
    parsed = read_as(suffix, documents.MAKERS[suffix]())
    for name, text in documents.GUIDE:
        assert text in parsed.text
        assert name in parsed.text
    assert parsed.notes == ()
    if suffix != ".txt":
        assert parsed.title == documents.TITLE
        assert [(one.level, one.title) for one in headings(parsed.text)] == [(2, "Pumps"), (2, "Valves")]
        assert documents.TITLE not in parsed.text  # it would stand twice in what a retriever sees


@pytest.mark.parametrize("suffix", documents.MAKERS)
@pytest.mark.parametrize("raw", [b"", b" \n\t ", b"\0" * 100])
def test_an_empty_file_is_said_to_be_empty_or_of_another_kind(suffix: str, raw: bytes) -> None:
    assert re.search("is empty|is no PDF|no DOCX", refused(suffix, raw))


@pytest.mark.parametrize("suffix", documents.MAKERS)
@pytest.mark.parametrize("other", documents.MAKERS)
def test_a_file_with_the_suffix_of_another_format_is_told_or_read_as_text(suffix: str, other: str) -> None:
    raw = documents.MAKERS[other]()
    if other in (".pdf", ".docx"):
        if suffix != other:
            assert re.search(r"is a file of (PDF|ZIP)", refused(suffix, raw))
    elif suffix in (".pdf", ".docx"):
        assert re.search(r"is no PDF|is HTML, not PDF|no DOCX", refused(suffix, raw))
    else:
        assert documents.GUIDE[0][1] in read_as(suffix, raw).text


def test_no_suffix_is_read_and_hinted_at() -> None:
    assert not SUFFIXES.keys() & OTHERS.keys()
    assert len(SUFFIXES) == sum(map(len, FORMATS.values()))


def test_a_reader_that_is_not_installed_is_named_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pypdfium2", None)
    with pytest.raises(Unreadable) as caught:
        read_as(".pdf", documents.pdf())
    assert (caught.value.reason, caught.value.hint) == (
        "needs the package pypdfium2", "pip install 'rag-tuning-harness[ingest]'",
    )  # fmt: skip


# ---- encodings


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_unicode_in_any_form_is_read_without_loss(encoding: str) -> None:
    text = "Die größte Pumpe — Насос — 水泵 😀\nand some plain English words, so that zero bytes are seen."
    assert decode(text.encode(encoding)).text == text


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        (
            "cp1252",
            "Die Pumpe für das Wasser läuft täglich, außer am Sonntag – „größere“ Mängel meldet man sofort. " * 3,
        ),
        ("cp1251", "Насос перекачивает воду по трубам дома, масло меняют один раз в год, клапан красный. " * 3),
        ("shift_jis", "ポンプは家の配管を通して水を動かします。年に一度、油が必要です。赤い弁は台所のものです。" * 3),
        ("gb18030", "水泵把水输送到房子的管道里。每年需要加一次油。红色的阀门属于厨房。" * 3),
    ],
)
def test_an_old_encoding_is_guessed_and_the_guess_is_noted(encoding: str, text: str) -> None:
    decoded = decode(text.encode(encoding))
    assert decoded.text == text
    assert "which is a guess" in decoded.notes[0]


def test_what_a_page_declares_is_used_before_a_guess() -> None:
    page = '<html><head><meta charset="windows-1251"></head><body><p>Насос</p></body></html>'
    assert read_as(".html", page.encode("cp1251")) == Parsed("", "Насос")


def test_characters_beyond_ascii_late_in_a_long_file_are_read() -> None:
    """markitdown's issues 1505 and 2359: an encoding that was guessed from the first kilobytes."""
    for encoding in ("utf-8", "cp1252"):
        text = "All plain words here. " * 60_000 + "Am Ende steht ein größerer Übergang für alle Gäste."
        assert decode(text.encode(encoding)).text == text


def test_a_few_damaged_bytes_cost_no_more_than_themselves() -> None:
    raw = ("Größe und Länge. " * 500).encode() + b"\xff\xfe" + b" end"
    decoded = decode(raw)
    assert decoded.text.startswith("Größe und Länge. ")
    assert decoded.text.count("\ufffd") == 2
    assert decoded.notes == ("bytes that are not UTF-8 were replaced",)


@pytest.mark.parametrize("raw", [bytes(range(256)) * 20, b"\x7fELF\x02\x01" + b"\0" * 200, b"abc\0\x01\x02" * 50])
def test_a_binary_file_with_the_suffix_of_text_is_refused(raw: bytes) -> None:
    assert "not text" in refused(".txt", raw)


# ---- Markdown and text


def test_markdown_headings_of_every_form_become_lines_and_code_stays() -> None:
    parsed = read_as(
        ".md",
        "---\ntitle: The manual\ntags: [a]\n---\nUnder\nlined\n=====\n\n```sh\n# a comment\n```\n\nSecond\n---\n\n"
        "<h3 align='center'>Tagged <b>too</b></h3>\n\ntext\n",
    )
    assert parsed.title == "The manual"
    assert [(one.level, one.title) for one in headings(parsed.text)] == [
        (1, "Under lined"), (2, "Second"), (3, "Tagged too"),
    ]  # fmt: skip
    assert "# a comment" in parsed.text
    assert "tags:" not in parsed.text


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("# [A](b) **bold** `code` title ![x](y) {#id}\n\ntext", "A bold code title"),
        ("text\n\n## Only a section\n\nmore", "Only a section"),
        ("text alone", ""),
        ("---\n\nA rule is no front matter\n\n---\n\ntext", ""),
        ("+++\ntitle = 'Toml'\n+++\ntext", "Toml"),
    ],
)
def test_the_title_of_markdown(text: str, title: str) -> None:
    assert read_as(".md", text).title == title


def test_underlined_titles_of_rst_and_no_tables() -> None:
    parsed = read_as(
        ".rst",
        "=====\nTitle\n=====\n\nUse :func:`x.y`\n---------------\n\n===== =====\nA     B\n===== =====\n1     2\n===== =====\n\n"
        ".. code::\n\n   # a comment\n",
    )
    assert parsed.title == "Title"
    assert [(one.level, one.title) for one in headings(parsed.text)] == [(2, "Use x.y")]
    assert "A     B" in parsed.text


# ---- HTML


@pytest.mark.parametrize(
    ("page", "text"),
    [
        # unstructured's issues 770, 1543, 2362 and 2520: text that stood beside an element was lost.
        ("<div>Head<div><span>Nested</span></div>Tail</div>", "Head\n\nNested\n\nTail"),
        ("<body>before<div>hello<br/>after</div>end</body>", "before\n\nhello\nafter\n\nend"),
        ("<body>only text</body>", "only text"),
        ("<p>cost $<b>5</b>.<i>22</i> a share</p>", "cost $5.22 a share"),
        ("<pre><b>One</b> = Y<br># no heading\n  in</pre>", "```\nOne = Y\n# no heading\n  in\n```"),
        ("<p># no heading</p>", "# no heading"),
        ("<ul><li>a<ul><li>b</ul><li>c</ul>", "- a\n  - b\n- c"),
        ("<ol><li>a<li><p>b</p><p>more</p></ol>", "1. a\n2. b\n\n   more"),
        ("<table><tr><th>A<th>B<tr><td>1|2<td>3</table>", "| A | B |\n| --- | --- |\n| 1\\|2 | 3 |"),
        ("<table><tr><td>a<h2>Left</h2>x</td><td><table><tr><td>in<td>ner</table></td></table>",
         "a\n\n## Left\n\nx\n\n| in | ner |"),
        ("a<h2>Part <a class='headerlink' href='#p'>\u00b6</a></h2><p>x</p>", "a\n\n## Part\n\nx"),
        ("<form><p>in a form</p><button>Go</button></form>", "in a form\n\nGo"),
        ("<details><summary>More</summary>hidden <span hidden>text</span></details>", "More\n\nhidden text"),
        ("<p>a<!-- b --><script>c</script><style>d</style></p>", "a"),
        ("<div>" * 400 + "deep" + "</div>" * 400, "deep"),
    ],
)  # fmt: skip
def test_every_text_of_a_page_is_kept_in_its_order(page: str, text: str) -> None:
    found = read_as(".html", page).text
    assert found.strip() == text


def test_navigation_goes_but_not_a_page_that_is_all_navigation() -> None:
    assert "Home" not in read_as(".html", documents.html()).text
    never_closed = "<html><body><nav><a>Home</a>" + "<p>The text of the page goes on here.</p>" * 9
    assert read_as(".html", never_closed).text.count("goes on here") == 9


def test_only_the_main_part_of_a_page_is_read_if_it_says_which() -> None:
    words = "The pump moves water through all of the pipes of this house, and it needs some oil every year. " * 2
    page = f"<div>Sidebar</div><main><h1>Pump</h1><p>{words}</p></main><div>Newsletter</div>"
    assert read_as(".html", page) == Parsed("Pump", words.strip())
    assert (
        "Sidebar" in read_as(".html", page.replace("<main>", "<main></main><div>").replace("</main><div>N", "N")).text
    )


def test_a_page_that_scripts_write_is_told_from_an_empty_one() -> None:
    assert refused(".html", "<div id=app></div><script>render()</script>") == "holds no text but scripts that write it"
    assert refused(".html", "<div></div>") == "holds no text"


def test_xhtml_elements_that_close_themselves_swallow_nothing() -> None:
    page = (
        '<?xml version="1.0"?><html><head><title/><script src="a.js"/></head><body><a id="b"/><p>All</p></body></html>'
    )
    assert read_as(".xhtml", page).text == "All"


# ---- PDF


def test_a_pdf_that_cannot_be_read_says_why() -> None:
    assert refused(".pdf", documents.pdf(password="secret")) == "is encrypted"
    assert refused(".pdf", documents.scan()) == "has no text layer (scanned, or pictures only)"
    assert refused(".pdf", b"<html>Please log in</html>") == "is HTML, not PDF"
    assert "damaged" in refused(".pdf", documents.pdf()[:300])


def pages_of(count: int, running: str = "") -> bytes:
    from fpdf import FPDF

    file = FPDF()
    for number in range(count):
        file.add_page()
        file.set_font("helvetica", size=9)
        file.cell(0, 8, running.format(number + 1, 1000 + 37 * number * number), new_x="LMARGIN", new_y="NEXT")
        file.set_y(40)
        file.set_font("helvetica", size=11)
        file.multi_cell(0, 6, f"This is what page {number} says about pumps, and it goes on for a while. " * 8)
    return bytes(file.output())


def test_running_titles_and_page_numbers_are_dropped_and_nothing_else_at_the_edges() -> None:
    """chunknorris' issue 62 and pdf-inspector's 251: text at the edge of a page was taken for a running title."""
    text = read_as(".pdf", pages_of(6, "ACME manual, page {} of 6")).text
    assert "ACME" not in text
    assert all(f"This is what page {number} says" in text for number in range(6))
    kept = read_as(".pdf", pages_of(6, "Invoice no. {1}")).text
    assert all(f"Invoice no. {1000 + 37 * number * number}" in kept for number in range(6))
    assert "ACME manual, page 1" in read_as(".pdf", pages_of(2, "ACME manual, page {}")).text


def outlined(titles: list[tuple[str, str]]) -> bytes:
    """A PDF whose headings are as large as its text, with bookmarks of other names than they have."""
    from fpdf import FPDF

    file = FPDF()
    file.add_page()
    file.set_font("helvetica", size=11)
    for name, mark in titles:
        file.start_section(mark)
        file.cell(0, 14, name, new_x="LMARGIN", new_y="NEXT")
        file.multi_cell(0, 6, f"About {name.lower()} there is much to say, and it is said here. " * 5,
                        new_x="LMARGIN", new_y="NEXT")  # fmt: skip
    return bytes(file.output())


def test_bookmarks_make_headings_and_faulty_ones_cost_nothing() -> None:
    """docling-hierarchical-pdf's issue 14: with a faulty outline there were no headings at all."""
    parsed = read_as(".pdf", outlined([("1 Pumps", "Pumps"), ("2. Valves", "2 Valves"), ("Taps", "Elsewhere")]))
    assert [one.title for one in headings(parsed.text)] == ["1 Pumps", "2. Valves"]
    assert "Taps" in parsed.text


def test_letters_of_many_sizes_are_no_headings() -> None:
    """xberg's issue 1599: rows of tables became headings."""
    from fpdf import FPDF

    file = FPDF()
    file.add_page()
    for number in range(20):
        file.set_font("helvetica", size=10 + 4 * (number % 2))
        file.cell(0, 10, f"Row {number} of a list of prices", new_x="LMARGIN", new_y="NEXT")
    parsed = read_as(".pdf", bytes(file.output()))
    assert headings(parsed.text) == []
    assert "Row 19" in parsed.text


def test_lines_are_joined_to_paragraphs_and_divided_words_are_whole() -> None:
    from fpdf import FPDF

    file = FPDF()
    file.add_page()
    file.set_font("helvetica", size=11)
    for line in ("A pump moves water through all of the long pipes of the house, and it main-",
                 "tains a pressure that is high enough for the kitchen on the third floor.",
                 "- one thing", "- another thing"):  # fmt: skip
        file.cell(0, 6, line, new_x="LMARGIN", new_y="NEXT")
    parsed = read_as(".pdf", bytes(file.output()))
    assert "it maintains a pressure" in parsed.text
    assert parsed.text.endswith("\n\n- one thing\n\n- another thing")


# ---- DOCX

RUN = "<w:r><w:t>{}</w:t></w:r>"
BOX = (
    '<w:p><w:r><w:drawing><a:graphic xmlns:a="http://schemas.openxmlformats.org/drawingml/2006/main">'
    '<wps:wsp xmlns:wps="http://schemas.microsoft.com/office/word/2010/wordprocessingShape"><wps:txbx><w:txbxContent>'
    f"<w:p>{RUN.format('IN A BOX')}</w:p></w:txbxContent></wps:txbx></wps:wsp></a:graphic></w:drawing></w:r></w:p>"
)
CELL = "<w:tc>{}</w:tc>"
INNER = f"<w:tbl><w:tr>{CELL.format('<w:p>' + RUN.format('INNER') + '</w:p>')}</w:tr></w:tbl>"
PARTS = {
    "IN A BOX": BOX,
    "INNER": f"<w:tbl><w:tr>{CELL.format('<w:p/>' + INNER + '<w:p/>')}</w:tr></w:tbl>",
    "IN CONTROL": f"<w:sdt><w:sdtContent><w:p>{RUN.format('IN CONTROL')}</w:p></w:sdtContent></w:sdt>",
    "INSERTED": f'<w:p><w:ins w:id="1" w:author="a">{RUN.format("INSERTED")}</w:ins></w:p>',
    "FIELD": f'<w:p><w:fldSimple w:instr="REF x">{RUN.format("FIELD")}</w:fldSimple></w:p>',
    "a+b=c": '<w:p><m:oMath xmlns:m="http://schemas.openxmlformats.org/officeDocument/2006/math">'
             "<m:r><m:t>a+b</m:t></m:r><m:r><m:t>=c</m:t></m:r></m:oMath></w:p>",
    "### OUTLINED": f'<w:p><w:pPr><w:outlineLvl w:val="2"/></w:pPr>{RUN.format("OUTLINED")}</w:p>',
}  # fmt: skip


def changing(name: str, change: Callable[[bytes], bytes]) -> Callable[[str, bytes], bytes]:
    return lambda part, content: change(content) if part == name else content


@pytest.mark.parametrize("text", PARTS)
def test_text_in_every_place_of_a_docx_is_read(text: str) -> None:
    """docling's issues 494 and 1586: text in nested tables and in text boxes was lost."""
    raw = documents.changed_docx(
        changing(
            "word/document.xml", lambda content: content.replace(b"<w:sectPr", PARTS[text].encode() + b"<w:sectPr", 1)
        )
    )
    assert text in read_as(".docx", raw).text.split("\n")


@pytest.mark.parametrize(
    ("identifier", "definition"),
    [
        ("berschrift2", '<w:name w:val="heading 2"/><w:pPr><w:outlineLvl w:val="1"/></w:pPr>'),
        ("Own-2", '<w:name w:val="Our headings"/><w:basedOn w:val="Heading2"/>'),
    ],
)
def test_headings_of_own_and_of_translated_styles_are_headings(identifier: str, definition: str) -> None:
    """docling's issues 1032 and 3312: headings by another style than Word's English ones."""
    style = f'<w:style w:type="paragraph" w:styleId="{identifier}">{definition}</w:style>'.encode()

    def change(name: str, content: bytes) -> bytes:
        if name == "word/styles.xml":
            return content.replace(b"</w:styles>", style + b"</w:styles>")
        return content.replace(b'<w:pStyle w:val="Heading2"/>', f'<w:pStyle w:val="{identifier}"/>'.encode())

    parsed = read_as(".docx", documents.changed_docx(change))
    assert [(one.level, one.title) for one in headings(parsed.text)] == [(2, "Pumps"), (2, "Valves")]


def test_a_docx_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    assert refused(".docx", b"\xd0\xcf\x11\xe0" + b"\0" * 99) == "is encrypted, or an old Word file (.doc)"
    assert "damaged" in refused(".docx", documents.docx()[:-200])
    assert "damaged" in refused(
        ".docx", documents.changed_docx(changing("word/document.xml", lambda content: content[:500]))
    )
    bomb = documents.changed_docx(lambda name, content: content, {"word/bomb.xml": b" " * (1 << 23)})
    assert len(bomb) < 1 << 17
    assert refused(".docx", bomb, 1 << 22) == "is larger than --max-file-mb when it is unpacked"
    assert read_as(".docx", bomb).title == documents.TITLE


def test_a_docx_whose_entities_expand_without_end_is_refused() -> None:
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 30}">' for n in range(1, 9))
    laughs = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e0 "ha">{entities}]><w:document xmlns:w="x">&e8;</w:document>'
    assert "damaged" in refused(
        ".docx", documents.changed_docx(changing("word/document.xml", lambda _: laughs.encode()))
    )
