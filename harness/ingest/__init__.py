"""Datasets from documents: folders and files of Markdown, text, HTML, PDF and DOCX, and imports of other formats.

`ingest` reads sources into a dataset folder; the same call again updates it. Files are read in a child process, so that
one which is damaged, huge or slow costs nothing but itself. This package must not know models, suites or stages.
"""
