"""A Hub of tests, on this machine: the few endpoints that its client asks when boardsae pushes and fetches."""

import base64
import hashlib
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

TOKEN = "hf_made"
LARGE = (".safetensors", ".npz")  # their content goes ahead of the commit, by the LFS protocol


class Repository:
    """Commits are dictionaries of files; a branch is the name of one."""

    def __init__(self, private):
        self.private, self.commits, self.branches = private, {}, {}
        self.commit("main", {".gitattributes": b"*.safetensors filter=lfs\n"})

    def commit(self, branch, files):
        told = json.dumps([len(self.commits), sorted(files)])
        commit = hashlib.sha1(told.encode()).hexdigest()
        self.commits[commit] = files
        self.branches[branch] = commit
        return commit

    def resolve(self, revision):
        commit = self.branches.get(revision, revision)
        return commit if commit in self.commits else None

    def head(self, branch="main"):
        """The files of a branch, to look at and to tamper with."""
        return self.commits[self.branches[branch]]


class Hub:
    """What there is, what was downloaded, and what happens next: `hold` keeps every later file from arriving."""

    def __init__(self):
        self.repositories, self.downloaded = {}, []
        self.blobs, self.large = {}, set()  # of large files: their content by SHA-256, and their names
        self.hold_after, self.held, self.release = None, threading.Event(), threading.Event()


@contextmanager
def serving():
    """A hub and its address."""
    hub = Hub()
    handler = type("Handler", (Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.handle_error = lambda *_: None  # clients that are killed leave connections behind
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub, f"http://127.0.0.1:{server.server_port}"
    finally:
        hub.release.set()
        server.shutdown()
        thread.join()
        server.server_close()


def oid(path, content):
    """What the client compares, to know whether a file has changed."""
    return hashlib.sha256(content).hexdigest() if path.endswith(LARGE) else blob_id(content)


def blob_id(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # it would wait 40 ms before every body
    hub: Hub

    def log_message(self, *_):
        pass

    def body(self):
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while size := int(self.rfile.readline(), 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(chunks)

    def answer(self, value, status=200, **headers):
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for name, text in headers.items():
            self.send_header(name.replace("_", "-"), text)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def refuse(self, status, code, message):
        self.answer({"error": message}, status, X_Error_Code=code, X_Error_Message=message)

    def split(self):
        return [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]

    def is_known(self):
        return self.headers.get("authorization") == f"Bearer {TOKEN}"

    def repository(self, owner, name):
        found = self.hub.repositories.get(f"{owner}/{name}")
        if found is None or (found.private and not self.is_known()):
            status = 404 if self.is_known() else 401
            self.refuse(status, "RepoNotFound", "Repository not found")
            return None
        return found

    def do_GET(self):
        parts = self.split()
        if parts[:2] == ["api", "models"]:
            self.info(parts[2], parts[3], parts[5] if len(parts) > 4 else "main")
        elif parts[0] == "api":
            self.refuse(404, "", "No such endpoint")
        else:
            self.file(*parts[:2], parts[3], "/".join(parts[4:]))

    do_HEAD = do_GET

    def info(self, owner, name, revision):
        if (found := self.repository(owner, name)) is None:
            return
        if (commit := found.resolve(revision)) is None:
            self.refuse(404, "RevisionNotFound", "Invalid rev id")
            return
        siblings = [
            {"rfilename": path, "size": len(content), "blobId": blob_id(content)}
            for path, content in found.commits[commit].items()
        ]
        told = {"_id": "0", "id": f"{owner}/{name}", "sha": commit, "private": found.private}
        self.answer(told | {"siblings": siblings, "tags": [], "downloads": 0, "likes": 0})

    def file(self, owner, name, revision, path):
        if (found := self.repository(owner, name)) is None:
            return
        content = found.commits[found.resolve(revision)].get(path)
        if content is None:
            self.refuse(404, "EntryNotFound", "Entry not found")
            return
        hub = self.hub
        if self.command == "GET":
            if hub.hold_after is not None and len(hub.downloaded) >= hub.hold_after:
                hub.held.set()
                hub.release.wait(30)
                self.close_connection = True
                return
            hub.downloaded.append(path)
        self.answer(content, X_Repo_Commit=found.resolve(revision), ETag=f'"{blob_id(content)}"')

    def do_POST(self):
        body = self.body()
        parts = self.split()
        if not self.is_known():
            self.refuse(401, "", "Invalid username or password.")
        elif parts == ["api", "repos", "create"]:
            self.create(json.loads(body))
        elif parts == ["api", "validate-yaml"]:
            self.answer({"errors": [], "warnings": []})
        elif parts[2:] == ["info", "lfs", "objects", "batch"]:
            self.large_files(json.loads(body)["objects"])
        elif (found := self.repository(*parts[2:4])) is not None:
            getattr(self, parts[4])(found, parts[5], body)

    def large_files(self, objects):
        """Where each goes that is not here yet."""
        url = f"http://{self.headers['host']}/blobs/"
        new = {each["oid"]: {"actions": {"upload": {"href": url + each["oid"]}}} for each in objects}
        self.answer(
            {
                "objects": [
                    each | ({} if each["oid"] in self.hub.blobs else new[each["oid"]]) for each in objects
                ]
            }
        )

    def do_PUT(self):
        content = self.body()
        assert hashlib.sha256(content).hexdigest() == self.split()[1]
        self.hub.blobs[self.split()[1]] = content
        self.answer({})

    def create(self, asked):
        name = f"{asked['organization']}/{asked['name']}"
        url = {"url": f"http://{self.headers['host']}/{name}"}
        if asked["organization"] == "others":
            self.refuse(403, "", "You do not have the rights to create a model there")
        elif name in self.hub.repositories:
            self.answer({"error": "You already created this model repo"} | url, 409)
        else:
            private = bool(asked.get("private")) or asked.get("visibility") == "private"
            self.hub.repositories[name] = Repository(private)
            self.answer(url)

    def branch(self, found, branch, _body):
        found.branches[branch] = found.branches["main"]
        self.answer({})

    def preupload(self, found, branch, body):
        held = found.head(branch)
        files = [
            {
                "path": each["path"],
                "uploadMode": "lfs" if each["path"].endswith(LARGE) else "regular",
                "shouldIgnore": False,
                "oid": oid(each["path"], held[each["path"]]) if each["path"] in held else None,
            }
            for each in json.loads(body)["files"]
        ]
        self.answer({"files": files})

    def commit(self, found, branch, body):
        lines = [json.loads(line) for line in body.splitlines()]
        files = dict(found.head(branch))
        for line in lines:
            value = line["value"]
            if line["key"] == "header" and value.get("parentCommit") != found.branches[branch]:
                self.refuse(412, "", "A commit has happened since. Please refresh and try again.")
                return
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.hub.blobs[value["oid"]]
                self.hub.large.add(value["path"])
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        commit = found.commit(branch, files)
        self.answer(
            {"success": True, "commitOid": commit, "commitUrl": f"http://{self.headers['host']}/c/{commit}"}
        )
