"""Results sent to trackers (MLflow, Trackio) after they are written: one run a system under a parent run.

`records` says what is sent, whatever the tracker. A tracker is only ever spoken to in a child process with a deadline
(`sending`), so that none of its failures can reach a result. Importing this package imports no tracker.
"""
