"""Where queries are lost, what oracles would gain, and the advice that follows."""
