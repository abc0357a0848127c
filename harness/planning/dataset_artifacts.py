"""A dataset as artifacts: corpus, queries and judgements apart, so that a stage call depends only on what it reads.

A changed test question does not make the corpus be indexed again, and only stages that need judgements get them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from shutil import copyfile

from harness.data.datasets import Dataset, Split
from harness.hashing import digest_file, digest_of
from harness.planning.contexts import GenerationSample
from harness.stages.shared import common
from harness.store import Store
from harness.values.records import Histories, Qrels

Writer = Callable[[Path], None]


class DatasetArtifacts:
    """Keys and writers of the artifacts of a dataset, by name: ``corpus``, ``test.queries``, ``sample``, ...

    ``test.qrels`` has grades below the relevance level as 0, ``test.graded`` has them all; both leave out documents
    that are not in the corpus. Where nothing differs, the two are one part. ``test.history`` exists only if queries
    have earlier turns.
    """

    def __init__(self, dataset: Dataset, split: str, generation_sample: GenerationSample) -> None:
        self.keys: dict[str, str] = {}
        self._writers: dict[str, Writer] = {}
        self._add("corpus", dataset.digests["corpus"], lambda out: common.write_corpus(out, dataset.documents))
        for name, part in dataset.splits.items():
            self._add_queries(f"{name}.queries", {key: query.text for key, query in part.queries.items()})
            self._add_histories(f"{name}.history", part.histories)
            digests = dataset.digests
            for kind, qrels in (("qrels", part.usable), ("graded", part.graded)):
                # Judgements that every stage may read as they are go by the digest that measures go by.
                digest = digests[f"{name}.qrels"] if qrels == part.qrels else digest_of(qrels)
                self._add(f"{name}.{kind}", digest, self._qrels(qrels), "qrels")
            if part.spans:
                self._add(f"{name}.spans", digests[f"{name}.spans"], self._spans(part))
            self._add(f"{name}.references", digests[f"{name}.references"], self._references(part))
        chosen = dataset.splits[split].queries
        self.queries = {key: query.text for key, query in chosen.items()}
        self._add_queries("sample", {key: chosen[key].text for key in generation_sample.query_ids})
        histories = dataset.splits[split].histories
        self._add_histories(
            "sample.history", {key: histories[key] for key in generation_sample.query_ids if key in histories}
        )
        if generation_sample.contexts:
            contexts = generation_sample.contexts
            self._add("contexts", digest_of(list(contexts.items())), lambda out: common.write_contexts(out, contexts))

    def _add(self, name: str, digest: str, writer: Writer, kind: str = "") -> None:
        self.keys[name] = digest_of(["part", kind or name.split(".")[-1], digest])
        self._writers[name] = writer

    def _add_queries(self, name: str, queries: Mapping[str, str]) -> None:
        self.keys[name] = digest_of(["part", "queries", list(queries.items())])
        self._writers[name] = lambda out: common.write_queries(out, queries)

    def _add_histories(self, name: str, histories: Histories) -> None:
        """Add the turns before queries; queries without any have no such part, and no key depends on it."""
        if histories:
            turns = [[key, [list(turn) for turn in before]] for key, before in histories.items()]
            self._add(name, digest_of(turns), lambda out: common.write_histories(out, histories))

    def add_files(self, files: Mapping[str, Path]) -> str:
        """Add files of another system as one artifact, by their names in it; return its key."""
        digests = {name: digest_file(path) for name, path in files.items()}
        name = f"external {digest_of(digests)[:12]}"
        self._add(name, digest_of(digests), lambda out: _copied(files, out), "external")
        return self.keys[name]

    @staticmethod
    def _qrels(qrels: Qrels) -> Writer:
        return lambda out: common.write_judgements(out, qrels)

    @staticmethod
    def _spans(part: Split) -> Writer:
        return lambda out: common.write_spans(out, part.spans)

    @staticmethod
    def _references(part: Split) -> Writer:
        return lambda out: common.write_references(out, part.references)

    def publish(self, store: Store) -> None:
        """Put every artifact into the store that is not there yet."""
        for name, key in self.keys.items():
            if store.get(key) is None:
                with store.claim(key) as folder:
                    self._writers[name](folder)
                    store.commit(key, folder, {"part": name})


def _copied(files: Mapping[str, Path], out: Path) -> None:
    for name, path in files.items():
        copyfile(path, out / name)
