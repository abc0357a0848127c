from harness.api import compare as compare
from harness.api import diagnose as diagnose
from harness.api import load_outcome as load_outcome
from harness.api import run as run
from harness.api.results import ComparisonResult as ComparisonResult
from harness.api.results import DiagnosisResult as DiagnosisResult
from harness.api.results import OutcomeResult as OutcomeResult
from harness.api.results import RunResult as RunResult
from harness.errors import HarnessError as HarnessError

__version__: str
PUBLIC: dict[str, str]
