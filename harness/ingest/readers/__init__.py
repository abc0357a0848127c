"""Readers of single files. Each takes the bytes of a file and returns its title and its text.

Headings of the text are lines of Markdown (``## Title``), whatever the format was.
"""
