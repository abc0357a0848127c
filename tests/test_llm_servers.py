"""Every role against every server's convention; what is refused is left out, remembered, told; usage; errors in 200."""

# ruff: noqa: F811 (a fixture of another module is a parameter here)
from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import llm_server
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from llm_conventions import CONVENTIONS, KEY, completion, openai_reasoning, stream, wrapping
from llm_roles import PACE, key, role_at, services_of, silently  # noqa: F401
from llm_server import Seen, Served, Server
from pydantic import BaseModel, ValidationError

from harness.llm import Ask, Message, preflight
from harness.llm.dialects import FILE, Dialect
from harness.llm.endpoint import EndpointChat
from harness.llm.faults import Fault
from harness.llm.requests import Question, request_body, without_system
from harness.remarks import endpoints as remarks
from harness.scoring.ragas_judge import RubricVerdict
from harness.stages.shared.remote import MENDED
from harness.stages.synthesize import Queries
from harness.suite.roles import ROLES, Llm, Llms, Role
from harness.values.findings import LedgerRow

FORMS: dict[Role, type[BaseModel] | None] = {
    "synthesizer": Queries, "labeler": RubricVerdict, "judge": RubricVerdict, "generator": None, "rewriter": None,
}  # fmt: skip
SAID: dict[Role, str] = {
    "synthesizer": json.dumps({"queries": ["how long does a kiln cool?"]}),
    "labeler": json.dumps({"explanation": "it says so", "score": 0.9}),
    "judge": json.dumps({"explanation": "it says so", "score": 0.9}),
    "generator": "nine hours",
    "rewriter": "nine hours",
}


def ask_of(role: Role, text: str = "How long?", **changes: Any) -> Ask:
    messages = (Message("system", "Be brief."), Message("user", text))
    return Ask(messages, FORMS[role], **changes)


@pytest.mark.parametrize("name", CONVENTIONS)
def test_every_role_works_with_every_server(name: str, key: str, tmp_path: Path) -> None:
    convention, said = CONVENTIONS[name](), {"text": ""}
    gate = lambda seen: convention.serve(seen, said["text"])  # noqa: E731
    with Server(lambda body: llm_server.says("never"), gate) as server:
        services = services_of(role_at(server, convention.path, **convention.role), tmp_path)
        for role in ROLES:
            said["text"] = SAID[role]
            shape = preflight.ProbeShape(system=True, schema=FORMS[role] is not None)
            assert preflight.check(role, services, shape) is None, "the check before a run refuses what works"
            before = server.requests
            chat = EndpointChat(role, services, PACE)
            (reply,) = chat.ask_all([ask_of(role, f"How long, {role}?")], silently)
            assert reply.failure == ""
            assert (reply.value is not None) == (FORMS[role] is not None)
            assert "nine hours" in reply.text or reply.value is not None
            assert "Be brief." in str(server.seen[-1].body["messages"]), "the instruction was lost"
            # What the check learned is not asked for again; a gateway that was busy let it learn nothing.
            assert server.requests == before + (2 if "wraps" in name and role == ROLES[0] else 1)
            (again,) = chat.ask_all([ask_of(role, f"How long, {role}?")], silently)
            assert (again.text, again.requests) == (reply.text, 0), "what was answered was asked again"


