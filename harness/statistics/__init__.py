"""Paired statistics on rows of scores: intervals, verdicts, effects, claims about recipes, ranks, ROI."""
