"""Sentences for the front of a report: every rule that was applied to models, data and answers, with its count.

One module a subject, each with functions that return whole sentences. They read plans, datasets and ledger rows, and
compute nothing.
"""
