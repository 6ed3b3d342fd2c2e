"""A small hub on 127.0.0.1: the endpoints that huggingface_hub uses for datasets, with commits, cards and refusals."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

Files = dict[str, bytes]


def sha_of(files: Files) -> str:
    return hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()


@dataclass
class Hub:
    """Repositories by id and revision. `refuse` answers everything under an id with a status and an error code."""

    repos: dict[str, dict[str, Files]] = field(default_factory=dict)
    refuse: dict[str, tuple[int, str]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    cut: str = ""
    url: str = ""

    def files(self, repo: str, revision: str) -> Files | None:
        revisions = self.repos.get(repo, {})
        found = revisions.get(revision)
        return found or next((files for files in revisions.values() if sha_of(files) == revision), None)

    @contextmanager
    def serving(self) -> Iterator[Hub]:
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = urlsplit(self.path).path
        self.hub.asked.append(f"{self.command} {path}")
        parts = [unquote(part) for part in path.strip("/").split("/")]
        api = parts[:2] == ["api", "datasets"]
        repo = "/".join(parts[2:4] if api else parts[1:3])
        if repo in self.hub.refuse:
            status, code = self.hub.refuse[repo]
            self._send(status, b"{}", {"X-Error-Code": code} if code else {})
            return
        if repo not in self.hub.repos:
            self._send(401, b"{}", {"X-Error-Code": "RepoNotFound"})
            return
        revision = parts[5] if api else parts[4]
        files = self.hub.files(repo, revision)
        if files is None:
            self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        elif api and parts[4] == "revision":
            self._json({"id": repo, "sha": sha_of(files), "siblings": []})
        elif api:
            rows = [
                {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                for name, data in files.items()
            ]
            self._json(rows)
        else:
            self._file(files, "/".join(parts[5:]))

    def _file(self, files: Files, name: str) -> None:
        data = files.get(name)
        if data is None:
            self._send(404, b"{}", {"X-Error-Code": "EntryNotFound"})
            return
        headers = {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": sha_of(files)}
        if self.command == "GET" and name == self.hub.cut:
            self.close_connection = True
            self._send(503, b"", headers)
            return
        self._send(200, data, headers)

    def _json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)
