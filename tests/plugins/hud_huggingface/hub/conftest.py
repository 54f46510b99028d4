"""A local server that speaks the Hub's HTTP API, as `huggingface_hub` asks for it: files, LFS, commits."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvicorn
from huggingface_hub import constants
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

TOKEN = "hf_local_0123456789"
SENSITIVE = "hf_other_0123456789"
SIGNED = "X-Amz-Signature=planted-signature"
"""What stands behind the addresses of large files: whoever has one may read or write the file."""
USERS = {TOKEN: "alice", SENSITIVE: "mallory"}


@dataclass
class Commit:
    sha: str
    files: dict[str, bytes]
    message: str = ""


@dataclass
class Repo:
    owner: str
    private: bool = False
    gated: bool = False
    refs: dict[str, str] = field(default_factory=dict)
    commits: dict[str, Commit] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes], branch: str = "main", message: str = "") -> str:
        sha = hashlib.sha1(f"{branch}{len(self.commits)}{sorted(files)}".encode()).hexdigest()
        self.commits[sha] = Commit(sha, files, message)
        self.refs[branch] = sha
        return sha

    def at(self, revision: str) -> Commit | None:
        return self.commits.get(self.refs.get(revision, revision))


class Hub:
    """The state of the server, which tests fill and look at."""

    url: str

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.blobs: dict[str, bytes] = {}
        self.pages: dict[str, bytes] = {}
        """Files that are served outside the Hub's API, below /files/."""
        self.seen: list[str] = []
        """Methods and paths of the requests."""
        self.tokens: set[str] = set()
        self.missing_bytes = 0
        """How many bytes of large files the server says that there are, and does not send."""
        self.faults: list[tuple[str, int, dict[str, str]]] = []
        """Path, status and headers of the next answer to a path that begins so."""

    def put(self, name: str, files: dict[str, bytes | str], branch: str = "main", **options: Any) -> str:
        """Make a dataset, or another commit of it."""
        repo = self.repos.setdefault(name, Repo(name.partition("/")[0], **options))
        data = {path: text.encode() if isinstance(text, str) else text for path, text in files.items()}
        return repo.commit({".gitattributes": b"*.parquet filter=lfs\n", **data}, branch)

    def files(self, name: str, branch: str = "main") -> dict[str, bytes]:
        commit = self.repos[name].at(branch)
        assert commit is not None
        return commit.files


def refusal(status: int, code: str = "", message: str = "") -> Response:
    headers = {"X-Error-Code": code} if code else {}
    return JSONResponse({"error": message}, status, {**headers, **({"X-Error-Message": message} if message else {})})


def is_lfs(path: str) -> bool:
    return path.endswith((".parquet", ".gz"))


def oid_of(path: str, data: bytes) -> str:
    return hashlib.sha256(data).hexdigest() if is_lfs(path) else hashlib.sha1(b"blob" + data).hexdigest()


