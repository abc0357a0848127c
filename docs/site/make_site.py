"""Build the documentation site: lay its pages out, write the generated ones, and let Zensical make HTML of them.

    python docs/site/make_site.py              # into build/site/html; needs the dependency group `docs`
    python docs/site/make_site.py --pages      # only the pages, into build/site/pages

The site is strict: a broken link or a page outside the navigation ends the build. It asks nothing of other servers.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from reference_cli import cli_page
from reference_python import python_page
from reference_rest import exit_codes_page, gallery_page, measures_page
from reference_suite import suite_page

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
OUT = ROOT / "build" / "site"
CONFIG = "zensical.toml"
PAGES, HTML = "pages", "html"
OTHERS = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md", "SECURITY.md": "reporting.md"}
"""Pages at the root of the repository, and their names on the site."""
SHIM, WORKER = "https://unpkg.com/iframe-worker/shim", "file-worker.js"
"""What Zensical loads from another server, so that search works from the disk, and what does it here."""
ASSETS = ("extra.css", WORKER)
SHOWN = re.compile(r"^<!-- show (\S+) -->$", re.MULTILINE)
"""Stands in a page where a file beside it is shown whole."""
LANGUAGES = {".yml": "yaml", ".yaml": "yaml", ".sh": "sh", ".py": "python"}
PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)\s]*pictures/[^)\s]*)-light(\.\w+)\)")
"""A picture that there is in light and in dark: forges show the first, the site the one that fits."""


# ---- pages


def lay_out(out: Path) -> Path:
    """Write every page of the site below a new folder, beside the configuration, and return the folder of pages."""
    shutil.rmtree(out, ignore_errors=True)
    pages = out / PAGES
    ignored = shutil.ignore_patterns("site", "*.json", "__pycache__")
    shutil.copytree(ROOT / "docs", pages, ignore=ignored)
    for path in pages.rglob("*.md"):
        path.write_text(as_markdown(with_files(path)), encoding="utf-8")
    for name, text in generated().items():
        (pages / name).parent.mkdir(exist_ok=True)
        (pages / name).write_text(text, encoding="utf-8")
    for name in ASSETS:
        shutil.copyfile(HERE / name, pages / name)
    shutil.copyfile(HERE / CONFIG, out / CONFIG)
    return pages


def generated() -> dict[str, str]:
    """Return the pages that are made of the program and of files outside `docs/`, by their paths."""
    board = _text("reports/LEADERBOARD.md")
    pages = {
        "index.md": _text("docs/site/index.md"),
        "reference/cli.md": cli_page(),
        "reference/suite.md": suite_page(),
        "reference/python.md": python_page(),
        "reference/exit-codes.md": exit_codes_page(),
        "reference/measures.md": measures_page(),
        "gallery.md": gallery_page(board),
        "leaderboard.md": board,
        "skill.md": _without_front_matter(_text("skills/rag-tuning/SKILL.md")),
    }
    return pages | {name: _at_top(_text(path)) for path, name in OTHERS.items()}


def _text(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def _at_top(text: str) -> str:
    """A page of the root of the repository, with links as they are on the site."""
    for path, name in OTHERS.items():
        text = text.replace(f"]({path}", f"]({name}")
    return text.replace("](docs/", "](")


def _without_front_matter(text: str) -> str:
    return re.sub(r"\A---\n.*?\n---\n", "", text, flags=re.DOTALL).lstrip()


def with_files(page: Path) -> str:
    """Return the text of a page, with the files that it shows."""

    def shown(match: re.Match[str]) -> str:
        path = page.parent / match[1]
        return f"```{LANGUAGES.get(path.suffix, 'text')}\n{path.read_text(encoding='utf-8').rstrip()}\n```"

    return SHOWN.sub(shown, page.read_text(encoding="utf-8"))


def navigation(value: Any = None) -> Iterator[str]:
    """Yield the pages of the navigation, in its order."""
    if value is None:
        value = tomllib.loads((HERE / CONFIG).read_text(encoding="utf-8"))["project"]["nav"]
    if isinstance(value, str):
        yield value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from navigation(item)


def unlisted(pages: Path) -> list[str]:
    """Return pages that the navigation lacks, and those that it has and that there are not."""
    found = {path.relative_to(pages).as_posix() for path in pages.rglob("*.md")}
    return sorted(found ^ set(navigation()))


def as_markdown(text: str) -> str:
    """Return a page as Python-Markdown reads it, where that differs from what forges read.

    A nested list is indented by four blanks, and a comment has an empty line below it. A picture is shown in the
    colours of the site. Code stays as it is.
    """
    parts = re.split(r"(^ *```.*?^ *```[ ]*$)", text, flags=re.MULTILINE | re.DOTALL)
    for number in range(0, len(parts), 2):
        nested = re.sub(r"^ {2,3}(?=[*-] )", " " * 4, parts[number], flags=re.MULTILINE)
        nested = PICTURE.sub(r"![\1](\2-light\3#only-light)![\1](\2-dark\3#only-dark)", nested)
        parts[number] = re.sub(r"^(<!-- .* -->)\n(?=\S)", r"\1\n\n", nested, flags=re.MULTILINE)
    return "".join(parts)


# ---- HTML


class _Addresses(HTMLParser):
    """Addresses that a browser asks for when it opens a page: not those of links, which a reader follows."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "link" and values.get("rel") in ("canonical", "prev", "next", "alternate", "edit"):
            return
        names = {"link": ("href",), "a": ()}.get(tag, ("src", "srcset", "data", "poster"))
        self.found += [value for name in names if (value := values.get(name))]