REFUSALS: dict[str, tuple[int, Any, str]] = {
    "OpenAI's o3": (400, {"error": {"message": "Unsupported parameter: 'temperature' is not supported with this model.",
                                    "param": "temperature", "code": "unsupported_parameter"}}, "temperature"),
    "pydantic": (422, {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"],
                                   "msg": "Extra inputs are not permitted", "input": 0}]}, "seed"),
    "Groq": (400, {"error": {"message": "property 'seed' is unsupported", "type": "invalid_request_error"}}, "seed"),
    "Cohere": (422, {"message": "unknown field: parameter 'seed' is not a valid field"}, "seed"),
    "Moonshot": (400, {"error": {"message": "invalid temperature: only 1 is allowed for this model",
                                 "type": "invalid_request_error"}}, "temperature"),
    "Claude with top_p": (400, {"error": {"message": "`temperature` and `top_p` cannot both be specified for this "
                                                     "model. Please use only one."}}, "temperature"),
    "SGLang": (400, {"object": "error", "message": "Unrecognized request argument supplied: seed"}, "seed"),
    "Bedrock": (400, {"message": "Malformed input request: extraneous key [seed] is not permitted, please reformat"},
                "seed"),
    "Perplexity": (400, {"error": {"message": "response_format is not supported for this model", "code": 400}},
                   "response_format"),
    "OpenRouter": (404, {"error": {"message": "No endpoints found that support the parameter response_format",
                                   "code": 404}}, "response_format"),
    "a gateway's 500": (500, {"error": {"message": "got an unexpected keyword argument 'seed'"}}, "seed"),
    "a wrapper of wrappers": (400, {"error": {"message": json.dumps({"error": {
        "message": "Invalid input", "param": "response_format"}})}}, "response_format"),
    "LM Studio": (400, {"error": "'response_format.type' must be 'text'"}, "response_format"),
    "Gemini's camels": (400, [{"error": {"code": 400, "message": "Invalid JSON payload received. Unknown name "
                                         "\"responseFormat\": Cannot find field."}}], "response_format"),
}  # fmt: skip


@pytest.mark.parametrize("wording", REFUSALS)
def test_a_refused_parameter_is_left_out_in_any_wording(wording: str, key: str, tmp_path: Path) -> None:
    status, content, name = REFUSALS[wording]

    def gate(seen: Seen) -> Served | None:
        refused = name in seen.body and not (wording == "Moonshot" and seen.body[name] == 1)
        return Served(status, content) if refused else None

    with Server(lambda body: llm_server.says(SAID["judge"]), gate) as server:
        chat = EndpointChat("judge", services_of(role_at(server), tmp_path), PACE)
        (reply,) = chat.ask_all([ask_of("judge")], silently)
        assert reply.failure == ""
        assert server.requests == 2
        assert server.seen[-1].body.get(name) == (1 if wording == "Moonshot" else None)
        others = {"temperature", "seed", "response_format", "max_tokens"} - {name}
        assert others <= set(server.seen[-1].body), "more was left out than was refused"
        chat.ask_all([ask_of("judge", "And now?")], silently)
        assert server.requests == 3, "it was not remembered"


CONTENT = {
    "a filter": "The response was filtered due to the prompt triggering content management policy.",
    "a window": "This model's maximum context length is 8192 tokens. However, you requested 9000 tokens (8000 in the "
    "messages, 1024 in max_tokens). Please reduce the length of the messages.",
    "a limit": "'max_tokens' or 'max_completion_tokens' is too large: 1024. This model's maximum context length is "
    "512 tokens and your request has 100 input tokens",
    "a question that is quoted": "Invalid prompt: 'what temperature is not supported by clay?' was flagged",
    "nothing": "",
}


@pytest.mark.parametrize("why", CONTENT)
def test_a_400_about_content_teaches_nothing(why: str, key: str, tmp_path: Path) -> None:
    gate = lambda seen: llm_server.error(400, CONTENT[why])  # noqa: E731
    with Server(lambda body: llm_server.says("never"), gate) as server:
        chat = EndpointChat("generator", services_of(role_at(server), tmp_path), PACE)
        (reply,) = chat.ask_all([ask_of("generator")], silently)
        assert reply.failure.startswith("answers 400")
        assert server.requests <= 2
        server.gate = lambda seen: None
        server.answering = lambda body: llm_server.says("nine hours")
        assert chat.ask_all([ask_of("generator", "Other?")], silently)[0].text == "nine hours"
        assert {"temperature", "seed", "max_tokens"} <= set(server.seen[-1].body), "something was left out"
    assert not (tmp_path / FILE).exists()


