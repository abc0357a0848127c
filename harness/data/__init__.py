"""Data sets in and out: folders in BEIR layout, data built of installed packages, runs, slices of questions."""
