"""Stage calls on a Slurm cluster: one job for each call, submitted through submitit.

The name of a job holds the key of its call and the store. A run that starts again finds the jobs of the one before by
name and waits for them. What has become of a job is read from `squeue`, one question for all jobs, as `sacct` needs an
accounting database. submitit must be imported in this module only.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

from harness import remembered
from harness.errors import ConfigError, ModelMissing, Problem, StageFailed
from harness.execution.environments import Environment, applied, environment_now, without_secrets
from harness.execution.remote import ATTEMPTS, RemoteExecutor, Task, WorkerLost
from harness.execution.slurm_words import ADVICE, BUSY, ENDED, HOPELESS, Queued, last_line, raised
from harness.execution.worker import INSTALL_THERE, Result
from harness.hashing import digest_of
from harness.planning.resources import Needs, Resources
from harness.provenance import Machine
from harness.remote.objects import is_address
from harness.suite.execution import SlurmCluster
from harness.suite.spec import Suite

COMMANDS = ("sbatch", "squeue", "scancel", "srun")
FOLDER_OF_JOBS = ".harness/workers"
"""For a store at an address, below the folder that one works in."""
WORKER_MB = 1024.0
"""Memory of a job beside that of the call: its Python, and the process that starts the child."""
WAITING_SECONDS = 120.0
"""After how long in the queue a job is told of, once for each reason."""
GONE_AFTER = 5
"""How many times in a row a job may be missing in the queue before it is taken to have ended."""
NO_LOG = "it wrote no log: let execution.slurm.folder name a folder that all nodes see"
ANSWER_SECONDS = 60.0
"""How long a network file system may take to show the answer of a job that has ended."""
SUBMIT_SECONDS, SUBMIT_PAUSES = 600.0, (5.0, 60.0)
"""How long a busy controller is asked to take a job, and the first and the longest pause in between."""
log = logging.getLogger(__name__)


class SlurmExecutor(RemoteExecutor):
    """Sends calls to a Slurm cluster."""

    kind = "slurm"
    polls: ClassVar[float] = 2.0
    one_call: ClassVar[bool] = True
    _submitit: Any
    _settings = SlurmCluster()

    def __init__(self, jobs: int | None = None) -> None:
        super().__init__(jobs)
        self._queue: dict[str, Queued] = {}
        self._looked = float("-inf")
        self._looking = threading.Lock()
        self._remembered, self._folder = "", Path()
        self._told: set[str] = set()
        self._doubled: dict[str, int] = {}

    @property
    def cpus(self) -> int:
        return self._settings.cpus

    def where(self, suite: Suite) -> str:
        partition = suite.execution.slurm.partition
        return "ask the Slurm cluster" + (f", partition {partition}" if partition else "")

    def connect(self, suite: Suite, root: Path) -> Machine:
        """As for every cluster; the machine is remembered, since asking takes a job that may have to wait."""
        self._remembered = digest_of(
            [suite.execution.slurm.model_dump(mode="json"), suite.device, str(root.absolute())]
        )
        known = remembered.recall("slurm-machines", self._remembered)
        if known is None:
            found = super().connect(suite, root)
            remembered.keep("slurm-machines", self._remembered, list(found))
            return found
        self.prepare(root)
        self.reach(suite)
        return Machine(*known)

    def reach(self, suite: Suite) -> bool:
        self._settings = suite.execution.slurm
        self._submitit = _imported()
        missing = [name for name in COMMANDS if shutil.which(name) is None]
        if missing:
            what = f"this machine has no command {missing[0]!r}"
            raise ConfigError(Problem("--executor slurm", what, "run the harness on a login node of the cluster"))
        try:
            self._look()
        except subprocess.SubprocessError as error:
            what = f"squeue cannot ask the cluster: {last_line(getattr(error, 'stderr', ''))}"
            raise ConfigError(Problem("--executor slurm", what, "see whether `sinfo` works here")) from None
        self._folder = self._jobs_folder()
        return self._settings.gres is not None

    def _jobs_folder(self) -> Path:
        """Make the folder for what submitit writes on one machine and reads on another; Slurm has no other way."""
        beside = FOLDER_OF_JOBS if is_address(self._place) else self._notes.folder
        folder = Path(self._settings.folder or beside).expanduser().absolute()
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def capacity(self) -> Resources:
        return Resources(self._settings.jobs, self._settings.jobs)

    def run_task(self, task: Task, attempt: int, watch: Callable[[], None]) -> Result:
        # The job of another store is none of this one, whatever its key.
        name = f"harness-{task.name}-{digest_of(self._place)[:8]}"
        found = self._running(name) if attempt == 1 else None
        job = found or self._submit(name, task, attempt)
        missing, since, seen = 0, time.monotonic(), self._looked
        while True:
            if task.cancelled.is_set():
                if found is None:
                    subprocess.run(["scancel", job.job_id], capture_output=True, check=False)
                else:
                    log.warning("Slurm job %s is that of another run, and is left to it", job.job_id)
                raise StageFailed("cancelled")
            if job.paths.result_pickle.exists():
                return self._answer(job)
            self._look()
            queued = self._queue.get(job.job_id)
            # A controller that does not answer says nothing about a job.
            if self._looked > seen:
                missing, seen = 0 if queued else missing + 1, self._looked
            if missing > GONE_AFTER or (queued and queued.state in ENDED):
                state = queued.state if queued else ""
                again = state == "CANCELLED" and found is not None and attempt == 1
                if state == "OUT_OF_MEMORY" and task.needs.memory_mb and not self._settings.memory_mb:
                    # It took more than such calls have taken so far.
                    self._doubled[name] = self._doubled.get(name, 0) + 1
                    again = attempt < ATTEMPTS
                if again and not job.paths.result_pickle.exists():
                    raise WorkerLost(f"its Slurm job {job.job_id} ended with {state}")
                return self._ended(job, state, self._settings.minutes)
            if queued and queued.state == "PENDING" and queued.reason in HOPELESS:
                subprocess.run(["scancel", job.job_id], capture_output=True, check=False)
                raise StageFailed(f"its job would wait for ever ({queued.reason}); see the section execution.slurm")
            if queued and queued.state == "PENDING" and time.monotonic() - since > WAITING_SECONDS:
                self._tell(queued)
            watch()
            time.sleep(self.polls)

    def _memory_mb(self, name: str, needs: Needs) -> float | None:
        """The memory that a job asks for; twice as much each time that it was not enough. None if nothing is known."""
        if not needs.memory_mb:
            return None
        return float(2 ** self._doubled.get(name, 0)) * (needs.memory_mb + WORKER_MB)

    def _tell(self, queued: Queued) -> None:
        """Say that a job waits, and why: it looks as if it ran. Other jobs that wait for the same are not told of."""
        if queued.reason not in self._told:
            self._told.add(queued.reason)
            minutes = WAITING_SECONDS / 60
            log.warning("Slurm job %s has waited for %.0f minutes (%s)", queued.number, minutes, queued.reason)

    def _ended(self, job: Any, state: str, minutes: int) -> Result:
        """The answer of a job that has ended. Raises StageFailed or WorkerLost if it has none."""
        deadline = time.monotonic() + (ANSWER_SECONDS if state in ("", "COMPLETED") else self.polls)
        while not job.paths.result_pickle.exists():
            if time.monotonic() > deadline:
                log = f"its log is {job.paths.stderr}"
                if state in ADVICE:
                    limit = f" after {minutes} minutes" if state == "TIMEOUT" else ""
                    raise StageFailed(f"its Slurm job {job.job_id} ended with {state}{limit}; {ADVICE[state]}; {log}")
                told = log if job.paths.stderr.exists() else NO_LOG
                raise WorkerLost(f"its Slurm job {job.job_id} ended with {state or 'no answer'}; {told}")
            time.sleep(0.2)
        return self._answer(job)

    def _answer(self, job: Any) -> Result:
        try:
            result: Result = job.result()
        except Exception as error:
            # The worker answers with a value, so what is raised is about getting there.
            what = f"its Slurm job {job.job_id} failed: {raised(str(error))}"
            raise StageFailed(f"{what}; {INSTALL_THERE}, and see execution.slurm.setup") from None
        if result.failure:
            # The machines of the cluster may be others than they were.
            remembered.keep("slurm-machines", self._remembered, None)
        else:
            self._tidy(job.job_id)
        return result

    def _tidy(self, number: str) -> None:
        """Delete what submitit has written for a job, and the links to it."""
        for path in self._folder.glob(f"{number}_*"):
            path.unlink(missing_ok=True)
        for path in self._folder.glob(".submission_file_*"):
            if not path.exists():
                path.unlink(missing_ok=True)

    def _submit(self, name: str, task: Task, attempt: int) -> Any:
        """Submit a job. Its environment is this one, without keys: Slurm writes it to disk."""
        settings = self._settings
        memory = settings.memory_mb or self._memory_mb(name, task.needs)
        asked: dict[str, Any] = {
            "job_name": name,
            "time": settings.minutes,
            "cpus_per_task": settings.cpus,
            "mem": f"{int(memory)}M" if memory else None,
            "partition": settings.partition,
            "account": settings.account,
            "gres": settings.gres if task.needs.gpu else None,
            "setup": list(settings.setup) or None,
            # A job that Slurm starts again by itself would not be counted.
            "additional_parameters": {"no-requeue": True, **settings.options},
            "use_srun": False,
        }
        executor = self._submitit.SlurmExecutor(folder=self._folder, python=settings.python)
        executor.update_parameters(**{option: value for option, value in asked.items() if value is not None})
        deadline, pause = time.monotonic() + SUBMIT_SECONDS, SUBMIT_PAUSES[0]
        while True:
            try:
                with applied(_own_variables(environment_now())):
                    return executor.submit(task.function, task.argument, task.place, attempt)
            except self._submitit.core.utils.FailedJobError as error:
                # If the controller took the job and only its reply was lost, that job finds nothing to do, and ends.
                reason = last_line(str(error)).removeprefix("sbatch: error: Batch job submission failed: ")
                if not BUSY.search(str(error)):
                    raise StageFailed(f"sbatch refused its job: {reason}; see the section execution.slurm") from None
                if time.monotonic() + pause > deadline:
                    told = f"sbatch took no job for {SUBMIT_SECONDS / 60:.0f} minutes: {reason}"
                    raise StageFailed(f"{told}; run again later: what is finished is kept") from None
            log.warning("sbatch: %s; trying again", reason)
            if task.cancelled.wait(pause):
                raise StageFailed("cancelled")
            pause = min(2 * pause, SUBMIT_PAUSES[1])

    def _running(self, name: str) -> Any:
        """The job of that name that waits or runs, if there is one."""
        self._look()
        for queued in self._queue.values():
            if queued.name == name and queued.state not in ENDED:
                return self._submitit.SlurmJob(folder=self._folder, job_id=queued.number)
        return None

    def _look(self) -> None:
        """Ask the queue for the jobs of this user, those included that have just ended; not more often than `polls`."""
        with self._looking:
            if time.monotonic() - self._looked < self.polls:
                return
            command = ["squeue", "--me", "--states=all", "--noheader", "--format=%i|%j|%T|%r"]
            try:
                done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
            except subprocess.SubprocessError:
                # A controller that is busy or starts again; at first nothing is known, and the user has to see to it.
                if self._looked == float("-inf"):
                    raise
                return
            self._looked = time.monotonic()
            jobs = (line.split("|", 3) for line in done.stdout.splitlines())
            self._queue = {fields[0]: Queued(*fields) for fields in jobs if len(fields) == 4}


def _own_variables(environment: Mapping[str, str]) -> Environment:
    """The variables that a job is given: without keys, and without those of the job that this process may run in."""
    return Environment(
        {name: value for name, value in without_secrets(environment).items()
         if name == "SLURM_CONF" or not name.startswith("SLURM_")}
    )  # fmt: skip


def _imported() -> Any:
    try:
        import submitit
    except ImportError:
        what = "needs the package submitit, which is not installed"
        raise ModelMissing(Problem("--executor slurm", what, "run: pip install 'rag-tuning-harness[slurm]'")) from None
    with contextlib.suppress(AttributeError):
        logging.getLogger("submitit").setLevel(logging.ERROR)
    return submitit