WORDINGS = [
    "only 1 is allowed for temperature: invalid temperature", "temperature must be strictly positive",
    "temperature seed max_tokens max_completion_tokens response_format: unsupported",
    "This model only support stream mode", "Unsupported value: 'stream' does not support true",
    "System role not supported", "Use 'max_completion_tokens' instead of max_tokens",
    "Unsupported parameter: 'max_completion_tokens'. Use max_tokens instead", "stream_options is not supported",
]  # fmt: skip


@given(
    st.lists(st.one_of(st.sampled_from(WORDINGS), st.text(max_size=60)), min_size=1, max_size=4),
    st.sampled_from([400, 404, 422, 500]), st.sampled_from(["auto", True, False]),
)  # fmt: skip
def test_asking_anew_ends_whatever_a_server_says(said: list[str], status: int, streams: Any) -> None:
    """A server that refuses everything, in turn, is asked no more often than there is something to leave out."""
    llm = Llm(model="m", base_url="http://h/v1", stream=streams)
    messages = (Message("system", "Be brief."), Message("user", "How long?"))
    question, dialect = Question("", messages, RubricVerdict, 10, 0.0, 0), Dialect()
    for times in range(16):
        told = said[times % len(said)]
        body = request_body(llm, dialect, question, send_schema=True)
        other = dialect.after_refusal(Fault("question", told, status=status, message=told), body)
        if other is None:
            return
        dialect = other
    pytest.fail("it never ends")


def test_answers_at_a_servers_own_temperature_are_not_answers_at_0(key: str, tmp_path: Path) -> None:
    """The cache knows an answer by what was sent: a server that takes a temperature later is asked again."""
    with Server(lambda body: llm_server.says("never"), lambda seen: openai_reasoning(seen, "nine hours")) as server:
        services = services_of(role_at(server), tmp_path)
        EndpointChat("generator", services, PACE).ask_all([ask_of("generator")], silently)
        asked = server.requests
        null = services_of(role_at(server, temperature=None), tmp_path)
        EndpointChat("generator", null, PACE).ask_all([ask_of("generator")], silently)
        assert server.requests == asked, "it is the same question as that of a role without a temperature"
        server.gate = lambda seen: None
        server.answering = lambda body: llm_server.says("eight hours")
        assert preflight.check("generator", services, forget=True) is None
        (reply,) = EndpointChat("generator", services, PACE).ask_all([ask_of("generator")], silently)
        assert reply.text == "eight hours"
        assert server.seen[-1].body["temperature"] == 0


def test_what_was_refused_is_known_to_the_next_process(key: str, tmp_path: Path) -> None:
    from harness.llm import dialects

    with Server(lambda body: llm_server.says("never"), lambda seen: openai_reasoning(seen, "nine hours")) as server:
        services = services_of(role_at(server), tmp_path)
        EndpointChat("generator", services, PACE).ask_all([ask_of("generator")], silently)
        dialects._known_dialects.clear()
        before = server.requests
        EndpointChat("judge", services, PACE).ask_all([ask_of("judge", "Other?")], silently)
        assert "temperature" not in server.seen[before].body
    assert KEY not in (tmp_path / FILE).read_text()


def test_new_settings_of_a_role_change_no_key_unless_they_are_set(tmp_path: Path) -> None:
    """The identities of before: those of every answer, score and stage that is kept."""
    plain_role = Llm(model="m", base_url="http://h/v1")
    assert plain_role.identity == {"model": "m", "temperature": 0.0, "seed": 0, "max_tokens": 1024}
    changes: list[dict[str, Any]] = [
        {"extra_body": {"top_p": 0.5}}, {"headers": {"x-route": "b"}}, {"query": {"api-version": "1"}},
        {"reasoning_effort": "low"}, {"system_turn": False}, {"temperature": None},
    ]  # fmt: skip
    identities = [json.dumps(plain_role.model_copy(update=change).identity) for change in [{}, *changes]]
    assert len(set(identities)) == len(identities)
    with pytest.raises(ValidationError, match="runs in process, so it has no 'extra_body'"):
        Llm(extra_body={"top_p": 0.5})
    same: list[dict[str, Any]] = [{"price_cached": 1.0}, {"stream": True}, {"key_header": "api-key"}]
    for change in same:
        assert plain_role.model_copy(update=change).identity == plain_role.identity


