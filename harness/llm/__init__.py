"""Language models that are asked: at an OpenAI-compatible endpoint, or in process.

What is asked is an `Ask`, what comes of it a `Reply`: a text that was checked, or the reason why there is none. A fault
of an endpoint is never an exception and never an empty text. This package must not know stages, suites or measures.
"""

from harness.llm.protocol import Ask, Chat, Message, Reply, Spent

__all__ = ["Ask", "Chat", "Message", "Reply", "Spent"]
