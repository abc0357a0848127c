"""What holds for all tests: no property is timed, as a busy machine is no fault of the code. No test needs a flush."""

import gc
import os
import sys

from hypothesis import HealthCheck, settings

settings.register_profile("harness", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("harness")

os.environ.setdefault("HARNESS_FSYNC", "0")

MANY_MODULES = 200
frozen = 0
"""Modules that were imported when objects were last set aside from collection."""


def pytest_runtest_setup() -> None:
    """Set aside what imports made: a trainer collects garbage as it ends, half a second through torch's own objects."""
    global frozen
    if len(sys.modules) - frozen >= MANY_MODULES:
        frozen = len(sys.modules)
        gc.collect()
        gc.freeze()