# Errors in 200

WRAPPED: dict[str, tuple[Any, str]] = {
    "OpenRouter, rate": ({"error": {"message": "Rate limit exceeded", "code": 429}}, "busy"),
    "a text for a number": ({"error": {"message": "slow down", "code": "429"}}, "busy"),
    "a code in words": ({"error": {"message": "x", "type": "rate_limit_error"}}, "busy"),
    "words alone": ({"message": "Too many requests, please slow down"}, "busy"),
    "DashScope": ({"code": "Throttling.RateQuota", "message": "Requests rate limit exceeded"}, "busy"),
    "Gemini": ([{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "Quota"}}], "busy"),
    "MiniMax": ({"choices": None, "base_resp": {"status_code": 1002, "status_msg": "rate limit"}}, "busy"),
    "a key": ({"error": {"message": "Invalid API key", "code": 401}}, "stop"),
    "a key in words": ({"detail": "Unauthorized"}, "stop"),
    "no such model": ({"error": {"message": "The model `m` does not exist", "code": "model_not_found"}}, "stop"),
    "credit": ({"error": {"code": "1113", "message": "Insufficient balance or no resource package"}}, "stop"),
    "a path": ({"detail": "Not Found"}, "stop"),
    "upstream": ({"error": {"message": "Internal Server Error", "code": 500}}, "dead"),
    "overloaded": ({"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}, "dead"),
    "in the choice": ({"choices": [{"error": {"code": 502, "message": "Provider returned error"},
                                    "message": {"content": ""}, "finish_reason": "error"}]}, "dead"),
    "the question": ({"error": {"message": "maximum context length exceeded", "code": 400}}, "question"),
    "in a stream": (b'data: {"error": {"message": "Rate limit exceeded", "code": 429}}\n\n', "busy"),
    "nothing": (b"", "again"),
    "a page": (b"<!doctype html><html>Sign in</html>", "dead"),
    "a list of models": ({"object": "list", "data": []}, "dead"),
}  # fmt: skip


@pytest.mark.parametrize("why", WRAPPED)
def test_an_error_wrapped_in_200_is_of_its_kind(why: str, key: str, tmp_path: Path) -> None:
    from harness.llm import event_loop
    from harness.llm.transport import EndpointClient

    content, kind = WRAPPED[why]
    with Server(lambda body: Served(200, content)) as server:
        line = EndpointClient(role_at(server))
        body = {"model": "m", "messages": [{"role": "user", "content": "x"}]}
        outcome = event_loop.submit(line.send(body)).result()
        assert isinstance(outcome, Fault)
        assert outcome.kind == kind, outcome
        event_loop.submit(line.close()).result()


def test_a_rate_limit_in_200_is_no_reason_not_to_begin(key: str, tmp_path: Path) -> None:
    with Server(lambda body: llm_server.says("never"), lambda seen: wrapping(99)(seen, "x")) as server:
        assert preflight.check("judge", services_of(role_at(server), tmp_path)) is None


# Shapes of answers

SHAPES: dict[str, tuple[Served, str]] = {
    "parts": (completion({"content": [{"type": "text", "text": "nine "}, {"type": "text", "text": "hours"}]}, None),
              "nine hours"),
    "one part": (completion({"content": {"type": "text", "text": "nine hours"}}, None), "nine hours"),
    "an older completion": (Served(content={"choices": [{"text": "nine hours"}]}), "nine hours"),
    "a stream that nobody asked for": (stream("nine hours"), "nine hours"),
    "a byte order mark": (Served(content=b"\xef\xbb\xbf" + json.dumps(
        completion({"content": "nine hours"}, None).content).encode()), "nine hours"),
}  # fmt: skip
FAILURES: dict[str, tuple[Served, str]] = {
    "only a thought": (completion({"content": "", "reasoning": "The answer is nine hours"}, None),
                       "the model only thought and wrote no answer; raise max_tokens"),
    "only a thought, in another field": (completion({"content": None, "reasoning_content": "so"}, None, "length"),
                                         "the model only thought"),
    "only a part of thought": (completion({"content": [{"type": "thinking", "thinking": "so"}]}, None), "only thought"),
    "thoughts that only usage tells of": (
        completion({"content": ""}, {"prompt_tokens": 9, "completion_tokens": 48,
                                     "completion_tokens_details": {"reasoning_tokens": 48}}, "length"), "only thought"),
    "a tool": (completion({"content": None, "tool_calls": [{"function": {"name": "search", "arguments": "{}"}}]}, None,
                          "tool_calls"), "called the tool 'search'"),
    "a refusal": (completion({"content": None, "refusal": "I will not."}, None), "refused: I will not."),
    "a filter": (completion({"content": ""}, None, "content_filter"), "refused: by a content filter"),
    "a stream that breaks off": (Served(content=b'data: {"choices": [{"delta": {"content": "nin"}}]}\n\n'),
                                 "stream ended"),
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_an_answer_is_read_in_any_shape(shape: str, key: str, tmp_path: Path) -> None:
    served, text = SHAPES[shape]
    with Server(lambda body: served) as server:
        chat = EndpointChat("generator", services_of(role_at(server), tmp_path), PACE)
        assert chat.ask_all([ask_of("generator")], silently)[0].text == text


@pytest.mark.parametrize("shape", FAILURES)
def test_what_is_no_answer_says_why(shape: str, key: str, tmp_path: Path) -> None:
    served, told = FAILURES[shape]
    with Server(lambda body: served) as server:
        chat = EndpointChat("generator", services_of(role_at(server, retries=1), tmp_path), PACE)
        (reply,) = chat.ask_all([ask_of("generator")], silently)
        assert told in reply.failure
        assert not reply.text


def test_the_check_before_a_run_tells_of_a_model_that_only_thinks(key: str, tmp_path: Path) -> None:
    with Server(lambda body: completion({"content": "", "reasoning": "so"}, None)) as server:
        problem = preflight.check("judge", services_of(role_at(server), tmp_path))
    assert "only thought" in str(problem)
    assert "reasoning_effort" in str(problem)


def test_an_answer_at_once_where_a_stream_is_refused(key: str, tmp_path: Path) -> None:
    said = "Unsupported value: 'stream' does not support true. Only the default (false) value is supported."

    def gate(seen: Seen) -> Served | None:
        return llm_server.error(400, said, "unsupported_value") if seen.body.get("stream") else None

    with Server(lambda body: llm_server.says("nine hours"), gate) as server:
        chat = EndpointChat("generator", services_of(role_at(server, stream=True), tmp_path), PACE)
        assert chat.ask_all([ask_of("generator")], silently)[0].text == "nine hours"
        assert server.requests == 2


SYSTEMS = [
    "System role not supported", "Conversation roles must alternate user/assistant/user/assistant/...",
    "Only user, assistant and tool roles are supported, got system",
    "Only user and assistant roles are supported!", "Developer instruction is not enabled for models/gemma-3-1b-it",
    "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
    "Unexpected role 'system' after role 'user'", "system messages are not allowed",
]  # fmt: skip


@pytest.mark.parametrize("status", [400, 500])
@pytest.mark.parametrize("said", SYSTEMS)
def test_a_turn_of_the_system_that_is_refused_goes_in_front_of_the_question(said: str, status: int) -> None:
    body = {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "How long?"}]}
    other = Dialect().after_refusal(Fault("question", said, status=status, message=said), body)
    assert other is not None
    assert set(other.instead) == {"system"}
    few_shot = [*body["messages"], {"role": "assistant", "content": "nine"}, {"role": "user", "content": "And?"}]
    asked = without_system(few_shot)
    assert [one["role"] for one in asked] == ["user", "assistant", "user"]
    assert asked[0]["content"] == "Be brief.\n\nHow long?"


