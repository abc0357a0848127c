"""The graph of stage calls: what each depends on, the systems that they add up to, and what they will cost."""
