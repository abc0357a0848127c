"""The pages of the documentation site: all are reached, their links lead somewhere, and the reference is whole."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from test_init import FIELDS

import harness
from harness import errors
from harness.cli import main as cli
from harness.values.measures import KINDS

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "docs" / "site"))

import make_site  # noqa: E402
import reference_cli  # noqa: E402
import reference_python  # noqa: E402
import reference_suite  # noqa: E402

LEAST, MOST, SCHEMES = 8_000, 150_000, ("light", "dark")
"""Bytes of a picture, and the colours that it is taken in."""
PARTS = ["Tutorial", "How-to guides", "Reference", "Explanation"]


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_site.lay_out(tmp_path_factory.mktemp("site") / "out")


def text_of(pages: Path, name: str) -> str:
    return (pages / name).read_text(encoding="utf-8")


# ---- pages and links


def test_every_page_is_in_the_navigation_and_there_are_four_parts(pages: Path) -> None:
    assert make_site.unlisted(pages) == []
    listed = list(make_site.navigation())
    assert len(listed) == len(set(listed))
    config = make_site.tomllib.loads((ROOT / "docs" / "site" / make_site.CONFIG).read_text(encoding="utf-8"))["project"]
    assert [name for part in config["nav"][1:] for name in part] == PARTS
    assert config["theme"]["font"] is False


def test_a_page_outside_of_the_navigation_is_told(pages: Path, tmp_path: Path) -> None:
    (tmp_path / "index.md").write_text("# Home\n")
    (tmp_path / "lost.md").write_text("# Lost\n")
    assert {"lost.md", "tutorial.md"} <= set(make_site.unlisted(tmp_path))
    assert "index.md" not in make_site.unlisted(tmp_path)


def prose_of(text: str) -> str:
    """A page without its blocks of code."""
    return re.sub(r"^( *)(```+|~~~+).*?^\1\2[ ]*$", "", text, flags=re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """The ids of a page's headings, as Python-Markdown gives them."""
    found: set[str] = set()
    for heading in re.findall(r"^#{1,6} +(.+?) *#*$", prose_of(text), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        slug = re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())
        number, free = 1, slug
        while free in found:
            free, number = f"{slug}_{number}", number + 1
        found.add(free)
    return found


def test_links_lead_to_pages_and_headings_that_there_are(pages: Path) -> None:
    known = {path: anchors(path.read_text(encoding="utf-8")) for path in pages.rglob("*.md")}
    broken, links = [], 0
    for page in known:
        prose = re.sub(r"`[^`\n]*`", "", prose_of(page.read_text(encoding="utf-8")))
        for address in re.findall(r"\]\(([^)\s]+)\)", prose):
            if re.match(r"[a-z]+:", address):
                continue
            links += 1
            # Of a picture, it is the colours of the page that show it.
            address = re.sub(r"\.webp#only-(light|dark)$", ".webp", address)
            path, _, anchor = address.partition("#")
            target = (page.parent / path).resolve() if path else page
            if not target.exists() or (anchor and anchor not in known.get(target, ())):
                broken.append(f"{page.relative_to(pages)}: {address}")
    assert links > 150
    assert broken == []


def test_pictures_are_shown_in_light_and_dark(pages: Path) -> None:
    """`test_pictures` takes them in a browser; this says which one is missing, too large, or shown nowhere."""
    there = {path.name for path in (ROOT / "docs" / "pictures").iterdir()}
    assert there == {f"{name}-{scheme}.webp" for name in ("report", "explorer", "serve") for scheme in SCHEMES}
    for name in there:
        data = (ROOT / "docs" / "pictures" / name).read_bytes()
        assert data[8:12] == b"WEBP", name
        assert LEAST < len(data) < MOST, f"{name} has {len(data)} bytes"
    shown = {
        (found[2], found[3])
        for page in pages.rglob("*.md")
        for found in re.finditer(r"!\[([^\]]{20,})\]\(\S*pictures/(\S+)#only-(\w+)\)", page.read_text(encoding="utf-8"))
    }
    assert shown == {(name, name.removesuffix(".webp").rpartition("-")[2]) for name in there}


def test_files_that_a_page_shows_stand_in_it(pages: Path) -> None:
    text = text_of(pages, "ci/index.md")
    assert "<!-- show" not in text
    for name in ("github.yml", "gitlab.yml", "story.sh"):
        assert (ROOT / "docs" / "ci" / name).read_text(encoding="utf-8").rstrip() in text


def test_commands_of_the_page_on_ci_are_ones_that_there_are() -> None:
    text = (ROOT / "docs" / "ci" / "index.md").read_text(encoding="utf-8")
    lines = [line for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL) for line in block.splitlines()]
    called = [shlex.split(line)[1:] for line in lines if line.startswith("harness ")]
    assert len(called) >= 4
    for name, *arguments in called:
        cli.load(name).make_context(name, arguments)


