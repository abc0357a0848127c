"""`harness testset`: write test questions from documents, have a person review them, apply the review."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from rich.console import Console

from harness.cli import layout
from harness.cli.options import Common, print_json, print_line, takes
from harness.errors import ConfigError, Problem, nearest
from harness.llm import shared_answers
from harness.report import format as fmt
from harness.testset import folder as files
from harness.testset import page, review, roles
from harness.testset.dealing import SPLITS, Kind
from harness.testset.make import KINDS_OF_SMALL, Maker, Report, Wishes
from harness.testset.reasons import ORDER
from harness.values.questions import changed_in_words, in_words

DEFAULTS = Wishes()
INCOMPLETE = 3


@takes("store", "as_json", "quiet", "replay")
def verb(
    folder: Annotated[
        Path, typer.Argument(metavar="DIR", help="Dataset folder with corpus.jsonl; questions are added to it.")
    ],
    questions: Annotated[
        int, typer.Option("--questions", "-n", min=1, max=100_000, help="Synthetic questions in all splits together.")
    ] = DEFAULTS.questions,
    kinds: Annotated[str, typer.Option("--kinds", help="Shares of the kinds of question.")] = "",
    splits: Annotated[str, typer.Option("--splits", help="Shares of the splits.")] = "",
    model: Annotated[
        str | None,
        typer.Option("--model", help="Model that writes: embedded:NAME, a folder, or one at an endpoint."),
    ] = None,
    base_url: Annotated[str | None, typer.Option("--base-url", help="Address of an OpenAI-compatible server.")] = None,
    api_key_env: Annotated[
        str | None, typer.Option("--api-key-env", help="Environment variable that holds the key.")
    ] = None,
    suite: Annotated[str | None, typer.Option("--suite", help="Suite whose llm.synthesizer writes.")] = None,
    max_tokens: Annotated[
        int | None, typer.Option("--max-tokens", min=1, help="Most tokens that this run may use at the endpoint.")
    ] = None,
    passage_words: Annotated[
        int, typer.Option("--passage-words", min=40, max=2000, help="Most words of a passage that is asked about.")
    ] = DEFAULTS.words,
    seed: Annotated[int, typer.Option("--choice-seed", min=0, help="Seed of the choice of passages.")] = DEFAULTS.seed,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what it will take, and write nothing.")] = False,
    apply: Annotated[Path | None, typer.Option("--apply", help="Review (CSV) whose decisions are applied.")] = None,
    *,
    common: Common,
) -> None:
    """Write test questions from documents, and apply a person's review of them."""
    if apply is not None:
        _apply(folder, apply, common)
        return
    author = roles.author_of(roles.Asked(model, base_url, api_key_env, suite, max_tokens))
    usual = DEFAULTS.kinds if author.capable else KINDS_OF_SMALL
    wishes = Wishes(
        questions, shares("--splits", splits, DEFAULTS.splits, SPLITS),
        shares("--kinds", kinds, usual, get_args(Kind)), passage_words, seed,
    )  # fmt: skip
    services = roles.services_of(author, common.store, common.replay)
    shared_answers.exchange(services.folder)
    writer = roles.writer_of(author, services, folder, common.store, seed, checked=not dry_run)
    maker = Maker(folder, wishes, writer, roles.similarity(author))
    if dry_run:
        _forecast(maker, author, common)
        return
    try:
        _make(maker, author, common)
    finally:
        shared_answers.exchange(services.folder)


def shares(option: str, text: str, defaults: Mapping[Any, float], names: tuple[str, ...]) -> dict[Any, float]:
    """Return the shares that an option gives as ``single=2,several=1``, with a sum of 1; a name not given has 0.

    Raises ConfigError with all that is wrong.
    """
    if not text:
        return dict(defaults)
    problems: list[Problem] = []
    found = dict.fromkeys(names, 0.0)
    for part in text.split(","):
        name, equals, number = (one.strip() for one in part.partition("="))
        try:
            share = float(number) if equals else -1.0
        except ValueError:
            share = -1.0
        if name not in names:
            problems.append(Problem(option, f"unknown name {name!r}", nearest(name, names)))
        elif not 0 <= share < float("inf"):
            problems.append(Problem(option, f"{part.strip()!r} gives no share", f"write {name}=0.5"))
        else:
            found[name] = share
    if not problems and not sum(found.values()):
        problems.append(Problem(option, "all shares are 0", f"write {names[0]}=1"))
    if problems:
        raise ConfigError(problems)
    total = sum(found.values())
    return {name: share / total for name, share in found.items()}


