from __future__ import annotations

import json
from contextlib import asynccontextmanager
from email.parser import BytesParser
from urllib.parse import parse_qs

import anyio
import pytest

from hud_core.errors import BackendError, ConfigError, SetupError
from hud_core.model.content import ImageContent
from hud_core.model.task import EnvRef
from hud_mcp.client.backend import MCPBackend

# On trio, the HTTP client leaves a generator of its own behind, half-read; nothing else warns here.
pytestmark = [
    pytest.mark.filterwarnings("ignore:Async generator 'http(x|core)2:ResourceWarning"),
    pytest.mark.filterwarnings("ignore:.*(EventSource|ByteStream):pytest.PytestUnraisableExceptionWarning"),
]
DOCUMENT = {
    "openapi": "3.1.0",
    "servers": [{"url": "https://{region}.shop.invalid/v1", "variables": {"region": {"default": "eu"}}}],
    "paths": {
        "/items/{id}": {
            "parameters": [{"$ref": "#/components/parameters/Id"}],
            "get": {
                "operationId": "get item",
                "summary": "Get an item.",
                "parameters": [
                    {"name": "tags", "in": "query", "schema": {"type": "array", "items": {"type": "string"}}},
                    {"name": "near", "in": "query", "style": "deepObject", "schema": {"type": "object"}},
                    {"name": "plain", "in": "query", "explode": False, "schema": {"type": "array"}},
                    {"name": "full", "in": "query", "schema": {"type": "boolean"}},
                    {"name": "X-Trace", "in": "header", "schema": {"type": "string"}},
                    {"name": "session", "in": "cookie", "schema": {"type": "string"}},
                    {"name": "id", "in": "query", "schema": {"type": "string"}},
                    {"name": "filter", "in": "query", "content": {"application/json": {"schema": {"type": "object"}}}},
                ],
            },
        },
        "/items": {
            "post": {
                "requestBody": {
                    "required": True,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Item"}}},
                }
            }
        },
        "/form": {
            "post": {
                "operationId": "form",
                "requestBody": {
                    "content": {
                        "application/x-www-form-urlencoded": {
                            "schema": {"type": "object", "properties": {"a": {}, "b": {}, "c": {}, "d": {}}}
                        }
                    }
                },
            }
        },
        "/upload": {
            "post": {
                "operationId": "upload",
                "requestBody": {
                    "content": {
                        "multipart/form-data": {
                            "schema": {
                                "type": "object",
                                "properties": {
                                    "note": {"type": "string"},
                                    "report": {"anyOf": [{"$ref": "#/components/schemas/File"}, {"type": "null"}]},
                                    "pages": {"type": "array", "items": {"type": "string", "format": "binary"}},
                                },
                            }
                        }
                    }
                },
            }
        },
        "/raw": {"put": {"operationId": "raw", "requestBody": {"content": {"text/plain": {}}}}},
        "/picture": {"get": {"operationId": "picture"}},
        "/text": {"get": {"operationId": "text"}},
        "/nothing": {"delete": {"operationId": "nothing"}},
        "/wrong": {"get": {"operationId": "wrong"}},
    },
    "components": {
        "parameters": {"Id": {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}},
        "schemas": {
            "File": {"type": "string", "contentMediaType": "application/octet-stream"},
            "Item": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"type": "string"}, "part": {"$ref": "#/components/schemas/Item"}},
            },
        },
    },
}


