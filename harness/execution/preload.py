"""Imported once by the fork server, so that its children start with the heavy libraries in memory."""

import os

from harness.execution.environments import DEFAULTS, read_at_import

for _name, _value in DEFAULTS.items():
    os.environ.setdefault(_name, _value)
IMPORTED_WITH = read_at_import(os.environ)
"""What the libraries below were imported with, and what they will go by in every child."""

import logging
import threading

# bitsandbytes says whenever it is imported that no compiled kernel for 4-bit products on a CPU is there, which only a
# test would use.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)

import sentence_transformers
import sentence_transformers.sentence_transformer.trainer  # noqa: F401
import torch  # noqa: F401
import tqdm
import transformers  # noqa: F401

# The lock that tqdm would make with its first bar, even one that is off, is a named semaphore, which a child that is
# killed leaves behind. A child draws no bars that another process could disturb.
tqdm.tqdm.set_lock(threading.RLock())
