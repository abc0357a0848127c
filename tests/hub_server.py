"""A double of the Hugging Face Hub on loopback: repositories in memory, with uploads, downloads and revisions."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from loopback import running

REGULAR_BYTES = 10_000
"""Larger files, and those that are no text, are kept as large files."""


@dataclass
class Repository:
    """Commits, oldest first, each with all of its files; branches and tags name commits."""

    private: bool = True
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes], branch: str = "main") -> str:
        before = self.commits.get(self.names.get(branch, ""), {})
        after = {**before, **files}
        text = json.dumps([len(self.commits), *((name, blob_id(data)) for name, data in sorted(after.items()))])
        sha = hashlib.sha1(text.encode()).hexdigest()
        self.commits[sha] = after
        self.names[branch] = sha
        return sha

    def at(self, revision: str) -> str | None:
        """The commit of a branch, a tag or a commit."""
        return revision if revision in self.commits else self.names.get(revision)


def blob_id(data: bytes) -> str:
    """The id that git gives a file."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Hub(ThreadingHTTPServer):
    """The double. `pushed` has every file that was uploaded, in whatever way; `status` refuses every change."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, Repository] = {}
        self.pushed: dict[str, bytes] = {}
        self.large: dict[str, bytes] = {}
        self.tokens: set[str] = set()
        self.asked: list[str] = []
        self.status = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def add(self, name: str, files: dict[str, bytes], kind: str = "models") -> str:
        """Add a commit to a repository, which is made if there is none."""
        return self.repositories.setdefault(f"{kind}/{name}", Repository(private=False)).commit(files)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def _route(self) -> None:
        hub, parts = self.server, urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        hub.asked.append(f"{self.command} {parts.path}")
        if token := (self.headers.get("Authorization") or "").removeprefix("Bearer "):
            hub.tokens.add(token)
        path, query = unquote(parts.path), parse_qs(parts.query)
        if self.command in ("POST", "PUT") and hub.status and "paths-info" not in path:
            self._json({"error": "refused"}, hub.status)
            return
        for pattern, answer in ROUTES:
            if match := re.fullmatch(pattern, f"{self.command} {path}"):
                answer(self, body, query, **match.groupdict())
                return
        self._json({"error": "no such address"}, 404)

    do_GET = do_POST = do_PUT = do_HEAD = _route  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass

    def _json(self, value: Any, status: int = 200) -> None:
        self._bytes(json.dumps(value).encode(), status, {"Content-Type": "application/json"})

    def _bytes(self, data: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    # uploads

    def create(self, body: bytes, _: Any) -> None:
        asked = json.loads(body)
        name = f"{asked['organization']}/{asked['name']}"
        there = f"models/{name}" in self.server.repositories
        if not there:
            made = Repository(
                private=asked.get("visibility", "private") != "public" and asked.get("private") is not False
            )
            made.commit({})
            self.server.repositories[f"models/{name}"] = made
        self._json({"url": f"{self.server.url}/{name}", "name": name}, 409 if there else 200)

    def validate(self, *_: Any) -> None:
        self._json({"errors": [], "warnings": []})

    def preupload(self, body: bytes, _: Any, kind: str, name: str, revision: str) -> None:
        files = []
        for file in json.loads(body)["files"]:
            sample = base64.b64decode(file.get("sample") or "")
            is_large = file["size"] > REGULAR_BYTES or b"\0" in sample
            mode = "lfs" if is_large else "regular"
            files.append({"path": file["path"], "uploadMode": mode, "shouldIgnore": False})
        self._json({"files": files})

    def batch(self, body: bytes, _: Any, name: str) -> None:
        objects = [
            {**one, "actions": {"upload": {"href": f"{self.server.url}/large/{one['oid']}"}}}
            for one in json.loads(body)["objects"]
        ]
        self._json({"transfer": "basic", "objects": objects})

    def upload(self, body: bytes, _: Any, oid: str) -> None:
        assert hashlib.sha256(body).hexdigest() == oid
        self.server.large[oid] = body
        self._bytes(b"")

    def commit(self, body: bytes, _: Any, kind: str, name: str, revision: str) -> None:
        files: dict[str, bytes] = {}
        for line in body.splitlines():
            row = json.loads(line)
            if row["key"] == "file":
                files[row["value"]["path"]] = base64.b64decode(row["value"]["content"])
            elif row["key"] == "lfsFile":
                files[row["value"]["path"]] = self.server.large[row["value"]["oid"]]
        self.server.pushed |= files
        sha = self.server.repositories[f"{kind}/{name}"].commit(files, revision)
        self._json({"success": True, "commitOid": sha, "commitUrl": f"{self.server.url}/{name}/commit/{sha}"})

    # downloads

    def _at(self, kind: str, name: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        repository = self.server.repositories.get(f"{kind}/{name}")
        sha = repository.at(revision) if repository else None
        if repository is None or sha is None:
            code = "RepoNotFound" if repository is None else "RevisionNotFound"
            self._bytes(b"{}", 404, {"X-Error-Code": code, "Content-Type": "application/json"})
            return None
        return sha, repository.commits[sha]

    def info(self, _: bytes, query: Any, kind: str, name: str, revision: str | None = None) -> None:
        if found := self._at(kind, name, revision or "main"):
            sha, files = found
            siblings = [{"rfilename": file} for file in sorted(files)]
            self._json({"id": name, "sha": sha, "private": False, "siblings": siblings, "tags": [], "gated": False})

    def tree(self, body: bytes, query: Any, kind: str, name: str, revision: str, inside: str | None = None) -> None:
        if not (found := self._at(kind, name, revision)):
            return
        _, files = found
        prefix = f"{inside}/" if inside else ""
        below = sorted(file for file in files if file.startswith(prefix))
        recursive = query.get("recursive", ["False"])[0].lower() in ("true", "1")
        rows: dict[str, dict[str, Any]] = {}
        for file in below:
            parts = file.removeprefix(prefix).split("/")
            for depth in range(1, len(parts)):
                folder = prefix + "/".join(parts[:depth])
                rows.setdefault(folder, {"type": "directory", "path": folder, "oid": "0" * 40, "size": 0})
            rows[file] = {"type": "file", "path": file, "size": len(files[file]), "oid": blob_id(files[file])}
        shown = [row for path, row in rows.items() if recursive or "/" not in path.removeprefix(prefix)]
        self._json(shown)

    def paths(self, body: bytes, query: Any, kind: str, name: str, revision: str) -> None:
        if not (found := self._at(kind, name, revision)):
            return
        _, files = found
        text = body.decode()
        asked = json.loads(text)["paths"] if text.startswith("{") else parse_qs(text).get("paths", [])
        rows = []
        for path in asked:
            if path in files:
                rows.append({"type": "file", "path": path, "size": len(files[path]), "oid": blob_id(files[path])})
            elif any(file.startswith(f"{path}/") for file in files):
                rows.append({"type": "directory", "path": path, "oid": "0" * 40})
        self._json(rows)

    def resolve(
        self, _: bytes, query: Any, name: str, revision: str, file: str, kind: str | None = None
    ) -> None:  # fmt: skip
        if not (found := self._at(kind or "models", name, revision)):
            return
        sha, files = found
        if file not in files:
            self._bytes(b"", 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": sha})
            return
        data = files[file]
        headers = {"ETag": f'"{blob_id(data)}"', "X-Repo-Commit": sha, "Accept-Ranges": "bytes"}
        if ranged := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            start, end = int(ranged[1]), int(ranged[2] or len(data) - 1)
            headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
            self._bytes(data[start : end + 1], 206, headers)
            return
        self._bytes(data, 200, headers)


NAME = r"(?P<name>[\w.-]+/[\w.-]+)"
ROUTES: tuple[tuple[str, Any], ...] = (
    (r"POST /api/repos/create", _Handler.create),
    (r"POST /api/validate-yaml", _Handler.validate),
    (rf"POST /api/(?P<kind>models|datasets)/{NAME}/preupload/(?P<revision>.+)", _Handler.preupload),
    (rf"POST /{NAME}\.git/info/lfs/objects/batch", _Handler.batch),
    (r"PUT /large/(?P<oid>\w+)", _Handler.upload),
    (rf"POST /api/(?P<kind>models|datasets)/{NAME}/commit/(?P<revision>.+)", _Handler.commit),
    (rf"GET /api/(?P<kind>models|datasets)/{NAME}/tree/(?P<revision>[^/]+)(?:/(?P<inside>.+))?", _Handler.tree),
    (rf"POST /api/(?P<kind>models|datasets)/{NAME}/paths-info/(?P<revision>.+)", _Handler.paths),
    (rf"GET /api/(?P<kind>models|datasets)/{NAME}(?:/revision/(?P<revision>.+))?", _Handler.info),
    (rf"(?:GET|HEAD) /(?:(?P<kind>datasets)/)?{NAME}/resolve/(?P<revision>[^/]+)/(?P<file>.+)", _Handler.resolve),
)


def hub() -> AbstractContextManager[Hub]:
    """Run the double."""
    return running(Hub())
