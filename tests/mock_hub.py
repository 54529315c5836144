"""A hub on this machine: as much of its HTTP as the client needs to make repositories, commit and download."""

import base64
import hashlib
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlparse


class MockHub:
    """Repositories as lists of commits, each a dict of files. `token` is what writers must have."""

    def __init__(self, token="hf_mock"):
        self.token, self.commits, self.branches = token, {}, {}
        self.broken_after = None  # so many downloads, after which the connection breaks
        hub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def do_GET(self):
                hub.get(self)

            do_HEAD = do_GET

            def do_POST(self):
                hub.post(self)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def files(self, repository, commit=None):
        return self.commits[repository][commit or self.branches[repository]["main"]]

    def answer(self, to, status=200, body=b"", **headers):
        body = json.dumps(body).encode() if not isinstance(body, bytes) else body
        to.send_response(status)
        for name, value in {"Content-Length": len(body), **headers}.items():
            to.send_header(name.replace("_", "-"), str(value))
        to.end_headers()
        if to.command != "HEAD":
            to.wfile.write(body)

    def refuse(self, to, status, code):
        self.answer(to, status, {"error": code}, X_Error_Code=code, X_Error_Message=code)

    def commit_of(self, repository, revision):
        branches = self.branches[repository]
        return branches.get(revision, revision if revision in self.commits[repository] else None)

    def get(self, to):
        parts = unquote(urlparse(to.path).path).strip("/").split("/")
        api = parts[:2] == ["api", "models"]
        repository = "/".join(parts[2:4] if api else parts[:2])
        if repository not in self.commits:
            return self.refuse(to, 404, "RepoNotFound")
        revision = "/".join(parts[5:]) if api else parts[3]
        commit = self.commit_of(repository, revision or "main")
        if commit is None:
            return self.refuse(to, 404, "RevisionNotFound")
        files = self.commits[repository][commit]
        if api:
            siblings = [{"rfilename": name} for name in files]
            facts = {"id": repository, "sha": commit, "siblings": siblings, "tags": [], "private": False}
            return self.answer(to, body=facts, Content_Type="application/json")
        name = "/".join(parts[4:])
        if name not in files:
            return self.refuse(to, 404, "EntryNotFound")
        if to.command == "GET" and self.broken_after is not None:
            self.broken_after -= 1
            if self.broken_after < 0:
                to.close_connection = True
                return to.connection.shutdown(socket.SHUT_RDWR)
        etag = hashlib.sha1(files[name]).hexdigest()
        return self.answer(to, body=files[name], X_Repo_Commit=commit, ETag=f'"{etag}"')

    def post(self, to):
        body = to.rfile.read(int(to.headers.get("Content-Length", 0)))
        if to.path == "/api/validate-yaml":
            return self.answer(to, body={"errors": [], "warnings": []})
        if to.headers.get("Authorization") != f"Bearer {self.token}":
            return self.refuse(to, 401, "Unauthorized")
        if to.path == "/api/repos/create":
            return self.create(to, json.loads(body))
        parts = unquote(to.path).strip("/").split("/")
        repository, verb, revision = "/".join(parts[2:4]), parts[4], "/".join(parts[5:])
        if verb == "branch":
            self.branches[repository][revision] = self.branches[repository]["main"]
            return self.answer(to, body={})
        if verb == "preupload":
            plan = [
                {"path": each["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None}
                for each in json.loads(body)["files"]
            ]
            return self.answer(to, body={"files": plan})
        return self.commit(to, repository, revision.partition("?")[0], body)

    def create(self, to, asked):
        repository = f"{asked.get('organization') or 'me'}/{asked['name']}"
        new = repository not in self.commits
        if new:
            first = hashlib.sha1(repository.encode()).hexdigest()
            self.commits[repository] = {first: {".gitattributes": b""}}
            self.branches[repository] = {"main": first}
        self.answer(to, 200 if new else 409, {"url": f"{self.url}/{repository}", "id": repository})

    def commit(self, to, repository, revision, body):
        lines = [json.loads(line) for line in body.splitlines()]
        held = dict(self.commits[repository][self.branches[repository][revision]])
        for line in lines:
            if line["key"] == "file":
                held[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            elif line["key"] == "deletedFile":
                held.pop(line["value"]["path"], None)
        commit = hashlib.sha1(body).hexdigest()
        self.commits[repository][commit] = held
        self.branches[repository][revision] = commit
        url = f"{self.url}/{repository}/commit/{commit}"
        self.answer(to, body={"commitOid": commit, "commitUrl": url, "success": True})