class App:
    """A FastAPI app's two faces: its document, and ASGI. It answers with what it was asked."""

    started = False

    @property
    def router(self):
        return self

    @asynccontextmanager
    async def lifespan_context(self, app):
        self.started = True
        yield
        self.started = False

    def openapi(self):
        return DOCUMENT

    async def __call__(self, scope, receive, send):
        assert self.started
        messages = [await receive()]
        while messages[-1].get("more_body"):
            messages.append(await receive())
        path = scope["raw_path"].decode()
        answers = {
            "/picture": (200, "image/png", b"png"),
            "/text": (200, "text/plain; charset=utf-8", "grün".encode()),
            "/nothing": (204, "", b""),
            "/wrong": (422, "application/json", b'{"detail": "no"}'),
        }
        asked = {
            "method": scope["method"],
            "path": path,
            "query": scope["query_string"].decode(),
            "headers": {name.decode(): value.decode() for name, value in scope["headers"]},
            "body": b"".join(message.get("body", b"") for message in messages).decode(),
        }
        status, kind, body = answers.get(path, (200, "application/json", json.dumps(asked).encode()))
        headers = [(b"content-type", kind.encode())] if kind else []
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})


@pytest.fixture
async def session():
    backend = MCPBackend()
    options = {"fastapi": App(), "headers": {"X-Key": "k"}, "token": "t"}
    async with backend.open(EnvRef("shop", "mcp", options)) as session:
        yield session
    await backend.aclose()


RED, BLUE = "red/1", "blue"
RGB = {"R": 100, "G": "2,0"}


@pytest.mark.parametrize(
    ("style", "explode", "value", "path"),
    [
        ("simple", False, RED, "red%2F1"),
        ("simple", False, [RED, BLUE], "red%2F1,blue"),
        ("simple", True, [RED, BLUE], "red%2F1,blue"),
        ("simple", False, RGB, "R,100,G,2%2C0"),
        ("simple", True, RGB, "R=100,G=2%2C0"),
        ("label", False, RED, ".red%2F1"),
        ("label", False, [RED, BLUE], ".red%2F1,blue"),
        ("label", True, [RED, BLUE], ".red%2F1.blue"),
        ("label", False, RGB, ".R,100,G,2%2C0"),
        ("label", True, RGB, ".R=100.G=2%2C0"),
        ("matrix", False, True, ";color=true"),
        ("matrix", False, "", ";color"),
        ("matrix", False, [RED, BLUE], ";color=red%2F1,blue"),
        ("matrix", True, [RED, BLUE], ";color=red%2F1;color=blue"),
        ("matrix", False, RGB, ";color=R,100,G,2%2C0"),
        ("matrix", True, RGB, ";R=100;G=2%2C0"),
    ],
)
async def test_each_style_of_a_path_parameter(style, explode, value, path):
    assert (await painted("path", style, explode, value))["path"] == f"/paint/{path}"


@pytest.mark.parametrize(
    ("style", "explode", "value", "query"),
    [
        ("form", True, [RED, BLUE], "color=red%2F1&color=blue"),
        ("form", False, [BLUE, "2"], "color=blue%2C2"),
        ("form", True, {"R": 100, "G": 2}, "R=100&G=2"),
        ("form", False, {"R": 100, "G": 2}, "color=R%2C100%2CG%2C2"),
        ("spaceDelimited", False, [BLUE, "2"], "color=blue%202"),
        ("pipeDelimited", False, [BLUE, "2"], "color=blue%7C2"),
        ("deepObject", True, {"R": 100, "G": 2}, "color%5BR%5D=100&color%5BG%5D=2"),
    ],
)
async def test_each_style_of_a_query_parameter(style, explode, value, query):
    assert (await painted("query", style, explode, value))["query"].replace("+", "%20") == query


@pytest.mark.parametrize(
    ("explode", "value", "header"),
    [(False, [RED, BLUE], "red/1,blue"), (False, RGB, "R,100,G,2,0"), (True, RGB, "R=100,G=2,0")],
)
async def test_each_style_of_a_header(explode, value, header):
    assert (await painted("header", "simple", explode, value))["headers"]["color"] == header


