"""How planned calls are carried out: executors, the session, the score cache, and the latency probe."""