def test_json_that_was_mended_is_counted_and_told(key: str, tmp_path: Path) -> None:
    texts = {"one": r'{"explanation": "\(x\)", "score": 0.9}', "two": '{"explanation": "fine", "score": 0.9}'}
    with Server(lambda body: llm_server.says(texts[llm_server.asked(body)])) as server:
        for _ in range(2):
            chat = EndpointChat("judge", services_of(role_at(server), tmp_path), PACE)
            replies = chat.ask_all([ask_of("judge", text) for text in texts], silently)
            assert [reply.mended for reply in replies] == [True, False]
            assert chat.spent.mended == 1
    row = LedgerRow(key="k", stage="judge", label="x", seconds=0, device="any", peak_memory_mb=0, role="judge",
                    notes={MENDED: 1200})  # fmt: skip
    assert remarks.mended([row, row]) == ["Responses with damaged JSON were repaired: 2,400 of the judge."]
    assert remarks.mended([row.model_copy(update={"notes": {}})]) == []


def test_a_deployment_at_azure_that_is_not_found_is_told_as_such(key: str, tmp_path: Path) -> None:
    with Server(lambda body: llm_server.error(404, "Resource not found", "404")) as server:
        services = services_of(role_at(server, "/openai/deployments/gpt?api-version=1"), tmp_path)
        said = str(preflight.check("judge", services))
        lacking = str(preflight.check("judge", services_of(role_at(server, "/openai/deployments/gpt"), tmp_path)))
    assert "check that the deployment exists" in said
    assert "api-version" in lacking
    assert "which needs an API version" in lacking