async def painted(place, style, explode, value):
    """Send one parameter, and give what arrived."""
    parameter = {"name": "color", "in": place, "style": style, "explode": explode, "required": True}
    described = {"operationId": "paint", "parameters": [parameter]}
    path = "/paint/{color}" if place == "path" else "/paint"
    app = App()
    app.openapi = lambda: {"openapi": "3.1.0", "paths": {path: {"get": described}}}
    backend = MCPBackend()
    async with backend.open(EnvRef("shop", "mcp", {"fastapi": app})) as session:
        return await asked(session, "paint", color=value)


async def asked(session, name, /, **arguments):
    result = await session.call_tool(name, **arguments)
    assert not result.is_error, result
    return result.structured_content


async def test_operations_are_tools_with_schemas_that_stand_alone(session):
    tools = {tool.name: tool for tool in await session.list_tools()}
    assert list(tools)[:3] == ["get_item", "post_items", "form"]
    item = tools["get_item"]
    assert item.description == "Get an item."
    assert item.input_schema["required"] == ["id_path"]
    assert "id_query" in item.input_schema["properties"]
    posted = tools["post_items"].input_schema
    assert posted["required"] == ["name"]
    assert posted["properties"]["part"] == {"$ref": "#/$defs/Item"}
    assert posted["$defs"]["Item"]["properties"]["part"] == {"$ref": "#/$defs/Item"}


async def test_every_kind_of_parameter_arrives(session):
    got = await asked(
        session,
        "get_item",
        id_path="a/b ä",
        id_query="q",
        tags=["x", "y z"],
        near={"lat": 1, "lon": 2},
        plain=["1", "2"],
        full=True,
        filter={"a": [1, "b"]},
        **{"X-Trace": "t1", "session": "s1"},
    )
    assert got["path"] == "/items/a%2Fb%20%C3%A4"
    query = got["query"].replace("+", "%20")
    assert "tags=x&tags=y%20z" in query
    assert "near%5Blat%5D=1&near%5Blon%5D=2" in query
    assert "plain=1%2C2" in query
    assert "full=true" in query
    assert json.loads(parse_qs(got["query"])["filter"][0]) == {"a": [1, "b"]}
    assert "id=q" in query
    assert got["headers"]["x-trace"] == "t1"
    assert got["headers"]["cookie"] == "session=s1"
    assert got["headers"]["x-key"] == "k"
    assert got["headers"]["authorization"] == "Bearer t"


async def test_bodies_are_sent_as_their_media_type(session):
    posted = await asked(session, "post_items", name="n", part={"name": "m"})
    assert json.loads(posted["body"]) == {"name": "n", "part": {"name": "m"}}
    assert posted["headers"]["content-type"] == "application/json"
    form = await asked(session, "form", a="1 2", b=["3", "4"], c={"d": [5]}, d=None)
    assert parse_qs(form["body"], keep_blank_values=True) == {"a": ["1 2"], "b": ["3", "4"], "c": ['{"d": [5]}']}
    raw = await asked(session, "raw", body="as it is")
    assert (raw["method"], raw["body"], raw["headers"]["content-type"]) == ("PUT", "as it is", "text/plain")


async def test_files_of_a_form_have_names(session):
    """Servers tell a file from a field by the name of the file."""
    sent = await asked(session, "upload", note="n", report="grün", pages=["1", "2"])
    parts = BytesParser().parsebytes(f"Content-Type: {sent['headers']['content-type']}\n\n{sent['body']}".encode())
    assert [
        (part.get_param("name", header="content-disposition"), part.get_filename(), part.get_payload(decode=True))
        for part in parts.walk()
        if not part.is_multipart()
    ] == [
        ("note", None, b"n"),
        ("report", "report", "grün".encode()),
        ("pages", "pages", b"1"),
        ("pages", "pages", b"2"),
    ]


