"""A Ray cluster of two nodes with one CPU each on this machine; each has a cache folder of its own."""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from cluster_runs import PATHS, wait_for
from slurm_cluster import free_ports

RAY = shutil.which("ray", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]))


class RayNodes:
    """The nodes of the cluster; `token` are variables of those who join it, `variables` more of its workers'."""

    def __init__(self, folder: Path, variables: Mapping[str, str]) -> None:
        (self.port,) = free_ports(1)
        self.address = f"127.0.0.1:{self.port}"
        self.caches = [folder / "cache of the head", folder / "cache of a node"]
        self.token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        usual = {"PYTHONPATH": PATHS, "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}
        self._variables = {**os.environ, **usual, **self.token, **variables}
        self._nodes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> RayNodes:
        head = ["--head", f"--port={self.port}", "--node-ip-address=127.0.0.1", "--include-dashboard=false"]
        common = ["--block", "--num-cpus=1", "--object-store-memory=80000000", "--disable-usage-stats"]
        try:
            for words, cache in zip((head, [f"--address={self.address}"]), self.caches, strict=True):
                variables = {**self._variables, "XDG_CACHE_HOME": str(cache)}
                self._nodes.append(node := subprocess.Popen([str(RAY), "start", *words, *common], env=variables))
                wait_for(lambda: listens(self.port), node)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        for node in reversed(self._nodes):
            node.terminate()
        for node in self._nodes:
            node.wait(120)


def listens(port: int) -> bool:
    """Whether something listens on a port of this machine."""
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0
