"""What a reader must be told first: every rule that was applied to their models, data and answers, with its count.

One module a subject, each with functions that return whole sentences for the front of a report. They read plans,
data sets and ledger rows, and compute nothing.
"""
