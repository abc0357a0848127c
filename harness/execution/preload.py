"""Imported once by the fork server, so that its children start with the heavy libraries in memory."""

import harness.execution.preload_torch  # noqa: I001 - first: it sets what the libraries below read at import

import sentence_transformers
import sentence_transformers.sentence_transformer.trainer  # noqa: F401
import transformers  # noqa: F401

import harness.execution.executors
import harness.execution.probe  # noqa: F401
from harness.stages import STAGES, load_stage

for _name in STAGES:
    load_stage(_name)
