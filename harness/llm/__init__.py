"""Language models that are asked questions: at an OpenAI-compatible endpoint, or in this process.

A question is an `Ask`; its answer is a `Reply`: a checked text, or the reason of the failure. A fault of an endpoint is
never an exception and never an empty text. This package must not know stages, suites or measures.

The modules, in the order in which a request passes them:

    protocol            what callers see: Ask, Reply, Message, Spent, and the protocol Chat
    prompt_templates    load, check and fill the texts that endpoints are asked with
    configuration       Services: where roles are served, what a run may spend
    services            for stages: the services in use, and a chat with the endpoint of a role

    endpoint            EndpointChat: answers from the cache, equal questions asked once, answers checked and stored
      responses         the cache of answers, the record of spending, reservations of the budget
        database        one SQLite file: transactions, sharing between processes, damage
      sender            one question until it is answered: retries, budget, circuit breaker
        breaker         how long to wait between attempts, and when an endpoint is dead
        requests        the JSON body of a request
        dialects        which optional parameters a server refuses, and what is sent instead
        transport       one HTTP request: a completion or a fault, never an exception
          address       base URL, headers, query, proxy; which texts are secret
          event_loop    the loop, in a thread of its own, that makes all requests
          completions   the completion in a response of status 200, whole or streamed
          usage         the tokens that the server counted
          faults        the kinds of fault: by status, code and words
      checking          the answer without its thoughts; its value where a schema was asked for
        structured      JSON of a schema: found, validated, and how to ask for a repair
        lenient_json    JSON with small damage that has one reading

    served_encoder      EndpointEncoder: vectors of texts, each cached under its text
    served_reranker     EndpointReranker: scores of passages, cached by request
    served_system       SystemClient: passages and answers of a whole RAG system
      served            what they have in common: cache, workers, what was paid; they ask by the same sender
      batches           requests to embed and to score, and how their responses are checked
    served_preflight    one text, or two, to such an endpoint before any work

    preflight           one small question to an endpoint before any work
    local               LocalChat: a model in this process
    scripted            ScriptedChat: a deterministic stand-in for tests and examples
"""

from harness.llm.protocol import Ask, Chat, Message, Reply, Spent

__all__ = ["Ask", "Chat", "Message", "Reply", "Spent"]
