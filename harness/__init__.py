"""Evaluation-driven benchmarks for tuning a RAG pipeline: which part to tune, what it buys, what it costs."""

__version__ = "0.1.0"
