"""Verdicts against accepted scores and between any two runs."""