def asked_elsewhere(html: Path) -> list[str]:
    """Return what pages and styles of a site ask of other servers, with the file that does."""
    asked = []
    for path in sorted([*html.rglob("*.html"), *html.rglob("*.css")]):
        text = path.read_text(encoding="utf-8")
        found = re.findall(r"(?:url\(|@import )\s*[\"']?([^\"')\s;]+)", text)
        if path.suffix == ".html":
            parser = _Addresses()
            parser.feed(text)
            found = parser.found
        asked += [f"{path.relative_to(html)}: {one}" for one in found if re.match(r"(?:https?:)?//", one)]
    return asked


def with_own_worker(html: Path) -> int:
    """Let pages load the script that makes search work from the disk from beside them; return how many did not."""
    changed = 0
    for path in html.rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        if SHIM in text:
            place = "../" * len(path.relative_to(html).parents[:-1]) + WORKER
            path.write_text(text.replace(SHIM, place), encoding="utf-8")
            changed += 1
    return changed


def build(out: Path) -> Path:
    """Lay out the pages, build the site and check it; return the folder of HTML. Exits with 1 if something is wrong."""
    wrong = [f"{name}: not both a page and in the navigation of docs/site/{CONFIG}" for name in unlisted(lay_out(out))]
    if wrong:
        sys.exit("\n".join(wrong))
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--clean", "--config-file", CONFIG]
    done = subprocess.run(command, cwd=out, env={**os.environ, "NO_COLOR": "1"}, capture_output=True, text=True)
    print(done.stdout + done.stderr, end="")
    if done.returncode or "warning" in (done.stdout + done.stderr).lower():
        sys.exit("the site has warnings; they are printed above")
    with_own_worker(out / HTML)
    if wrong := asked_elsewhere(out / HTML):
        sys.exit("\n".join(["the site must work without a network, and asks for:", *wrong]))
    return out / HTML


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=OUT, help="folder to write; what is in it is removed")
    parser.add_argument("--pages", action="store_true", help="write the pages only, without HTML")
    given = parser.parse_args()
    place = lay_out(given.out) if given.pages else build(given.out) / "index.html"
    print(f"Wrote {place}")


if __name__ == "__main__":
    main()
