"""Imported once by the fork server, so that its children start with the heavy libraries in memory."""

import os

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import sentence_transformers  # noqa: E402, F401
import sentence_transformers.sentence_transformer.trainer  # noqa: E402, F401
import torch  # noqa: E402, F401
import transformers  # noqa: E402, F401
