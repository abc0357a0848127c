"""How the big servers of OpenAI's protocol differ: what each refuses and in which words, how it answers and counts.

Written by their documents and by public reports of what they say. Each convention is a gate before the answers of a
`Server`: it refuses what that server refuses, and else says the text in that server's shape.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from llm_server import Body, Seen, Served

KEY = "k3yForTests0123456789abc"
Speaking = Callable[[Seen, str], Served]


class Convention(NamedTuple):
    """How one server speaks: its path after the host, what a suite sets for it, and what is sent back."""

    path: str
    serve: Speaking
    role: Mapping[str, Any] = {}
    key: str = KEY


def error(status: int, **told: Any) -> Served:
    return Served(status, {"error": told})


def completion(message: Body, usage: Any, ended: str = "stop", **more: Any) -> Served:
    choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": ended}
    return Served(content={"id": "c", "object": "chat.completion", "choices": [choice], "usage": usage, **more})


def plain(text: str, usage: Any = None) -> Served:
    counted = usage or {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15}
    return completion({"content": text, "refusal": None}, counted)


def openai(seen: Seen, text: str) -> Served:
    if seen.headers.get("authorization") != f"bearer {KEY.lower()}":
        return error(401, message="Incorrect API key provided", type="invalid_request_error", code="invalid_api_key")
    return plain(text, {
        "prompt_tokens": 100, "completion_tokens": 5, "total_tokens": 105,
        "prompt_tokens_details": {"cached_tokens": 60},
        "completion_tokens_details": {"reasoning_tokens": 0},
    })  # fmt: skip


def openai_reasoning(seen: Seen, text: str) -> Served:
    """gpt-5 takes no temperature but 1, o-models none at all; both know no `max_tokens`."""
    body = seen.body
    if "max_tokens" in body:
        said = (
            "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
        )
        return error(400, message=said, param="max_tokens", code="unsupported_parameter", type="invalid_request_error")
    if body.get("temperature", 1) != 1:
        said = (
            "Unsupported value: 'temperature' does not support 0.0 with this model. "
            "Only the default (1) value is supported."
        )
        return error(400, message=said, param="temperature", code="unsupported_value", type="invalid_request_error")
    details = {"reasoning_tokens": 64}
    return plain(text, {"prompt_tokens": 10, "completion_tokens": 69, "total_tokens": 79,
                        "completion_tokens_details": details})  # fmt: skip


def o1_mini(seen: Seen, text: str) -> Served:
    """Takes no turn of the system either."""
    body = seen.body
    if body["messages"][0]["role"] == "system":
        said = "Unsupported value: 'messages[0].role' does not support 'system' with this model."
        return error(
            400, message=said, param="messages[0].role", code="unsupported_value", type="invalid_request_error"
        )
    if "temperature" in body:
        said = "Unsupported parameter: 'temperature' is not supported with this model."
        return error(400, message=said, param="temperature", code="unsupported_parameter", type="invalid_request_error")
    if "response_format" in body:
        said = "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model."
        return error(400, message=said, param="response_format", code=None, type="invalid_request_error")
    return openai_reasoning(seen, text)


def azure(seen: Seen, text: str) -> Served:
    path, _, query = seen.path.partition("?")
    if path != "/openai/deployments/my-gpt/chat/completions" or "api-version=2024-10-21" not in query:
        return error(404, code="404", message="Resource not found")
    if seen.headers.get("api-key") != KEY.lower() or "authorization" in seen.headers:
        return error(401, code="401", message="Access denied due to invalid subscription key or wrong API endpoint.")
    return plain(text)


def azure_v1(seen: Seen, text: str) -> Served:
    if seen.path != "/openai/v1/chat/completions?api-version=preview":
        return error(404, code="404", message="Resource not found")
    return plain(text)


def vllm(seen: Seen, text: str) -> Served:
    """A template that knows no system turn; thoughts in a field of their own; no details of usage."""
    if seen.body["messages"][0]["role"] == "system":
        said = "Conversation roles must alternate user/assistant/user/assistant/... "
        return Served(400, {"object": "error", "message": said, "type": "BadRequestError", "param": None, "code": 400})
    return completion(
        {"content": text, "reasoning_content": "hm", "tool_calls": []},
        {"prompt_tokens": 10, "completion_tokens": 9, "total_tokens": 19, "prompt_tokens_details": None},
    )


def ollama(seen: Seen, text: str) -> Served:
    return completion({"content": text, "reasoning": "The user wants an answer."}, {
        "prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30,
    })  # fmt: skip


def mistral(seen: Seen, text: str) -> Served:
    """Knows `random_seed` and not `seed`; thoughts and text are parts of the content."""
    if "seed" in seen.body:
        extra = {
            "type": "extra_forbidden",
            "loc": ["body", "seed"],
            "msg": "Extra inputs are not permitted",
            "input": 0,
        }
        return Served(422, {"object": "error", "message": {"detail": [extra]}, "type": "invalid_request_error"})
    thought = {"type": "thinking", "thinking": [{"type": "text", "text": "so"}]}
    return completion({"content": [thought, {"type": "text", "text": text}]}, {
        "prompt_tokens": 10, "completion_tokens": 8, "total_tokens": 18,
    })  # fmt: skip


def xai(seen: Seen, text: str) -> Served:
    """Tokens of thought stand beside those of the answer."""
    return completion({"content": text, "reasoning_content": "..."}, {
        "prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 515,
        "completion_tokens_details": {"reasoning_tokens": 500},
    })  # fmt: skip


def dashscope(seen: Seen, text: str) -> Served:
    """Models that think answer in a stream alone."""
    if not seen.body.get("stream"):
        said = "parameter.enable_thinking must be set to false for non-streaming calls"
        return error(400, code="invalid_parameter_error", param=None, message=said, type="invalid_request_error")
    return stream(text)


def stream(text: str, usage: bool = True) -> Served:
    """A text in pieces, after a thought."""
    deltas = [{"role": "assistant", "content": None, "reasoning_content": "hm"}]
    deltas += [{"content": text[at : at + 7]} for at in range(0, len(text), 7)]
    events: list[Body] = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    events.append({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    if usage:
        counted = {"prompt_tokens": 10, "completion_tokens": 30, "total_tokens": 40}
        events.append({"choices": [], "usage": counted})
    lines = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    return Served(content=lines.encode(), headers={"content-type": "text/event-stream"})


def gemini(seen: Seen, text: str) -> Served:
    """A list for a body, and a field that it does not know."""
    if "seed" in seen.body:
        said = 'Invalid JSON payload received. Unknown name "seed": Cannot find field.'
        details = [{"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": [{"description": said}]}]
        told = {"code": 400, "message": said, "status": "INVALID_ARGUMENT", "details": details}
        return Served(400, [{"error": told}])
    return plain(text, {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 115})


def litellm(seen: Seen, text: str) -> Served:
    """Names all that the model behind it does not take."""
    odd = [name for name in ("temperature", "seed") if name in seen.body]
    if odd:
        said = (
            f"litellm.UnsupportedParamsError: openai does not support parameters: {odd}, for model=m. To drop these, "
            "set `litellm.drop_params=True` or for proxy: `litellm_settings: drop_params: true`"
        )
        return error(400, message=said, type="None", param=None, code="400")
    return plain(text)


def wrapping(faults: int = 1) -> Speaking:
    """A gateway that wraps a rate limit, and what its upstream refuses, in a status of 200."""
    left = {"faults": faults}

    def serve(seen: Seen, text: str) -> Served:
        if left["faults"]:
            left["faults"] -= 1
            return Served(200, {"error": {"message": "Rate limit exceeded: free-models-per-min", "code": 429}})
        if "seed" in seen.body:
            said = "Provider returned error: Unsupported parameter: seed"
            return Served(200, {"error": {"message": said, "code": "400"}})
        return plain(text)

    return serve


def anthropic(seen: Seen, text: str) -> Served:
    """As gateways give it: a newer model takes no temperature, and counts what it cached beside the rest."""
    if "temperature" in seen.body:
        said = "`temperature` is deprecated for this model."
        return Served(400, {"type": "error", "error": {"type": "invalid_request_error", "message": said}})
    return plain(text, {
        "input_tokens": 100, "output_tokens": 5, "cache_read_input_tokens": 800, "cache_creation_input_tokens": 100,
    })  # fmt: skip


def deepseek(seen: Seen, text: str) -> Served:
    if seen.body.get("response_format", {}).get("type") == "json_schema":
        said = "This response_format type is unavailable now"
        return error(400, message=said, type="invalid_request_error", param=None, code="invalid_request_error")
    return plain(text, {
        "prompt_tokens": 1000, "completion_tokens": 5, "total_tokens": 1005, "prompt_cache_hit_tokens": 900,
        "prompt_cache_miss_tokens": 100,
    })  # fmt: skip


CONVENTIONS: dict[str, Callable[[], Convention]] = {
    "OpenAI": lambda: Convention("/v1", openai),
    "OpenAI, gpt-5": lambda: Convention("/v1", openai_reasoning),
    "OpenAI, o1-mini": lambda: Convention("/v1/", o1_mini),
    "Azure, a deployment": lambda: Convention("/openai/deployments/my-gpt?api-version=2024-10-21", azure),
    "Azure, a whole address": lambda: Convention(
        "/openai/deployments/my-gpt/chat/completions?api-version=2024-10-21", azure
    ),
    "Azure, v1": lambda: Convention("/openai/v1", azure_v1, {"query": {"api-version": "preview"}}),
    "vLLM": lambda: Convention("/v1", vllm, key=""),
    "Ollama": lambda: Convention("/v1", ollama, key=""),
    "Mistral": lambda: Convention("/v1", mistral),
    "xAI": lambda: Convention("/v1", xai),
    "DashScope": lambda: Convention("/compatible-mode/v1", dashscope),
    "DashScope, no thoughts": lambda: Convention(
        "/compatible-mode/v1", dashscope_quiet, {"extra_body": {"enable_thinking": False}}
    ),
    "Gemini": lambda: Convention("/v1beta/openai", gemini),
    "LiteLLM": lambda: Convention("", litellm),
    "a gateway that wraps errors": lambda: Convention("/api/v1", wrapping()),
    "Anthropic behind a gateway": lambda: Convention("/v1", anthropic),
    "DeepSeek": lambda: Convention("/v1", deepseek),
}


def dashscope_quiet(seen: Seen, text: str) -> Served:
    return plain(text) if seen.body.get("enable_thinking") is False else dashscope(seen, text)
