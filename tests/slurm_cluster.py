"""A Slurm cluster of one node on this machine, started as root from a configuration of its own: Debian's packages
`slurm-wlm` and `munge`, no systemd, no cgroups, no accounting database.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel")
CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
DefMemPerCPU=100
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
KillWait=2
MinJobAge=36000
SchedulerParameters=batch_sched_delay=1,sched_interval=2
SlurmdParameters=config_overrides
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=16000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=60 State=UP
"""


def installed() -> bool:
    """Whether this machine can run such a cluster."""
    return os.geteuid() == 0 and all(shutil.which(name) for name in PROGRAMS)


class SlurmNode:
    """The daemons of the cluster, below a folder; `environment` is what commands need to reach it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("state", "spool"):
            (folder / name).mkdir(parents=True)
        # munged refuses a folder that others may write to.
        folder.chmod(0o755)
        (folder / "munge.key").write_bytes(os.urandom(128))
        (folder / "munge.key").chmod(0o400)
        text = CONFIGURATION.format(host=socket.gethostname(), folder=folder, ports=free_ports(2))
        self.configuration = folder / "slurm.conf"
        self.configuration.write_text(text, encoding="utf-8")
        self.environment = {**os.environ, "SLURM_CONF": str(self.configuration)}
        self._daemons: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> SlurmNode:
        files = {name: self.folder / f"munge.{name}" for name in ("socket", "pid", "log", "seed")}
        munged = ["munged", "--foreground", "--force", f"--key-file={self.folder / 'munge.key'}"]
        munged += [f"--{name}{'' if name == 'socket' else '-file'}={path}" for name, path in files.items()]
        self._start(*munged)
        _wait_for(files["socket"].exists)
        self._start("slurmctld", "-D", "-f", str(self.configuration))
        self._start("slurmd", "-D", "-f", str(self.configuration))
        _wait_for(lambda: "idle" in self.command("sinfo", "--noheader", "--format=%T"))
        return self

    def command(self, *words: str) -> str:
        """What a command of Slurm prints; what goes wrong is part of it."""
        done = subprocess.run(words, env=self.environment, capture_output=True, text=True, timeout=60, check=False)
        return done.stdout + done.stderr

    def _start(self, *words: str) -> None:
        with (self.folder / f"{words[0]}.out").open("wb") as log:
            self._daemons.append(subprocess.Popen(words, stdout=log, stderr=log, env=self.environment))

    def __exit__(self, *error: object) -> None:
        self.command("scancel", "--user=root")
        for daemon in reversed(self._daemons):
            daemon.terminate()
        for daemon in self._daemons:
            try:
                daemon.wait(30)
            except subprocess.TimeoutExpired:
                daemon.kill()
                daemon.wait()


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nothing listens on."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _wait_for(condition: object, seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        if time.monotonic() > deadline:
            raise TimeoutError("the cluster does not start; its logs are in its folder")
        time.sleep(0.2)
