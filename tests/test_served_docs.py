"""What docs/served.md shows is what a suite takes and what the code does, and its server answers."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pocket
import yaml

from harness.cli.export_pipeline import FOLDERS
from harness.cli.main import VERBS
from harness.data.formats import write_run
from harness.llm.served_system import SystemClient, SystemQuestion
from harness.llm.services import Services
from harness.planning.plan import build_plan
from harness.suite.external import External
from harness.suite.files import parse_suite
from harness.suite.served_models import EncoderEndpoint, RerankerEndpoint, SystemEndpoint

PAGE = (Path(__file__).parent.parent / "docs" / "served.md").read_text(encoding="utf-8")
EXAMPLES = [yaml.safe_load(example) for example in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
MESSAGES = [json.loads(example) for example in re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)]
(CODE,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_examples_can_be_planned(tmp_path: Path) -> None:
    assert len(EXAMPLES) == 3
    write_run(tmp_path / "theirs.trec", {"q1": [("d1", 1.0)]})
    (tmp_path / "theirs.jsonl").write_text(json.dumps(MESSAGES[0]) + "\n", encoding="utf-8")
    for example in EXAMPLES:
        pipeline = {f"pipeline.{part}": value for part, value in example.get("pipeline", {}).items()}
        changes = {"measures": ["ndcg@10"], "pipeline.generator": None, **pipeline, "candidates": example["candidates"]}
        changes |= {"gates": example["gates"]} if "gates" in example else {}
        suite = parse_suite(pocket.suite_text(changes), tmp_path / "suite.yaml")
        names = {system.name for system in build_plan(suite, pocket.dataset()).systems if system.role == "candidate"}
        assert names == set(example["candidates"])


def test_vectors_are_asked_for_once_whatever_is_cut_off() -> None:
    changes = {"pipeline.generator": None, "measures": ["ndcg@10"], "candidates": EXAMPLES[0]["candidates"]}
    suite = pocket.suite(changes)
    endpoints = {name: suite.pipeline_of(one).retriever.endpoint for name, one in suite.candidates.items()}
    whole, cut = endpoints["openai"], endpoints["short-vectors"]
    assert whole is not None
    assert cut is not None
    assert whole.digest == cut.digest


def rows(table: str) -> Iterator[list[str]]:
    for line in PAGE.split(table)[1].split("\n\n")[0].splitlines()[2:]:
        yield [cell.strip() for cell in line.strip("|").split("|")]


def settings(cell: str) -> dict[str, Any]:
    """The settings of a cell such as `base_url: x`, `batch: 32`."""
    found: dict[str, Any] = {}
    for text in re.findall(r"`([a-z_]+: [^`]+)`", cell):
        found |= yaml.safe_load(text)
    return found


def test_the_table_of_servers_is_what_endpoints_take() -> None:
    servers = list(rows("| server | for the retriever | for the reranker |"))
    assert len(servers) == 9
    for _, encoder, reranker in servers:
        if encoder:
            EncoderEndpoint(model="m", **settings(encoder))
        if reranker and not reranker.startswith("the same"):
            assert RerankerEndpoint(model="m", **settings(reranker)).base_url


def test_every_setting_of_the_table_exists_with_its_default() -> None:
    fields = EncoderEndpoint.model_fields | RerankerEndpoint.model_fields
    named = [name for key, *_ in rows("| key | default | meaning |") for name in re.findall(r"`(\w+)`", key)]
    assert {"batch", "similarity", "price_request", "revision"} < set(named) <= fields.keys()
    defaults = (
        EncoderEndpoint.model_fields["batch"].default, EncoderEndpoint.model_fields["batch_tokens"].default,
        RerankerEndpoint.model_fields["batch"].default,
    )  # fmt: skip
    assert "{} texts and {:,} tokens; {} passages".format(*defaults) in PAGE
    client = EncoderEndpoint.model_fields
    assert f"{client['max_concurrency'].default}, {client['timeout'].default:g} s, {client['retries'].default}" in PAGE
    assert set(External.model_fields) == {"run", "answers", "endpoint"}


def test_the_commands_exist_and_the_export_has_the_folder() -> None:
    assert set(re.findall(r"harness (\w+) ", PAGE)) <= {*VERBS, "run"}
    assert f"tuned-export/{FOLDERS['retriever']}" in PAGE


def test_the_messages_are_those_of_the_client() -> None:
    _, asked, answered = MESSAGES
    question = SystemQuestion(asked["question"], asked["top_k"], asked["answer"])
    from harness.llm.completions import Redaction
    from harness.llm.dialects import Dialect
    from harness.llm.faults import Completion, RequestContext
    from harness.suite.roles import Llm

    assert question.body(Llm(model="m", base_url="http://h"), Dialect(), False) == asked
    read = question.read(json.dumps(answered).encode(), RequestContext("m", "K"), Redaction(str, str))
    assert isinstance(read, Completion)
    assert json.loads(read.values[0]) == {"passages": ["d7", "d2"], "answer": "Nine hours."}


def test_the_server_of_the_page_answers(tmp_path: Path) -> None:
    code = CODE.replace('("127.0.0.1", 8080), Handler).serve_forever()', '("127.0.0.1", 0), Handler)')
    code = code.replace("    ThreadingHTTPServer(", "    server = ThreadingHTTPServer(")
    code += "    print(server.server_port, flush=True)\n    server.serve_forever()\n"
    (tmp_path / "server.py").write_text(code, encoding="utf-8")
    process = subprocess.Popen([sys.executable, str(tmp_path / "server.py")], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        rule = SystemEndpoint(model="service", base_url=f"http://127.0.0.1:{port}/ask")
        client = SystemClient(rule, Services(roles={}, folder=tmp_path, run="now"))
        (reply,) = client.ask([SystemQuestion("How long?", 1, True)], lambda done, total: None)
        client.close()
    finally:
        process.terminate()
        process.wait(10)
        if process.stdout is not None:
            process.stdout.close()
    assert (reply.passages, reply.answer) == (("d7",), "Nine hours.")
