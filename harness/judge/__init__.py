"""The LLM judge of a suite, and its calibration: the comparison of its scores with ratings of people."""
