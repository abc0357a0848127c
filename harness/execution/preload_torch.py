"""Imported once by a fork server: what children need of torch, and of the settings that all libraries read.

The fork server of a worker that makes one call imports no more than this; its stage imports the rest that it needs.
"""

import logging
import os
import threading
from contextlib import suppress

import tqdm

from harness.execution.environments import DEFAULTS, read_at_import

for _name, _value in DEFAULTS.items():
    os.environ.setdefault(_name, _value)
IMPORTED_WITH = read_at_import(os.environ)
"""The variables that the libraries below read at import; they hold in every child."""

# At import, bitsandbytes warns that it has no compiled kernel for 4-bit products on a CPU, which only a test would use.
logging.getLogger("bitsandbytes").setLevel(logging.ERROR)

# With its first bar, even a disabled one, tqdm makes a lock that is a named semaphore; a child that is killed leaves it
# behind. A child draws no bars, so a lock within the process is enough.
tqdm.tqdm.set_lock(threading.RLock())

# A suite whose models are all behind endpoints runs without torch.
with suppress(ImportError):
    import torch  # noqa: F401
