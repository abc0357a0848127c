"""Tokens are counted by the convention of each server, and what they cost."""

# ruff: noqa: F811 (a fixture of another module is a parameter here)
from __future__ import annotations

from pathlib import Path

import llm_server
import pytest
from hypothesis import given
from hypothesis import strategies as st
from llm_conventions import plain, xai
from llm_roles import PACE, key, role_at, services_of, silently  # noqa: F401
from llm_server import Body, Server

from harness.llm import Ask, Message
from harness.llm.endpoint import EndpointChat
from harness.llm.usage import TokenCounts, token_counts


def ask_of(text: str = "How long?") -> Ask:
    return Ask((Message("system", "Be brief."), Message("user", text)))


USAGES: dict[str, tuple[Body, TokenCounts]] = {
    "OpenAI": ({"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150,
                "completion_tokens_details": {"reasoning_tokens": 40}, "prompt_tokens_details": {"cached_tokens": 60}},
               TokenCounts(100, 50, 60, 40)),
    "xAI": ({"prompt_tokens": 1000, "completion_tokens": 10, "total_tokens": 1510,
             "completion_tokens_details": {"reasoning_tokens": 500}}, TokenCounts(1000, 510, 0, 500)),
    "xAI without a total": ({"prompt_tokens": 1000, "completion_tokens": 10,
                             "completion_tokens_details": {"reasoning_tokens": 500}}, TokenCounts(1000, 510, 0, 500)),
    "DeepSeek": ({"prompt_tokens": 1000, "completion_tokens": 5, "total_tokens": 1005, "prompt_cache_hit_tokens": 900,
                  "prompt_cache_miss_tokens": 100}, TokenCounts(1000, 5, 900)),
    "DeepSeek without a sum": ({"completion_tokens": 5, "prompt_cache_hit_tokens": 900,
                                "prompt_cache_miss_tokens": 100}, TokenCounts(1000, 5, 900)),
    "Anthropic": ({"input_tokens": 100, "output_tokens": 5, "cache_read_input_tokens": 800,
                   "cache_creation_input_tokens": 50}, TokenCounts(950, 5, 800)),
    "Anthropic in a gateway's words": ({"prompt_tokens": 950, "completion_tokens": 5, "total_tokens": 955,
                                        "cache_read_input_tokens": 800, "cache_creation_input_tokens": 50},
                                       TokenCounts(950, 5, 800)),
    "Gemini behind a gateway": ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 115},
                                TokenCounts(10, 105)),
    "Gemini itself": ({"promptTokenCount": 10, "candidatesTokenCount": 5, "thoughtsTokenCount": 100,
                       "totalTokenCount": 115, "cachedContentTokenCount": 4}, TokenCounts(10, 105, 4, 100)),
    "OpenAI's responses": ({"input_tokens": 100, "output_tokens": 50, "total_tokens": 150,
                            "input_tokens_details": {"cached_tokens": 20}}, TokenCounts(100, 50, 20)),
    "no answer counted": ({"prompt_tokens": 100, "total_tokens": 130}, TokenCounts(100, 30)),
    "no prompt counted": ({"completion_tokens": 30, "total_tokens": 130}, TokenCounts(100, 30)),
    "a total too small": ({"prompt_tokens": 100, "completion_tokens": 30, "total_tokens": 30}, TokenCounts(100, 30)),
    "zeros of who counts nothing": ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, TokenCounts()),
    "texts": ({"prompt_tokens": "100", "completion_tokens": "30"}, TokenCounts(100, 30)),
    "fractions": ({"prompt_tokens": 100.0, "completion_tokens": 30.5}, TokenCounts(100, None)),
    "nulls": ({"prompt_tokens": None, "completion_tokens": None, "prompt_tokens_details": None}, TokenCounts()),
    "below 0": ({"prompt_tokens": -5, "completion_tokens": True}, TokenCounts()),
    "more cached than there was": ({"prompt_tokens": 10, "completion_tokens": 5,
                                    "prompt_tokens_details": {"cached_tokens": 90}}, TokenCounts(90, 5, 90)),
}  # fmt: skip


@pytest.mark.parametrize("convention", USAGES)
def test_usage_is_counted_by_the_convention_of_its_server(convention: str) -> None:
    usage, wanted = USAGES[convention]
    assert token_counts(usage) == wanted


counts = st.one_of(st.integers(-10, 10**6), st.none(), st.floats(), st.text(max_size=3), st.booleans())
NAMES = ["prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens",
         "prompt_cache_hit_tokens", "cache_read_input_tokens", "prompt_tokens_details"]  # fmt: skip


@given(st.dictionaries(st.sampled_from(NAMES), counts))
def test_no_usage_is_counted_below_what_it_says(usage: Body) -> None:
    found = token_counts(usage)
    for name, value in (("prompt_tokens", found.prompt), ("completion_tokens", found.new)):
        said = usage.get(name)
        if isinstance(said, int) and not isinstance(said, bool) and said > 0:
            assert value is not None
            assert value >= said
    assert found.cached <= (found.prompt or found.cached)


def test_tokens_of_thought_beside_the_answer_trip_the_budget(key: str, tmp_path: Path) -> None:
    """16 answers of 10 + 510 tokens at $10 a million cost 0.0832 dollars, and not 0.0024."""
    with Server(lambda body: llm_server.says("never"), lambda seen: xai(seen, "nine hours")) as server:
        chat = EndpointChat("generator", services_of(role_at(server), tmp_path), PACE)
        chat.ask_all([ask_of(str(number)) for number in range(16)], silently)
        assert chat.spent.dollars == pytest.approx(16 * (10 + 505) * 10 / 1e6)
        tight = services_of(role_at(server), tmp_path / "other", max_tokens=5000)
        from harness.errors import LlmStopped

        with pytest.raises(LlmStopped, match=r"llm\.max_tokens"):
            EndpointChat("generator", tight, PACE).ask_all([ask_of(str(number)) for number in range(16)], silently)


def test_cached_tokens_are_priced_as_such(key: str, tmp_path: Path) -> None:
    usage = {"prompt_tokens": 1000, "completion_tokens": 10, "prompt_tokens_details": {"cached_tokens": 900}}
    with Server(lambda body: llm_server.says("never"), lambda seen: plain("nine hours", usage)) as server:
        for price, wanted in ((None, 1000 * 10 + 100), (1.0, 100 * 10 + 900 * 1 + 100), (0.0, 100 * 10 + 100)):
            llm = role_at(server, price_cached=price)
            chat = EndpointChat("generator", services_of(llm, tmp_path / str(price)), PACE)
            chat.ask_all([ask_of()], silently)
            assert chat.spent.dollars == pytest.approx(wanted / 1e6)
