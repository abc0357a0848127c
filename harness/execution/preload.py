"""Imported once by the fork server, so that its children start with the heavy libraries in memory."""

import os

from harness.execution.environments import DEFAULTS, read_at_import

for _name, _value in DEFAULTS.items():
    os.environ.setdefault(_name, _value)
IMPORTED_WITH = read_at_import(os.environ)
"""The variables that the libraries below read at import; they hold in every child."""

import logging
import threading

# At import, bitsandbytes warns that it has no compiled kernel for 4-bit products on a CPU, which only a test would use.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)

import sentence_transformers
import sentence_transformers.sentence_transformer.trainer  # noqa: F401
import torch  # noqa: F401
import tqdm
import transformers  # noqa: F401

import harness.execution.executors
import harness.execution.probe  # noqa: F401
from harness.stages import STAGES, load_stage

for _name in STAGES:
    load_stage(_name)

# With its first bar, even a disabled one, tqdm makes a lock that is a named semaphore; a child that is killed leaves it
# behind. A child draws no bars, so a lock within the process is enough.
tqdm.tqdm.set_lock(threading.RLock())