class Server:
    """The routes."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub

    def app(self) -> Starlette:
        dataset = "/api/datasets/{org}/{name}"
        routes = [
            Route("/api/repos/create", self.create, methods=["POST"]),
            Route("/api/validate-yaml", self.validate, methods=["POST"]),
            Route("/api/whoami-v2", self.whoami),
            Route(dataset, self.info),
            Route(dataset + "/revision/{revision:path}", self.info),
            Route(dataset + "/tree/{revision:path}", self.tree),
            Route(dataset + "/preupload/{revision:path}", self.preupload, methods=["POST"]),
            Route(dataset + "/commit/{revision:path}", self.commit, methods=["POST"]),
            Route("/datasets/{org}/{name}.git/info/lfs/objects/batch", self.batch, methods=["POST"]),
            Route("/datasets/{org}/{name}/resolve/{rest:path}", self.resolve),
            Route("/lfs/{oid}", self.upload, methods=["PUT"]),
            Route("/lfs-verify", self.verify, methods=["POST"]),
            Route("/cdn/{oid}", self.blob),
            Route("/files/{path:path}", self.file),
        ]
        return Starlette(routes=routes, middleware=[Middleware(BaseHTTPMiddleware, dispatch=self.watch)])

    async def watch(self, request: Request, call_next: Any) -> Response:
        self.hub.seen.append(f"{request.method} {request.url.path}")
        if token := request.headers.get("authorization", "").removeprefix("Bearer "):
            self.hub.tokens.add(token)
        for fault in self.hub.faults:
            if request.url.path.startswith(fault[0]):
                self.hub.faults.remove(fault)
                return Response("no", fault[1], fault[2])
        return await call_next(request)  # type: ignore[no-any-return]

    def user(self, request: Request) -> str | None:
        return USERS.get(request.headers.get("authorization", "").removeprefix("Bearer "))

    def find(self, request: Request, *, write: bool = False) -> Repo | Response:
        sent = request.headers.get("authorization")
        user = self.user(request)
        if sent and user is None:
            return refusal(401, message="Invalid credentials in Authorization header")
        repo = self.hub.repos.get(f"{request.path_params['org']}/{request.path_params['name']}")
        if repo is None or (repo.private and user != repo.owner):
            message = "Invalid username or password." if user is None else "Repository not found"
            return refusal(401 if user is None else 404, "" if user is None else "RepoNotFound", message)
        if repo.gated and user != repo.owner and "/api/" not in request.url.path:
            return refusal(403, "GatedRepo", "Access to this dataset is restricted")
        if write and user != repo.owner:
            return refusal(403, message="You don't have the rights to write here")
        return repo

    async def whoami(self, request: Request) -> Response:
        user = self.user(request)
        return JSONResponse({"name": user, "type": "user", "orgs": []}) if user else refusal(401, message="no token")

    async def create(self, request: Request) -> Response:
        user, body = self.user(request), await request.json()
        if user is None:
            return refusal(401, message="Invalid username or password.")
        org = body.get("organization") or user
        if org != user:
            return refusal(403, message=f'You don\'t have the rights to create a dataset under the namespace "{org}"')
        name = f"{org}/{body['name']}"
        url = f"{self.hub.url}/datasets/{name}"
        if name in self.hub.repos:
            return JSONResponse({"error": "You already created this dataset repo", "url": url}, 409)
        self.hub.put(name, {}, private=body.get("visibility") == "private")
        return JSONResponse({"url": url})

    async def validate(self, request: Request) -> Response:
        return JSONResponse({"errors": [], "warnings": []})

    async def info(self, request: Request) -> Response:
        repo = self.find(request)
        if isinstance(repo, Response):
            return repo
        commit = repo.at(request.path_params.get("revision", "main"))
        if commit is None:
            return refusal(404, "RevisionNotFound", "Invalid rev id")
        name = f"{request.path_params['org']}/{request.path_params['name']}"
        siblings = [{"rfilename": path} for path in commit.files]
        return JSONResponse({"id": name, "sha": commit.sha, "private": repo.private, "siblings": siblings})

    async def tree(self, request: Request) -> Response:
        """List files, two on each page."""
        repo = self.find(request)
        if isinstance(repo, Response):
            return repo
        commit = repo.at(request.path_params["revision"])
        if commit is None:
            return refusal(404, "RevisionNotFound", "Invalid rev id")
        first = int(request.query_params.get("cursor", "0"))
        files = list(commit.files.items())
        entries = [self.entry(path, data) for path, data in files[first : first + 2]]
        more = request.url.include_query_params(cursor=first + 2)
        headers = {"Link": f'<{more}>; rel="next"'} if first + 2 < len(files) else {}
        return JSONResponse(entries, headers=headers)

    def entry(self, path: str, data: bytes) -> dict[str, Any]:
        lfs = {"lfs": {"oid": oid_of(path, data), "size": len(data), "pointerSize": 130}} if is_lfs(path) else {}
        return {"type": "file", "path": path, "size": len(data), "oid": oid_of(path, data), **lfs}

    async def resolve(self, request: Request) -> Response:
        repo = self.find(request)
        if isinstance(repo, Response):
            return repo
        revision, _, path = request.path_params["rest"].partition("/")
        commit = repo.at(revision)
        if commit is None:
            return refusal(404, "RevisionNotFound", "Invalid rev id")
        head = {"X-Repo-Commit": commit.sha}
        if path not in commit.files:
            return Response("Entry not found", 404, {**head, "X-Error-Code": "EntryNotFound"})
        data = commit.files[path]
        oid = oid_of(path, data)
        if is_lfs(path):
            self.hub.blobs[oid] = data
            linked = {"X-Linked-Etag": f'"{oid}"', "X-Linked-Size": str(len(data) + self.hub.missing_bytes)}
            elsewhere = self.hub.url.replace("127.0.0.1", "localhost")  # the Hub's large files are on another host
            return Response(status_code=302, headers={**head, **linked, "Location": f"{elsewhere}/cdn/{oid}?{SIGNED}"})
        return Response(data, headers={**head, "ETag": f'"{oid}"'}, media_type="text/plain")

    async def blob(self, request: Request) -> Response:
        return Response(self.hub.blobs[request.path_params["oid"]], media_type="application/octet-stream")

    async def file(self, request: Request) -> Response:
        data = self.hub.pages.get(request.path_params["path"])
        return Response("not found", 404) if data is None else Response(data, media_type="application/octet-stream")

    async def preupload(self, request: Request) -> Response:
        repo = self.find(request, write=True)
        if isinstance(repo, Response):
            return repo
        files = (await request.json())["files"]
        modes = [
            {"path": f["path"], "uploadMode": "lfs" if is_lfs(f["path"]) else "regular", "shouldIgnore": False}
            for f in files
        ]
        return JSONResponse({"files": modes})

    async def batch(self, request: Request) -> Response:
        objects = []
        for item in (await request.json())["objects"]:
            actions = {
                "upload": {"href": f"{self.hub.url}/lfs/{item['oid']}?{SIGNED}"},
                "verify": {"href": f"{self.hub.url}/lfs-verify"},
            }
            objects.append({**item, "actions": actions} if item["oid"] not in self.hub.blobs else item)
        return JSONResponse({"transfer": "basic", "objects": objects})

    async def upload(self, request: Request) -> Response:
        self.hub.blobs[request.path_params["oid"]] = await request.body()
        return Response()

    async def verify(self, request: Request) -> Response:
        body = await request.json()
        right = hashlib.sha256(self.hub.blobs[body["oid"]]).hexdigest() == body["oid"]
        return Response(status_code=200 if right else 422)

    async def commit(self, request: Request) -> Response:
        repo = self.find(request, write=True)
        if isinstance(repo, Response):
            return repo
        branch = request.path_params["revision"]
        lines = [json.loads(line) for line in (await request.body()).splitlines()]
        head = repo.at(branch)
        if head is None:
            return refusal(404, "RevisionNotFound", "Invalid rev id")
        header = lines[0]["value"]
        if header.get("parentCommit") not in (None, head.sha):
            return refusal(412, message="A commit has happened since. Please refresh and try again.")
        files = dict(head.files)
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "deletedFile":
                del files[value["path"]]
            else:
                is_inline = line["key"] == "file"
                files[value["path"]] = base64.b64decode(value["content"]) if is_inline else self.hub.blobs[value["oid"]]
        sha = repo.commit(files, branch, header["summary"])
        name = f"{request.path_params['org']}/{request.path_params['name']}"
        url = f"{self.hub.url}/datasets/{name}/commit/{sha}"
        return JSONResponse({"commitUrl": url, "commitOid": sha, "success": True})


@pytest.fixture(scope="session")
def running_hub():
    """Start the server once."""
    hub = Hub()
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        hub.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        server = uvicorn.Server(uvicorn.Config(Server(hub).app(), log_level="error", lifespan="off"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield hub
        server.should_exit = True
        thread.join()


@pytest.fixture
def environment(running_hub, tmp_path_factory):
    """Give what a process of its own needs to ask the server."""
    home = tmp_path_factory.mktemp("hf")
    return {
        "HF_ENDPOINT": running_hub.url,
        "HF_HOME": str(home),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }


@pytest.fixture
def hub(running_hub, environment, monkeypatch):
    """Give an empty Hub, and an empty cache, to this process; its client reads the environment when it is imported."""
    running_hub.clear()
    home = environment["HF_HOME"]
    monkeypatch.setattr(constants, "ENDPOINT", running_hub.url)
    template = running_hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_URL_HOSTS", frozenset({"127.0.0.1"}))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", f"{home}/hub")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", f"{home}/token")
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(variable, raising=False)
    return running_hub
