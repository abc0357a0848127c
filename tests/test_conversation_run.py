"""A whole run with histories: tiny encoders, a scripted rewriter, the report, and the page of single queries."""

from __future__ import annotations

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

import pytest
import smallsuite
import yaml
from scripted_chat import ScriptedChat

from harness.cli.export import export
from harness.experiments import benchmark
from harness.experiments.benchmark import Finished
from harness.experiments.diagnose import diagnose
from harness.experiments.reports import write_page

SERVED = {"model": "large", "base_url": "http://localhost:1/v1", "price_in": 100.0, "price_out": 100.0}


def dataset(folder: Path) -> Path:
    """Two turns about every topic: the second says "it", and the first names it."""
    smallsuite.other_dataset(folder)
    lines = (folder / "queries.jsonl").read_text(encoding="utf-8").splitlines()
    rows: list[dict[str, Any]] = []
    for line in lines:
        row = json.loads(line)
        kind, topic = row["_id"].split()
        row["metadata"] = {"conversation": topic}
        if kind == "how":
            row["text"] = "how old is it?"
            row["history"] = [
                {"role": "user", "content": f"what is the {topic}?"}, {"role": "assistant", "content": "It is red."},
            ]  # fmt: skip
        rows.append(row)
    (folder / "queries.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder


def rewriting(ask: Any) -> str:
    """The topic of the first line of the conversation in the place of "it"; of one, a refusal."""
    text = ask.messages[-1].content
    topic = re.findall(r"what is the (\w+)\?", text)[0]
    return "I'm sorry, I cannot help." if topic == "mine" else f"how old is the {topic}?"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("conversation")
    changes = {
        "dataset": {"path": str(dataset(folder / "data")), "group": {"metadata": "conversation"}},
        "candidates": {
            "joined": {"pipeline": {"conversation": "concatenate"}},
            "reworded": {"pipeline": {"conversation": "rewrite"}},
        },
        "evaluate": {"split": "test", "probe_queries": 4, "probe_generations": 4},
        "llm": {"rewriter": SERVED},
    }
    path = smallsuite.write(folder, smallsuite.bi_encoder(folder / "model"), changes)
    chat = ScriptedChat(rewriting)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("harness.llm.services.chat", lambda role: chat)
        patched.setattr("harness.execution.endpoints.check", lambda *_: None)
        return benchmark.run(path, folder / "store", executor=smallsuite.Here())


def means(finished: Finished) -> dict[str, float]:
    rows = finished.outcome.summaries
    return {row.system: row.mean for row in rows if row.measure == "ndcg@10" and row.mean is not None}


def test_what_the_turns_name_is_found(finished: Finished) -> None:
    found = means(finished)
    assert found["joined"] > found["untuned"] + 0.1
    assert found["reworded"] > found["untuned"] + 0.1


def test_the_report_counts_rewrites_and_those_that_were_dropped(finished: Finished) -> None:
    text = " ".join((finished.folder / "report.md").read_text(encoding="utf-8").split())
    assert (
        "rewrite test: of 12 queries with earlier turns 11 were rewritten, and 1 rewrites were dropped (1 a refusal): "
        "these queries are searched as they are." in text
    )
    assert "counts as independent" not in text


def test_the_rewriter_is_part_of_latency_and_serving_cost(finished: Finished) -> None:
    costs = {info.label: info.serving for info in finished.outcome.systems}
    reworded, joined = costs["reworded"], costs["joined"]
    assert reworded is not None
    assert joined is not None
    assert reworded.parts[0] == "rewrite"
    assert "rewrite" not in joined.parts
    # A request costs 10 tokens in and 3 out, and half of the queries are rewritten.
    paid = (10 + 3) * 100 / 1e6 * 1000
    assert reworded.dollars_per_1000 is not None
    assert 0.3 * paid < reworded.dollars_per_1000 < 1.2 * paid


def explored(page: Path) -> dict[str, Any]:
    (packed,) = re.findall(r'id="explorer-data">(.+?)<', page.read_text(encoding="utf-8"))
    found: dict[str, Any] = json.loads(gzip.decompress(base64.b64decode(packed)))
    return found


def test_the_page_shows_the_conversation_and_what_was_searched_with(finished: Finished, tmp_path: Path) -> None:
    first = explored(finished.folder / "report.html")
    place = next(number for number, (key, *_) in enumerate(first["queries"]) if key == "how kiln")
    detail = first["details"][str(place)]
    assert detail["history"] == [["user", "what is the kiln?"], ["assistant", "It is red."]]
    searched = dict(zip(first["systems"], detail["searched"], strict=True))
    assert searched["untuned"] == ""
    assert searched["joined"] == "what is the kiln?\nhow old is it?"
    assert searched["reworded"] == "how old is the kiln?"
    alone = next(number for number, (key, *_) in enumerate(first["queries"]) if key == "what kiln")
    assert "history" not in first["details"][str(alone)]
    # Made again from the files of the outcome, it is the same.
    assert explored(write_page(finished.folder, tmp_path / "again.html")) == first


def test_a_diagnosis_measures_joined_turns_and_advises_them(finished: Finished, tmp_path: Path) -> None:
    data = finished.folder.parents[3] / "data"
    changes = {"dataset": {"path": str(data), "group": {"metadata": "conversation"}}, "candidates": {}}
    path = smallsuite.write(tmp_path, smallsuite.bi_encoder(tmp_path / "model"), changes)
    seen = diagnose(path, tmp_path / "store", split="test", executor=smallsuite.Here()).diagnosis
    joined = next(one for one in seen.training_free if one.name == "conversation-concatenate")
    gain = joined.gain("ndcg@10")
    assert gain is not None
    assert gain.difference is not None
    assert gain.difference > 0.1
    assert seen.facts["conversation.turns"] == 0.5
    assert seen.facts["gain.concatenate"] == gain.difference
    assert "rewrite-with-turns" not in {one.rule for one in seen.advice}


def test_an_export_holds_the_setting_and_the_rewriter(finished: Finished, tmp_path: Path) -> None:
    store = finished.folder.parents[2]
    export("reworded", tmp_path / "out", store)
    text = (tmp_path / "out" / "pipeline.yaml").read_text(encoding="utf-8")
    value = yaml.safe_load(text)
    assert value["pipeline"]["conversation"] == "rewrite"
    assert value["rewriter"]["model"] == "large"
    assert "{conversation}" in value["rewriter"]["prompt"]
    assert "`rewriter` writes a query with earlier turns" in text
    export("joined", tmp_path / "other", store)
    assert "rewriter" not in yaml.safe_load((tmp_path / "other" / "pipeline.yaml").read_text(encoding="utf-8"))
