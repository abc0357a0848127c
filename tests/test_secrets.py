"""Keys in a suite are refused wherever they stand, and no message, file or screen shows them."""

from __future__ import annotations

import copy
import re
import string
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import llm_server
import pocket
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from llm_server import Server

from harness.cli import main as cli
from harness.errors import ConfigError
from harness.suite import builtin, secrets
from harness.suite.files import parse_suite
from harness.suite.roles import Llm

ALPHABET = string.ascii_letters + string.digits
SUITE: dict[str, Any] = {
    **pocket.SUITE,
    "title": "a title", "rubric": "formal tone",
    "pipeline": {
        "depth": 30, "context": 2, "retriever": {"model": "m", "query_prompt": "query: "},
        "generator": {"model": "llm:generator", "instruction": "Answer."},
    },
    "llm": {
        "judge": {"model": "m", "base_url": "https://host/v1", "api_key_env": "TEAM_KEY",
                  "headers": {"X-Title": "bench"}, "query": {"api-version": "2024-10-21"},
                  "extra_body": {"provider": {"order": ["first"]}}, "reasoning_effort": "low"},
        "generator": {"model": "m"},
    },
}  # fmt: skip


def tails(size: int) -> st.SearchStrategy[str]:
    """Random letters and digits, with some of each."""
    return st.text(st.sampled_from(ALPHABET), min_size=size, max_size=size).map(lambda text: f"aB3{text}x9Y2")


KEYS = st.one_of(
    *(tails(30).map(lambda tail, head=head: head + tail) for head in (
        "sk-", "sk-proj-", "sk-ant-api03-", "gsk_", "xai-", "hf_", "ghp_", "AIza", "pplx-", "nvapi-", "r8_", "csk-",
    )),
    st.text(st.sampled_from(string.ascii_uppercase + string.digits), min_size=16, max_size=16).map("AKIA{}".format),
    st.tuples(tails(10), tails(10), tails(20)).map(lambda parts: "eyJ{}.{}.{}".format(*parts)),
    tails(30).map(lambda tail: "A1b2C3d4" + tail),
)  # fmt: skip


def leaves(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The places of all texts of a suite."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*at, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from leaves(inner, (*at, number))
    elif isinstance(value, str):
        yield at


PLACES = [*leaves(SUITE)]


def planted(at: tuple[Any, ...], key: str, whole: bool) -> str:
    """The suite as a file, with a key in place of a text, or within it."""
    value = copy.deepcopy(SUITE)
    place = value
    for part in at[:-1]:
        place = place[part]
    place[at[-1]] = key if whole else f"{place[at[-1]]} {key} or so"
    return yaml.safe_dump(value, sort_keys=False, width=1000)


def shown(text: str) -> str:
    with pytest.raises(ConfigError) as error:
        parse_suite(text, Path("suite.yaml"))
    return str(error.value)


@settings(max_examples=100)
@given(KEYS, st.sampled_from(PLACES), st.booleans())
def test_a_key_in_any_text_is_refused_and_not_shown(key: str, at: tuple[Any, ...], whole: bool) -> None:
    said = shown(planted(at, key, whole))
    assert key not in said
    assert key[8:] not in said, "most of it is shown"


@settings(max_examples=20)
@given(KEYS)
def test_a_key_for_a_name_or_in_a_broken_file_is_not_shown(key: str) -> None:
    for text in (
        f"{pocket.suite_text()}{key}: 1\n", f"{pocket.suite_text()}title: [{key}\n",
        f"{pocket.suite_text()}llm: {key}\n", f"{pocket.suite_text()}llm: {{judge: {{price_in: {key}}}}}\n",
        f"{pocket.suite_text()}llm: {{judge: {{model: m, headers: {{{key}: a}}}}}}\n",
    ):  # fmt: skip
        assert key[8:] not in shown(text)


@pytest.mark.parametrize(
    "name",
    ["sk-proj-PASTEDKEY0123456789", "a8f5f167f44f4964e6c998dee827110c", "my key", "", "gsk_a1B2c3D4e5F6g7H8i9"],
)  # fmt: skip
def test_what_is_no_name_of_a_variable_is_refused_and_not_repeated(name: str) -> None:
    said = shown(pocket.suite_text({"llm": {"judge": {"model": "m", "api_key_env": name}}}))
    assert "suite.yaml" in said
    assert "llm.judge.api_key_env: is no name of an environment variable" in said
    assert not name or name not in said


@pytest.mark.parametrize(
    "url",
    [
        "http://host/v1?key=SECRETINURL123456", "https://host/v1?api-version=1&subscription-key=abc",
        "https://me:pw-of-mine@host/v1", "https://pw-of-mine@host/v1", "https://host/v1?sig=abc",
        "https://host/sk-proj-PASTEDKEY0123456789/v1", "https://host/v1#token-4f5a6b7c8d9e0f1a2b3c",
    ],
)  # fmt: skip
def test_an_address_that_gives_a_secret_away_is_refused(url: str) -> None:
    said = shown(pocket.suite_text({"llm": {"judge": {"model": "m", "base_url": url}}}))
    assert "'base_url' holds" in said
    for secret in ("SECRETINURL123456", "pw-of-mine", "PASTEDKEY", "4f5a6b7c8d9e"):
        assert secret not in said


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://me:pw-of-mine@host/db", "postgresql://host/db?password=pw-of-mine",
        "host=db user=me password=pw-of-mine", "host=db password = 'pw-of-mine two'",
        "Server=db;User=me;Password=pw-of-mine", "https://host:443/;AccountKey=h4Jk29dKq0ZpX71mQw8Rr5Tt3Yy==",
    ],
)  # fmt: skip
def test_an_address_of_an_index_or_a_tracker_gives_nothing_away(address: str) -> None:
    for at, changes in (
        ("pipeline.retriever.index", {"pipeline.retriever": {"index": {"kind": "pgvector", "address": address}}}),
        ("track.mlflow", {"track": {"mlflow": {"address": address}}}),
    ):
        with pytest.raises(ConfigError) as caught:
            parse_suite(pocket.suite_text(changes), Path("suite.yaml"))
        (problem,) = caught.value.problems
        assert f"{at}.address: 'address' holds" in str(problem)
        assert str(problem).endswith("which would be written down; set it in the environment")
        assert not re.search("pw-of-mine|h4Jk29dK", str(problem))


