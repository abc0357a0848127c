"""`harness ingest`: make a dataset folder of documents and of datasets in other formats, and update it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, TypedDict

import typer

from harness.cli import layout
from harness.cli.options import Common, print_json, print_line, takes
from harness.data.imports import Columns
from harness.errors import HarnessError
from harness.ingest.apart import MEGABYTE, Limits
from harness.ingest.readers.formats import OTHERS
from harness.ingest.reports import NAMED, Report
from harness.ingest.update import ingest
from harness.report import format
from harness.text import decimals

MOST_SUFFIXES = 6
CHANGES = {
    "added": "new", "changed": "changed", "unchanged": "unchanged", "removed": "removed",
    "kept": "kept without their source", "unreadable_kept": "kept as they were, not readable now",
}  # fmt: skip
COLUMN = "For tables: the column with the"


@takes("as_json", "verbose", "quiet")
def verb(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE",
            help="Folders or files of Markdown, text, HTML, PDF and DOCX; or datasets of other formats.",
        ),
    ],
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder of the dataset; created if it does not exist.")],
    *,
    keep_missing: Annotated[
        bool, typer.Option("--keep-missing", help="Keep documents whose file or source is no longer there.")
    ] = False,
    max_file_mb: Annotated[float, typer.Option("--max-file-mb", min=0.001, help="Skip larger files.")] = 100.0,
    max_file_seconds: Annotated[
        float, typer.Option("--max-file-seconds", min=0.1, help="Skip a file that takes longer to read.")
    ] = 120.0,
    id_column: Annotated[str | None, typer.Option(help=f"{COLUMN} id.")] = None,
    text_column: Annotated[str | None, typer.Option(help=f"{COLUMN} text of a document.")] = None,
    title_column: Annotated[str | None, typer.Option(help=f"{COLUMN} title.")] = None,
    question_column: Annotated[str | None, typer.Option(help=f"{COLUMN} question.")] = None,
    answer_column: Annotated[str | None, typer.Option(help=f"{COLUMN} reference answer.")] = None,
    context_column: Annotated[str | None, typer.Option(help=f"{COLUMN} passage that answers the question.")] = None,
    split_by_document: Annotated[
        bool,
        typer.Option("--split-by-document", help="Assign the questions of imports to train, dev and test by document."),
    ] = False,
    common: Common,
) -> None:
    """Make a dataset folder from documents; run it again to update the folder."""
    columns = Columns(id_column, text_column, title_column, question_column, answer_column, context_column)
    limits = Limits(round(max_file_mb * MEGABYTE), max_file_seconds)
    how: _How = {"columns": columns, "limits": limits, "keep_missing": keep_missing, "split": split_by_document}
    report = _ingest(sources, folder, how, common)
    if common.as_json:
        print_json({"folder": str(folder), **report.as_json()})
    else:
        show(report, common)


class _How(TypedDict):
    columns: Columns
    limits: Limits
    keep_missing: bool
    split: bool


def _ingest(sources: list[str], folder: Path, how: _How, common: Common) -> Report:
    if common.quiet:
        return ingest(sources, folder, **how)
    from harness.report.render.progress import Steps

    error: HarnessError | None = None
    with Steps(common.screen()) as steps, steps("reading documents") as progress:
        try:
            report = ingest(sources, folder, **how, progress=progress)
        except HarnessError as raised:
            # It says what is wrong; that a step failed says nothing more.
            error = raised
    if error is not None:
        raise error
    return report


def show(report: Report, common: Common) -> None:
    """Print a report: what was written, what the documents are like, and what was left out."""
    screen = common.screen()
    summary = report.summary
    counts = [f"{report.changes[name]:,} {words}" for name, words in CHANGES.items() if report.changes[name]]
    print_line(screen, f"{format.counted(summary['documents'], 'document')} in {report.folder}: {', '.join(counts)}.")
    if not common.quiet:
        layout.heading("What they are like", screen)
        layout.fields(list(_facts(report)), screen)
    unread = report.unread
    if unread:
        files = sum(len(one["files"]) for one in unread)
        layout.heading(f"Not read: {format.counted(files, 'file')}", screen)
        layout.sentences([_unread(one, common.verbose) for one in unread], screen)
    remarks = [*(_remark(one, common.verbose) for one in report.notes), *map(format.sentence, report.remarks)]
    if remarks and not common.quiet:
        layout.heading("Read with a remark", screen)
        layout.sentences(remarks, screen)
    if report.other_problems:
        layout.heading("Left out", screen)
        layout.sentences([format.sentence(line) for line in report.other_problems], screen)
    skipped = _skipped(report)
    if skipped and not common.quiet:
        layout.heading("Passed over", screen)
        layout.sentences(skipped, screen)
    if not common.quiet:
        screen.print()
        print_line(screen, _next(report))


def _facts(report: Report) -> list[tuple[str, str]]:
    summary = report.summary
    words, same = summary["words"], summary["duplicates"]
    facts = [
        ("sections", f"{format.counted(summary['sections'], 'heading')} in "
                     f"{format.counted(summary['documents_with_sections'], 'document')}"),
        ("words", f"{words['median']:,} in the median; {words['longest']:,} in the longest ({words['longest_id']})"),
        ("languages", _languages(summary["languages"])),
    ]  # fmt: skip
    if words["beyond_limit"]:
        share = decimals.percent(words["beyond_limit"] / summary["documents"])
        text = (
            f"{format.counted(words['beyond_limit'], 'document')} ({share}) with more than about {words['limit']} "
            "words, the most that an encoder of 256 tokens reads: set pipeline.chunking to index them in chunks"
        )
        facts.append(("long", text))
    kinds = (("exact copy", "exact copies", same["exact"]), ("near copy", "near copies", same["near"]))
    copies = [
        f"{format.counted(sum(map(len, groups)) - len(groups), one, many)} (such as {groups[0][1]} of {groups[0][0]})"
        for one, many, groups in kinds
        if groups
    ]
    facts.append(("duplicates", "; ".join(copies) or "none"))
    judged = report.judged
    if judged["queries"]:
        splits = ", ".join(f"{split} {count:,}" for split, count in judged["splits"].items()) or "none judged"
        facts.append(("queries", f"{judged['queries']:,} ({splits}); {format.counted(judged['answers'], 'answer')}"))
    if report.contexts:
        lost = report.contexts - report.placed
        text = f"{report.placed:,} of {report.contexts:,} are parts of documents, and spans of these now"
        facts.append(("contexts", text + (f"; not found, and documents of their own: {lost:,}" if lost else "")))
    if report.collisions:
        facts.append(("ids", f"{report.collisions:,} with their source's name in front: another has the same path"))
    return facts


def _languages(counts: dict[str, int]) -> str:
    from harness.text import name_of

    known = [(code, count) for code, count in counts.items() if code != "unknown"]
    named = [f"{name_of(code)} {count:,}" for code, count in known[:5]]
    rest = sum(count for _, count in known[5:])
    return ", ".join([*named, *([f"others {rest:,}"] if rest else []),
                      *([f"not recognised {counts['unknown']:,}"] if "unknown" in counts else [])])  # fmt: skip


def _named(names: Sequence[str], verbose: bool) -> str:
    if len(names) == 1:
        return names[0]
    return f"{len(names):,} files ({', '.join(names if verbose else format.first(names, NAMED))})"


def _unread(one: dict[str, Any], verbose: bool) -> str:
    reason = f"{one['reason']}; {one['hint']}" if one["hint"] else one["reason"]
    return f"{_named(one['files'], verbose)}: {'each ' if len(one['files']) > 1 else ''}{reason}."


def _remark(one: dict[str, Any], verbose: bool) -> str:
    return f"{_named(one['files'], verbose)}: {one['note']}."


def _skipped(report: Report) -> list[str]:
    lines = []
    if report.suffixes:
        frequent = report.suffixes.most_common()
        named = [f"{suffix} {count:,}" for suffix, count in frequent[:MOST_SUFFIXES]]
        rest = sum(count for _, count in frequent[MOST_SUFFIXES:])
        lines.append(f"{format.counted(report.suffixes.total(), 'file')} of kinds that are not read: "
                     f"{', '.join([*named, *([f'others {rest:,}'] if rest else [])])}.")  # fmt: skip
        hints: dict[str, list[str]] = {}
        for suffix, _ in frequent:
            if suffix in OTHERS:
                hints.setdefault(OTHERS[suffix], []).append(suffix)
        lines += [f"To read {format.listed(suffixes)}: {hint}." for hint, suffixes in hints.items()]
    if report.hidden:
        lines.append(f"{format.counted(report.hidden, 'hidden file or folder', 'hidden files and folders')}.")
    if report.links:
        lines.append(f"{format.counted(report.links, 'link')} to files that are read under their own names.")
    return lines


def _next(report: Report) -> str:
    if report.judged["queries"] or (report.folder / "queries.jsonl").exists():
        return f"Next: harness init --from {report.folder} SUITE writes a suite for this dataset."
    return (
        f"Next: harness testset {report.folder} writes questions about these documents. "
        f"Then harness init --from {report.folder} SUITE writes a suite."
    )