def _forecast(maker: Maker, author: roles.Author, common: Common) -> None:
    least, most = maker.estimate()
    dollars = [author.author.dollars(one.tokens, 0) for one in (least, most)]
    if common.as_json:
        print_json({"least": least._asdict(), "most": most._asdict(), "dollars": dollars, "by": maker.writer.name})
        return
    screen = common.screen()
    what = "requests" if author.capable else "texts"
    print_line(screen, f"{maker.writer.name} would write the questions, from {maker.passages.total:,} passages.")
    print_line(
        screen,
        f"If no question is dropped: {least.requests:,} {what}, about {least.tokens:,} tokens. At most: "
        f"{most.requests:,} {what}, about {most.tokens:,} tokens.",
    )
    if any(dollars):
        print_line(screen, f"That is {fmt.dollars(dollars[0])} to {fmt.dollars(dollars[1])} at the price of prompts.")
    if not author.capable:
        print_line(screen, roles.RECOMMENDED)


def _make(maker: Maker, author: roles.Author, common: Common) -> None:
    screen = common.screen()
    if not author.capable and not common.quiet:
        print_line(screen, roles.RECOMMENDED)
    with common.progress() as display, display("questions") as progress:
        report = maker.run(progress)
    contents = files.read(maker.place)
    written = [review.write(maker.place, contents), page.write(maker.place, contents)]
    if common.as_json:
        print_json({**report.__dict__, "synthetic": report.total, "review": [str(path) for path in written]})
    else:
        describe(report, screen)
        print_line(screen, f"Review them in {written[1]}, or in {written[0]}.")
        print_line(screen, f"Then: harness testset {maker.place} --apply {written[0]}")
    if not report.total or (report.failed and report.total < report.wanted):
        raise typer.Exit(INCOMPLETE)


def describe(report: Report, screen: Console) -> None:
    """Print what a run did: the passages, what each filter dropped, and what was kept."""
    left_out = "; ".join(f"{count:,} {reason}" for reason, count in report.left_out.items())
    print_line(
        screen,
        f"{fmt.counted(report.documents, 'document')}, {fmt.counted(report.passages, 'passage')} to ask about"
        + (f" (left out: {left_out})." if left_out else "."),
    )
    kinds = [kind for kind in get_args(Kind) if report.tried.get(kind)]
    if kinds:
        layout.heading(f"Questions written by {report.by}", screen)
        layout.table(("", *kinds, "all"), _rows(report, kinds), (*kinds, "all"), screen)
    if report.failed:
        layout.heading("Requests that failed; the next run asks again", screen)
        layout.fields([(f"{count:,}", reason) for reason, count in report.failed.items()], screen)
    screen.print()
    added = f"{fmt.counted(report.added, 'question')} added"
    there = f", {report.there:,} were there" if report.there else ""
    people = f", beside {fmt.counted(report.of_people, 'question')} by people" if report.of_people else ""
    print_line(screen, f"{added}{there}{people}.")
    if report.ended:
        print_line(screen, f"Fewer than the {report.wanted:,} wanted: {report.ended}.")
    if sentence := in_words(report.total, report.total, report.reviewed, report.by):
        print_line(screen, sentence)
    if report.changed:
        print_line(screen, changed_in_words(report.changed), "yellow")


def _rows(report: Report, kinds: list[Kind]) -> list[list[str]]:
    names = [name for name in ORDER if name in report.dropped]
    names += sorted(report.dropped.keys() - set(names))
    rows = [["written", *_numbers({kind: report.tried[kind] - report.lost.get(kind, 0) for kind in kinds}, kinds)]]
    rows += [[f"- {name}", *_numbers(report.dropped[name], kinds)] for name in names]
    kept = {kind: sum(report.kept.get(kind, {}).values()) for kind in kinds}
    rows.append(["kept", *_numbers(kept, kinds)])
    for split in SPLITS:
        of_split = {kind: report.kept.get(kind, {}).get(split, 0) for kind in kinds}
        rows.append([f"  in {split}", *_numbers(of_split, kinds)])
    return rows


def _numbers(counts: Mapping[Any, int], kinds: list[Kind]) -> list[str]:
    return [*(f"{counts.get(kind, 0):,}" for kind in kinds), f"{sum(counts.get(kind, 0) for kind in kinds):,}"]


def _apply(folder: Path, path: Path, common: Common) -> None:
    found = review.apply(folder, path)
    if common.as_json:
        wrong = [str(problem) for problem in found.wrong]
        print_json({**found._asdict(), "wrong": wrong})
    else:
        screen = common.screen()
        print_line(
            screen,
            f"{found.accepted:,} accepted, {found.edited:,} edited, {found.rejected:,} rejected, {found.undecided:,} "
            f"not decided; {fmt.counted(found.changed, 'question')} changed.",
        )
        print_line(screen, in_words(found.total, found.total, found.reviewed, "") or "No synthetic question is left.")
        for problem in found.wrong:
            print_line(screen, f"Not applied: {problem}", "yellow")
    contents = files.read(folder)
    review_file = folder / "review.csv"
    if found.changed and path.resolve() != review_file.resolve():
        review.write(folder, contents)
    page.write(folder, contents)
    if found.wrong:
        raise typer.Exit(INCOMPLETE)