async def test_responses_become_results(session):
    assert (await session.call_tool("picture")).content == (ImageContent(data="cG5n", mimeType="image/png"),)
    assert (await session.call_tool("text")).text == "grün"
    assert (await session.call_tool("nothing")).content == ()
    wrong = await session.call_tool("wrong")
    assert wrong.is_error
    assert wrong.text == '422 Unprocessable Content: {"detail": "no"}'


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("get_item", {}, "missing argument 'id_path'"),
        ("get_item", {"id_path": "1", "tgs": 1}, "unknown argument 'tgs'"),
        ("nope", {}, "unknown tool 'nope'; there are get_item"),
    ],
)
async def test_wrong_calls_are_results(session, name, arguments, says):
    result = await session.call_tool(name, **arguments)
    assert result.is_error
    assert says in result.text


async def test_there_are_no_scenarios(session):
    with pytest.raises(SetupError, match="has no scenario 'count'"):
        await session.setup("count", {})


async def opened(options):
    backend = MCPBackend()
    async with backend.open(EnvRef("shop", "mcp", options)) as session:
        return [tool.name for tool in await session.list_tools()], str(session.tools._client.base_url)


async def test_documents_are_read_from_data_and_files(tmp_path):
    file = tmp_path / "api.json"
    file.write_text(json.dumps(DOCUMENT))
    for document in (DOCUMENT, str(file)):
        names, base_url = await opened({"openapi": document})
        assert names[0] == "get_item"
        assert base_url == "https://eu.shop.invalid/v1/"


async def test_documents_are_read_as_yaml(tmp_path):
    pytest.importorskip("yaml")
    file = tmp_path / "api.yaml"
    file.write_text("openapi: 3.0.3\nservers: [{url: 'http://shop.invalid'}]\npaths: {/a: {get: {}}}\n")
    assert await opened({"openapi": str(file)}) == (["get_a"], "http://shop.invalid")


async def test_a_document_is_fetched_and_says_where_its_server_is():
    document = {**DOCUMENT, "servers": [{"url": "/v2"}]}
    async with _served(json.dumps(document)) as url:
        names, base_url = await opened({"openapi": f"{url}/api.json"})
    assert names[0] == "get_item"
    assert base_url == f"{url}/v2/"


@asynccontextmanager
async def _served(body):
    """Answer every request with a body, over one connection each."""

    async def answer(stream):
        async with stream:
            await stream.receive()
            data = body.encode()
            head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
            await stream.send(head.encode() + data)

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    async with listener, anyio.create_task_group() as group:
        group.start_soon(listener.serve, answer)
        yield f"http://127.0.0.1:{listener.extra(anyio.abc.SocketAttribute.local_port)}"
        group.cancel_scope.cancel()


@pytest.mark.parametrize(
    ("options", "kind", "says"),
    [
        ({"openapi": {"swagger": "2.0"}}, ConfigError, "swagger 2.0"),
        ({"openapi": {"openapi": "3.0.0", "servers": [{"url": "http://x"}]}}, ConfigError, "no operations"),
        ({"openapi": {**DOCUMENT, "servers": []}}, ConfigError, "give base_url"),
        ({"openapi": "/no/such/file.json"}, ConfigError, "cannot read the OpenAPI document"),
        ({"openapi": "http://127.0.0.1:1/api.json"}, BackendError, "cannot fetch http://127.0.0.1:1/api.json"),
    ],
)
async def test_documents_that_cannot_be_used_say_why(options, kind, says):
    with pytest.raises(kind, match=says):
        await opened(options)


async def test_a_server_that_is_not_there_is_a_backend_error():
    backend = MCPBackend()
    options = {"openapi": DOCUMENT, "base_url": "http://127.0.0.1:1"}
    async with backend.open(EnvRef("shop", "mcp", options)) as session:
        with pytest.raises(BackendError, match=r"'shop' at http://127\.0\.0\.1:1"):
            await session.call_tool("text")


@pytest.mark.parametrize("value", [5, "app:app"])
def test_what_is_no_app_is_named(value):
    with pytest.raises(ConfigError, match=f"connection 'shop': {type(value).__name__} {value!r} is no FastAPI app"):
        MCPBackend().open(EnvRef("shop", "mcp", {"fastapi": value}))
