"""Whether an LLM may decide what is right: it is found here, and compared with people."""
