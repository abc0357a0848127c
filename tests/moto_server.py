"""A local server of S3, `moto`, in this process: it can be stopped and started again with all that it holds."""

from __future__ import annotations

import uuid
from typing import Any

from slurm_cluster import free_ports


class Moto:
    """The server; `variables` are what a client needs, its credentials included."""

    def __init__(self) -> None:
        (self.port,) = free_ports(1)
        self.variables = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}", "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": f"testing-{uuid.uuid4().hex}", "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_EC2_METADATA_DISABLED": "true",
        }  # fmt: skip
        self._server: Any = None

    def start(self) -> None:
        from moto.server import ThreadedMotoServer

        self._server = ThreadedMotoServer(ip_address="127.0.0.1", port=self.port, verbose=False)
        self._server.start()

    def stop(self) -> None:
        """Answer nobody any more. What clients have put there is kept in this process."""
        self._server.stop()

    def bucket(self) -> str:
        """Make a bucket, and return its address."""
        import boto3

        names = {
            "endpoint_url": "AWS_ENDPOINT_URL", "aws_access_key_id": "AWS_ACCESS_KEY_ID",
            "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY", "region_name": "AWS_DEFAULT_REGION",
        }  # fmt: skip
        name = f"bucket-{uuid.uuid4().hex[:12]}"
        client = boto3.client("s3", **{word: self.variables[variable] for word, variable in names.items()})
        client.create_bucket(Bucket=name)
        return f"s3://{name}"

    def __enter__(self) -> Moto:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()
