"""Imported once by the fork server, so that its children start with the heavy libraries in memory."""

import os

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import sentence_transformers
import sentence_transformers.sentence_transformer.trainer  # noqa: F401
import torch  # noqa: F401
import transformers  # noqa: F401