def test_everything_that_a_suite_sets_is_sent(key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROUTE_TOKEN", "t0ken-of-the-route")
    changes = {
        "headers": {"X-Route": "${ROUTE_TOKEN}", "X-Title": "bench"}, "query": {"api-version": "2024-10-21"},
        "extra_body": {"enable_thinking": False, "nested": {"a": ["${ROUTE_TOKEN}"]}}, "reasoning_effort": "low",
        "temperature": None, "seed": None, "stream": True,
    }  # fmt: skip
    with Server(lambda body: stream("nine hours")) as server:
        chat = EndpointChat("generator", services_of(role_at(server, **changes), tmp_path), PACE)
        assert chat.ask_all([ask_of("generator")], silently)[0].text == "nine hours"
        (seen,) = server.seen
    assert seen.path == "/v1/chat/completions?api-version=2024-10-21"
    assert (seen.headers["x-route"], seen.headers["x-title"]) == ("t0ken-of-the-route", "bench")
    assert seen.body["nested"] == {"a": ["t0ken-of-the-route"]}
    assert (seen.body["enable_thinking"], seen.body["reasoning_effort"], seen.body["stream"]) == (False, "low", True)
    assert not {"temperature", "seed"} & set(seen.body)
    assert b"t0ken-of-the-route" not in b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_what_the_documents_show_is_taken() -> None:
    text = (Path(__file__).parent.parent / "docs" / "endpoints.md").read_text(encoding="utf-8")
    shown = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    roles = [one["llm"] for one in shown if "llm" in one and "prompts" not in one["llm"]]
    assert len(roles) >= 3
    for one in roles:
        Llms.model_validate(one)