# ---- the generated reference


def test_comments_of_other_keys_explain_none(pages: Path) -> None:
    """Lines above a key that are keys themselves, only commented out, are no explanation of it."""
    text = text_of(pages, "reference/suite.md")
    assert "| `limits` | [limits](#limits) |  | Limits that its advice respects. |" in text
    assert not re.search(r"^\|.*\| [a-z_]+: \S+ +#", text, re.MULTILINE)


def test_every_command_and_option_is_on_the_page(pages: Path) -> None:
    text = text_of(pages, "reference/cli.md")
    for verb in cli.VERBS:
        part = re.search(rf"^### harness {verb}\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL)
        assert part is not None, verb
        for parameter in cli.load(verb).params:
            if "--help" in parameter.opts:
                continue
            for name in parameter.opts if parameter.param_type_name == "option" else ():
                assert re.search(rf"`{name}[` ]", part[1]), f"{verb} {name}"
        arguments = [one for one in cli.load(verb).params if one.param_type_name == "argument"]
        assert len(re.findall(r"^\| argument \|", part[1], re.MULTILINE)) == bool(arguments)


def test_how_a_command_is_called_and_what_it_takes_by_default() -> None:
    assert reference_cli.usage("export") == "harness export CANDIDATE DIR [OPTIONS]"
    options = {one.written: one for one in reference_cli.parameters("diagnose")}
    assert options["`SUITE`"].required
    assert options["`--split {dev,test}`"].default == "`dev`"
    assert options["`--store PLACE`"].default == "`.harness`"
    assert options["`--json`"].default == ""
    seed = next(one for one in reference_cli.parameters("run") if one.written == "`--seed N`")
    assert "may be repeated" in seed.about
    assert "at least 0" in seed.about.lower()


def sections_by_key() -> dict[tuple[str, ...], str]:
    """Key of the suite -> its section on the page."""
    return {
        (*section.path, info.alias or name): section.anchor
        for section in reference_suite.sections()
        for name, info in section.spec.model_fields.items()
    }


@pytest.mark.parametrize("key", FIELDS, ids=".".join)
def test_every_key_of_a_suite_is_on_the_page_with_what_it_is_for(key: tuple[str, ...], pages: Path) -> None:
    known = sections_by_key()
    spec_shared = {"llm": ("llm", "synthesizer"), "forgetting": ("dataset",)}
    shared = (*spec_shared[key[0]], *key[2:]) if key[0] in spec_shared else key
    anchor = known.get(key) or known.get(shared)
    assert anchor is not None
    part = re.search(
        rf"^## {re.escape(title_of(anchor))}\n(.*?)(?=^## |\Z)", text_of(pages, "reference/suite.md"), re.M | re.S
    )
    assert part is not None
    row = re.search(rf"^\| `{key[-1]}` \| (.+?) \|(.*)\|(.*)\|$", part[1], re.MULTILINE)
    assert row is not None
    assert row[1].strip()
    assert row[3].strip(), f"{'.'.join(key)} is not explained"


def title_of(anchor: str) -> str:
    return next(section.title for section in reference_suite.sections() if section.anchor == anchor)


@pytest.mark.parametrize(
    ("key", "kind", "default"),
    [
        (("evaluate", "split"), "`dev`, `test`", "`test`"),
        (("pipeline", "depth"), "whole number, at least 1", "`100`"),
        (("recipes", "retriever", "warmup"), "number, at least 0 and at most 1", "`0.1`"),
        (("pipeline", "retriever"), "[pipeline.retriever](#pipelineretriever)", ""),
        (("pipeline", "reranker"), "[pipeline.reranker](#pipelinereranker) or `null`", "`null`"),
        (("candidates", "*", "mine"), "[data.mine](#datamine)", ""),
        (("measures",), "list of measure", "required"),
        (("seeds",), "list of whole number, at least 0 and below 4294967296", "`[0]`"),
    ],
)
def test_types_and_defaults_in_words(key: tuple[str, ...], kind: str, default: str) -> None:
    info = FIELDS[key]
    assert reference_suite.type_text(info.annotation, info.metadata, key) == kind
    assert reference_suite.default_text(info) == default


def test_measures_and_exit_codes_are_whole(pages: Path) -> None:
    measures, codes = text_of(pages, "reference/measures.md"), text_of(pages, "reference/exit-codes.md")
    for name, kind in KINDS.items():
        assert f"| `{name}@k` |" in measures if kind.family == "rank" else f"| `{name}` |" in measures
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, errors.HarnessError) and kind is not errors.HarnessError:
            assert f"| {kind.exit_code} | `{name}` |" in codes
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", codes, re.MULTILINE)} == {0, 1, 2, 3, 4, 70, 130}