@pytest.mark.parametrize("address", ["host=db dbname=v", "http://db:6333", "host=db password=${PGPASSWORD}"])
def test_an_address_without_a_secret_is_taken(address: str) -> None:
    changes = {"pipeline.retriever": {"index": {"kind": "pgvector", "address": address}}}
    assert parse_suite(pocket.suite_text(changes), Path("suite.yaml")).pipeline.retriever.index is not None


@pytest.mark.parametrize(
    ("section", "value"),
    [
        ("headers", {"Authorization": "Bearer abc"}), ("headers", {"x-api-key": "abc"}),
        ("headers", {"X-Route": "4f5a6b7c8d9e0f1a2b3c"}), ("query", {"code": "abc"}), ("query", {"key": "abc"}),
        ("extra_body", {"api_key": "abc"}), ("extra_body", {"a": [{"b": "4f5a6b7c8d9e0f1a2b3c"}]}),
    ],
)  # fmt: skip
def test_a_literal_secret_is_refused_and_a_reference_is_taken(section: str, value: dict[str, Any]) -> None:
    said = shown(pocket.suite_text({"llm": {"judge": {"model": "m", section: value}}}))
    assert f"llm.judge.{section}: holds a secret" in said
    assert "abc" not in said.replace("abcdef", "")
    assert "4f5a6b7c" not in said
    referred = dict.fromkeys(value, "${TEAM_KEY}")
    Llm(model="m", **{section: referred})


FINE = [
    "meta-llama/Llama-3.3-70B-Instruct", "claude-3-5-sonnet-20241022", "gpt-4o-mini-2024-07-18",
    "ft:gpt-4o-mini-2024-07-18:acme::9ABcd12E", "Qwen/Qwen3-Embedding-0.6B-GGUF", "embedded:smollm2-135m-instruct",
    "intfloat/multilingual-e5-large-instruct", "sentence-transformers/all-MiniLM-L6-v2",
    "hf_internal_testing/tiny-random-bert", "model@9f86d081884c7d659a2feaa0c55ad015a3bf4f1b",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "mxbai-embed-large-v1-q8_0",
    "550e8400-e29b-41d4-a716-446655440000", "sk-learn questions", "a task-oriented sk-8 tone", "Answer in 20 words.",
    "https://llm.example.org/v1?api-version=2024-10-21", "OPENAI_API_KEY", "TEAM_LLM_KEY_2",
    "DeepSeek-R1-Distill-Qwen-32B-AWQ-4bit", "accounts/fireworks/models/llama-v3p1-405b-instruct",
    "anthropic.claude-3-5-sonnet-20241022-v2:0", "Meta-Llama-3.1-8B-Instruct-Q4_K_M.gguf",
]  # fmt: skip


@pytest.mark.parametrize("text", FINE)
def test_names_of_models_digests_and_words_are_no_keys(text: str) -> None:
    assert not secrets.revealed(text)
    assert secrets.mask(text) == text


def test_no_shipped_suite_is_refused() -> None:
    found = list(builtin.folder("suites").glob("*/suite.yaml"))
    assert found
    for path in found:
        node = yaml.safe_load(path.read_text(encoding="utf-8"))
        for at in leaves(node):
            value = node
            for part in at:
                value = value[part]
            assert not secrets.revealed(value), (path, at)


@pytest.mark.parametrize("command", [["doctor"], ["plan"], ["run", "-q"]])
def test_the_command_line_shows_no_key(
    command: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "sk-proj-PASTEDKEY0123456789"
    path = tmp_path / "suite.yaml"
    text = pocket.suite_text({"title": f"with {key}", "llm": {"judge": {"model": "m", "api_key_env": key}}})
    path.write_text(text, encoding="utf-8")
    monkeypatch.setenv("OPENAI_BASE_URL", f"https://me:{key}@host/v1?key={key}")
    monkeypatch.setattr("sys.argv", ["harness", *command, str(path), "--store", str(tmp_path / "store")])
    with pytest.raises(SystemExit) as left:
        cli.main()
    assert left.value.code == 2
    told = capfd.readouterr()
    assert "PASTEDKEY" not in re.sub(r"\s", "", told.out + told.err)
    assert not any(b"PASTEDKEY" in file.read_bytes() for file in (tmp_path / "store").rglob("*") if file.is_file())


def test_what_a_server_repeats_of_a_header_or_an_address_is_masked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from harness.llm import preflight
    from harness.llm.services import Services

    monkeypatch.setenv("ROUTE", "r0ute-secret-of-mine")
    monkeypatch.setenv("TOKEN", "t0ken-secret-of-mine")
    said = "no such route r0ute-secret-of-mine with t0ken-secret-of-mine"
    with Server(lambda body: llm_server.error(400, said)) as server:
        role = Llm(model="m", base_url=server.url, headers={"x-route": "${ROUTE}"}, query={"token": "${TOKEN}"})
        problem = preflight.check("judge", Services(roles={"judge": role}, folder=tmp_path))
        assert "secret-of-mine" in str(server.seen[0])
    assert "no such route *** with ***" in str(problem)
