"""`scipy-api`: retrieval and answers over the documentation of the installed SciPy.

One document a public symbol: its name and signature, its description, its parameters. The one-line summary is left
out of the document and becomes the question; the answer is the line ``scipy.fft.dct(x, type=2, ...)``. Symbols that
share a bare name, a question or an object form a group: a group is never split, and is removed from the corpus as a
whole to make its questions unanswerable. Nothing of SciPy's text is kept in this repository.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence

from harness.data.builders import Built
from harness.data.builders.scipy_symbols import Symbol, usable
from harness.values.records import Document, Qrels, Query, Reference

BUILDER_VERSION = 1
ARGUMENTS_A_GROUP, ABOUT_ARGUMENT = 3, "a:"
SPLITS = (("train", 0.50), ("dev", 0.15), ("test", 0.35))

# Modules that do the same things under the same names, for other arrays or by other means.
_MIRRORS = (
    {"fft", "fftpack"},
    {"linalg", "linalg.interpolative", "sparse", "sparse.linalg"},
    {"stats", "stats.mstats", "stats.contingency"},
)


Group = list[Symbol]


def build(
    symbols: int | None, unanswerable: float, split_seed: int, arguments: bool = False, summaries: bool = True
) -> Built:
    """Build the dataset from `symbols` symbols (all if None), before a share of the groups is removed.

    `summaries` asks for a symbol by what it does, `arguments` also by what one of its arguments means.
    """
    every, version = usable()
    groups = _groups(every)
    about_arguments = _argument_questions(groups) if arguments else {}
    if symbols is not None:
        groups = _sample(groups, symbols, split_seed)
    removed = _removed(groups, unanswerable, split_seed)
    documents: list[Document] = []
    queries: list[Query] = []
    qrels: Qrels = {}
    references: dict[str, Reference] = {}
    splits: dict[str, str] = {}
    for name, group in sorted(groups.items()):
        answerable = name not in removed
        if answerable:
            documents += [Document(symbol.name, symbol.answer, symbol.body) for symbol in group]
        asked = [*(_queries(name, group) if summaries else ()), *about_arguments.get(name, ())]
        for query, relevant in asked:
            if arguments:
                about = "argument" if query.query_id.startswith(ABOUT_ARGUMENT) else "summary"
                query = query._replace(metadata={**query.metadata, "about": about})
            queries.append(query)
            splits[query.query_id] = _split(name, split_seed)
            references[query.query_id] = _reference(query, relevant if answerable else [])
            if answerable:
                qrels[query.query_id] = {symbol.name: 1 for symbol in relevant}
    source = {
        "name": "scipy-api",
        "builder_version": BUILDER_VERSION,
        "package": f"scipy {version}",
        "licence": "BSD-3-Clause",
        "usable_symbols": len(every),
        "symbols": sum(map(len, groups.values())),
        "groups": len(groups),
        "groups_removed": len(removed),
        "documents": len(documents),
        "queries": len(queries),
    }
    queries.sort(key=lambda query: query.query_id)
    return Built(sorted(documents), queries, qrels, references, splits, source)


def _reference(query: Query, relevant: Group) -> Reference:
    answers = tuple(symbol.answer for symbol in relevant)
    return Reference(query.query_id, answers, bool(relevant), tuple(symbol.name for symbol in relevant))


def _queries(name: str, group: Group) -> Iterator[tuple[Query, Group]]:
    """One query for each distinct question of a group, with the symbols that answer it."""
    asked: dict[str, Group] = defaultdict(list)
    for symbol in group:
        asked[_key(symbol.question)].append(symbol)
    for askers in asked.values():
        relevant = [symbol for symbol in group if any(_answers(symbol, asker) for asker in askers)]
        yield Query(f"q:{askers[0].name}", askers[0].question, name, {"package": askers[0].package}), relevant


def _argument_questions(groups: dict[str, Group]) -> dict[str, list[tuple[Query, Group]]]:
    """Up to three queries for each group about arguments of its symbols, such as no other group would ask.

    They are chosen by a hash; all names of the same object are relevant. `groups` are all there are, so that a query
    does not depend on the sample.
    """
    asking: dict[str, set[str]] = defaultdict(set)
    for name, group in groups.items():
        for symbol in group:
            for text in symbol.arguments:
                asking[_key(text)].add(name)
    asked: dict[str, list[tuple[Query, Group]]] = {}
    for name, group in groups.items():
        own = [
            (_fraction(0, "argument", symbol.name + text), text, symbol)
            for symbol in group
            for text in symbol.arguments
            if len(asking[_key(text)]) == 1
        ]
        chosen = {_key(text): (text, symbol) for _, text, symbol in sorted(own, reverse=True)}
        for text, asker in [*chosen.values()][::-1][:ARGUMENTS_A_GROUP]:
            same = {symbol.name for symbol in group if _key(text) in map(_key, symbol.arguments)}
            relevant = [symbol for symbol in group if symbol.name in same or _answers(symbol, asker)]
            query_id = f"{ABOUT_ARGUMENT}{asker.name}:{hashlib.sha256(text.encode()).hexdigest()[:6]}"
            query = Query(query_id, text, name, {"package": asker.package})
            asked.setdefault(name, []).append((query, relevant))
    return asked


def _answers(symbol: Symbol, asker: Symbol) -> bool:
    """A group is wider than an answer: two symbols with one name may mean two things (`gamma`, `norm`)."""
    if symbol.identity == asker.identity or _key(symbol.question) == _key(asker.question):
        return True
    modules = {symbol.module, asker.module}
    return symbol.bare == asker.bare and any(modules <= mirror for mirror in _MIRRORS)


def _key(text: str) -> str:
    return " ".join(re.findall(r"[^\W_]+", text.casefold()))


def _groups(symbols: Sequence[Symbol]) -> dict[str, Group]:
    """Union-find over equal bare names, equal questions and equal objects; a group has its first symbol's name."""
    parent = {symbol.name: symbol.name for symbol in symbols}

    def root(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    first: dict[tuple[str, str | int], str] = {}
    for symbol in symbols:
        for key in (("bare", symbol.bare), ("question", _key(symbol.question)), ("object", symbol.identity)):
            first_root, other = sorted((root(first.setdefault(key, symbol.name)), root(symbol.name)))
            parent[other] = first_root
    groups: dict[str, Group] = defaultdict(list)
    for symbol in symbols:
        groups[root(symbol.name)].append(symbol)
    return dict(groups)


def _fraction(seed: int, purpose: str, name: str) -> float:
    """Return a number in [0, 1) that depends only on the arguments."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{purpose}:{name}".encode()).digest()[:6], "big") / 2**48


def _split(group: str, seed: int) -> str:
    at = _fraction(seed, "split", group)
    for split, share in SPLITS:
        at -= share
        if at < 0:
            return split
    return SPLITS[-1][0]


def _removed(groups: dict[str, Group], share: float, seed: int) -> set[str]:
    """Return the groups to remove from the corpus: the same share of every split."""
    by_split: dict[str, list[str]] = defaultdict(list)
    for name in sorted(groups, key=lambda name: _fraction(seed, "unanswerable", name)):
        by_split[_split(name, seed)].append(name)
    return {name for names in by_split.values() for name in names[: round(share * len(names))]}


def _sample(groups: dict[str, Group], symbols: int, seed: int) -> dict[str, Group]:
    """Sample whole groups with at most `symbols` symbols: each sub-package has its share, and one group at least."""
    by_package: dict[str, list[str]] = defaultdict(list)
    for name in sorted(groups, key=lambda name: _fraction(seed, "sample", name)):
        by_package[groups[name][0].package].append(name)
    ranked = sorted(
        (at / len(names), package, name) for package, names in by_package.items() for at, name in enumerate(names)
    )
    sample: dict[str, Group] = {}
    left = symbols
    for _, _, name in ranked:
        if len(groups[name]) <= left:
            sample[name] = groups[name]
            left -= len(groups[name])
    return sample