def test_the_page_of_python_follows_what_the_package_offers(pages: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = text_of(pages, "reference/python.md")
    for name in reference_python.offered(harness):
        assert f"### harness.{name}\n" in text
    assert "ForwardRef" not in text
    assert "PosixPath" not in text
    assert "### benchmark.run\n" in text
    assert "### imports.read_import\n" in text
    assert "def " not in reference_python.signature("f", lambda: None)

    def offered(suite: str, *, jobs: int | None = None) -> None:
        """Do what is offered, from `suite`."""

    monkeypatch.setattr(harness, "__all__", ("offered",), raising=False)
    monkeypatch.setattr(harness, "offered", offered, raising=False)
    again = reference_python.python_page()
    assert "### harness.offered\n\n```python\noffered(suite: str, *, jobs: int | None = None) -> None\n```" in again
    assert "Do what is offered, from `suite`." in again


def test_everything_on_the_page_of_python_has_a_docstring() -> None:
    silent = [name for name, about in reference_python.described().items() if not about]
    assert silent == []


def test_a_long_signature_stands_over_several_lines() -> None:
    def long(a_first_argument: str, a_second_argument: int = 0, *, an_option_by_name: str | None = None) -> list[str]:
        return []

    told = reference_python.signature("long", long)
    assert told.splitlines()[0] == "long("
    assert "    *," in told
    assert told.endswith(") -> list[str]")


def test_the_gallery_links_every_board_and_names_every_suite(pages: Path) -> None:
    text, board = text_of(pages, "gallery.md"), (ROOT / "reports" / "LEADERBOARD.md").read_text(encoding="utf-8")
    linked = set(re.findall(r"\(leaderboard\.md#([^)]+)\)", text))
    assert linked == anchors("\n".join(line for line in board.splitlines() if line.startswith("## ")))
    shipped = [path for path in sorted((ROOT / "suites").glob("*/suite.yaml")) if path.parent.name != "template"]
    for path in shipped:
        title = yaml.safe_load(path.read_text(encoding="utf-8")).get("title", "")
        assert f"## {path.parent.name}\n" in text
        assert title in text.replace("\\", "")


# ---- what the site asks of others


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("a.html", '<a href="https://example.org">x</a><link rel="canonical" href="https://example.org/a">', []),
        ("a.html", '<script src="https://cdn.example/x.js"></script>', ["https://cdn.example/x.js"]),
        ("a.html", '<link rel="stylesheet" href="//fonts.example/css">', ["//fonts.example/css"]),
        ("a.html", '<img src="local.png"><img src="data:image/png;base64,AA">', []),
        ("a.css", "a{background:url('https://example.org/x.svg')} b{background:url(data:image/svg+xml;x)}",
         ["https://example.org/x.svg"]),
        ("a.css", '@import "https://example.org/y.css";', ["https://example.org/y.css"]),
    ],
)  # fmt: skip
def test_what_a_page_asks_of_other_servers_is_found(name: str, text: str, found: list[str], tmp_path: Path) -> None:
    (tmp_path / name).write_text(text)
    assert make_site.asked_elsewhere(tmp_path) == [f"{name}: {one}" for one in found]


def test_search_from_the_disk_needs_no_other_server(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in ("index.html", "a/b.html", "plain.html"):
        shim = "" if name == "plain.html" else f'<script src="{make_site.SHIM}"></script>'
        (tmp_path / name).write_text(shim)
    assert make_site.with_own_worker(tmp_path) == 2
    assert make_site.asked_elsewhere(tmp_path) == []
    assert (tmp_path / "index.html").read_text() == '<script src="file-worker.js"></script>'
    assert (tmp_path / "a" / "b.html").read_text() == '<script src="../file-worker.js"></script>'


def test_a_site_with_warnings_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = SimpleNamespace(returncode=0, stdout="Warning: page does not exist\n", stderr="")
    monkeypatch.setattr(make_site.subprocess, "run", lambda *args, **more: done)
    with pytest.raises(SystemExit, match="the site has warnings"):
        make_site.build(tmp_path / "out")


def test_lists_within_lists_and_comments_are_written_for_python_markdown() -> None:
    text = "1. One:\n   * nested\n     goes on\n\n```yaml\ngates:\n  - {measure: x}\n```\n\n<!-- here -->\n* item\n"
    shown = make_site.as_markdown(text)
    assert "\n    * nested\n     goes on\n" in shown
    assert "\n  - {measure: x}\n" in shown
    assert "<!-- here -->\n\n* item" in shown
