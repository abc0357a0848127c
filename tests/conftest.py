"""What holds for all tests: no property is timed, as a busy machine is no fault of the code. No test needs a flush."""

import os

from hypothesis import HealthCheck, settings

settings.register_profile("harness", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("harness")

os.environ.setdefault("HARNESS_FSYNC", "0")
