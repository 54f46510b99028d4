"""An environment served over HTTP: both protocol eras, who may speak to it, and what it survives."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager

import anyio
import httpx2
import pytest
from free_ports import free_port
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mcp import Client, MCPError
from serving import Log, make_environment, over_http
from starlette.applications import Starlette
from starlette.routing import Mount

from hud_core.errors import ConfigError
from hud_mcp.server import EnvironmentServer

HEADERS = {"accept": "application/json, text/event-stream", "content-type": "application/json"}
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "raw", "version": "0"}},
}


@pytest.fixture
def anyio_backend():
    return "asyncio"  # uvicorn's


@pytest.fixture(params=["auto", "legacy"])
def mode(request):
    return request.param


@asynccontextmanager
async def inside(app):
    """Speak to an ASGI application without a socket, while its lifespan runs."""
    async with app.router.lifespan_context(app):
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8765", headers=HEADERS) as http:
            yield http


async def initialize(http, **headers):
    return await http.post("/mcp", json=INITIALIZE, headers=headers)


# --- both eras --------------------------------------------------------------------------------------------------------


async def test_one_endpoint_serves_both_eras(mode):
    log = Log()
    async with over_http(EnvironmentServer(make_environment(log))) as url, Client(url, mode=mode) as client:
        assert client.protocol_version == {"auto": "2026-07-28", "legacy": "2025-11-25"}[mode]
        assert client.instructions == "Count letters."
        assert (await client.call_tool("add", {"a": 1, "b": 5})).content[0].text == "6"
        prompt = await client.get_prompt("letters:count", {"word": "strawberry"})
        meta = {"hud/episode": prompt.meta["hud/episode"]}
        await client.call_tool("_hud_submit", {"scenario": "count", "answer": "3"}, meta=meta)
        graded = await client.read_resource("letters:count", meta=meta)
        assert json.loads(graded.contents[0].text)["reward"] == 1.0
        assert not log.open


async def test_a_client_of_the_handshake_era_needs_no_handle():
    async with (
        over_http(EnvironmentServer(make_environment())) as url,
        Client(url, mode="legacy") as one,
        Client(url, mode="legacy") as two,
    ):
        await one.get_prompt("letters:echo", {"expected": "one"})
        await two.get_prompt("letters:echo", {"expected": "two"})
        for client, answer in [(one, "one"), (two, "two")]:
            await client.call_tool("_hud_submit", {"scenario": "echo", "answer": answer})
            graded = await client.read_resource("letters:echo")
            assert json.loads(graded.contents[0].text)["reward"] == 1.0


async def test_an_episode_survives_a_reconnect(mode):
    async with over_http(EnvironmentServer(make_environment())) as url:
        async with Client(url) as first:
            prompt = await first.get_prompt("letters:echo", {"expected": "still here"})
        meta = {"hud/episode": prompt.meta["hud/episode"]}
        async with Client(url, mode=mode) as second:
            await second.call_tool("_hud_submit", {"scenario": "echo", "answer": "still here"}, meta=meta)
            graded = await second.read_resource("letters:echo", meta=meta)
    assert json.loads(graded.contents[0].text)["reward"] == 1.0


async def test_without_session_and_handle_it_says_what_is_missing():
    async with over_http(EnvironmentServer(make_environment())) as url, Client(url) as client:
        await client.get_prompt("letters:count", {"word": "a"})
        with pytest.raises(MCPError, match="name the handle that setup returned"):
            await client.call_tool("_hud_submit", {"scenario": "count", "answer": "3"})


async def test_episodes_of_a_session_end_with_it():
    log = Log()
    async with over_http(EnvironmentServer(make_environment(log))) as url:
        for _ in range(50):
            async with Client(url, mode="legacy") as client:
                await client.get_prompt("letters:count", {"word": "a"})
        with anyio.fail_after(60):
            while log.open:
                await anyio.sleep(0.02)


# --- mounted and stateless --------------------------------------------------------------------------------------------


def modern(method, **params):
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "raw", "version": "0"},
        "io.modelcontextprotocol/clientCapabilities": {},
        **params.pop("meta", {}),
    }
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": meta}}


async def test_a_stateless_app_grades_by_handle():
    app = EnvironmentServer(make_environment()).http_app(stateless=True)

    async def ask(http, label, method, **params):
        sent = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = await http.post("/mcp", json=sent, headers={"mcp-protocol-version": "2025-11-25"})
        assert answer.status_code == 200, label
        line = next(line for line in answer.text.splitlines() if line.startswith("data: {"))
        return json.loads(line.removeprefix("data: "))["result"]

    async with inside(app) as http:
        prompt = await ask(http, "setup", "prompts/get", name="letters:count", arguments={"word": "rr"})
        meta = {"hud/episode": prompt["_meta"]["hud/episode"]}
        arguments = {"scenario": "count", "answer": "2"}
        await ask(http, "submit", "tools/call", name="_hud_submit", arguments=arguments, _meta=meta)
        graded = await ask(http, "grade", "resources/read", uri="letters:count", _meta=meta)
    assert json.loads(graded["contents"][0]["text"])["reward"] == 1.0


async def test_an_app_is_mounted_in_another_one():
    inner = EnvironmentServer(make_environment()).http_app("/")
    outer = Starlette(routes=[Mount("/tools/mcp", app=inner)], lifespan=inner.lifespan)
    async with inside(outer) as http:
        assert (await http.post("/tools/mcp/", json=INITIALIZE)).status_code == 200


async def test_a_mounted_app_without_its_lifespan_says_so():
    inner = EnvironmentServer(make_environment()).http_app("/")
    async with inside(Starlette(routes=[Mount("/mcp", app=inner)])) as http:
        answer = await http.post("/mcp/", json=INITIALIZE)
    assert answer.status_code == 503
    assert "lifespan=app.lifespan" in answer.text


# --- who may speak ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"host": "localhost:1234"}, 200),
        ({"host": "[::1]:1234"}, 200),
        ({"origin": "http://localhost:6274"}, 200),
        ({"host": "evil.example"}, 421),
        ({"host": "127.0.0.1.evil.example:8765"}, 421),
        ({"host": "localhost.evil.example"}, 421),
        ({"host": ""}, 421),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "http://localhost.evil.example"}, 403),
        ({"origin": "null"}, 403),
    ],
)
async def test_a_rebound_host_name_and_a_foreign_page_are_refused(headers, status):
    async with inside(EnvironmentServer(make_environment()).http_app()) as http:
        answer = await initialize(http, **headers)
    assert answer.status_code == status
    assert "access-control-allow-origin" not in answer.headers


async def test_a_token_is_asked_for():
    async with inside(EnvironmentServer(make_environment(), token="t0ken").http_app()) as http:
        for shown in ({}, {"authorization": "Bearer wrong"}, {"authorization": "t0ken"}):
            refused = await initialize(http, **shown)
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"] == "Bearer"
        assert (await initialize(http, authorization="Bearer t0ken")).status_code == 200


async def test_beyond_this_machine_nothing_is_served_without_a_token():
    with pytest.raises(ConfigError, match=r"serving on '0\.0\.0\.0' lets other machines call"):
        await EnvironmentServer(make_environment()).serve_http(host="0.0.0.0", port=free_port())


async def test_a_client_elsewhere_is_refused_without_a_token():
    app = EnvironmentServer(make_environment()).http_app()
    async with app.router.lifespan_context(app):
        transport = httpx2.ASGITransport(app, client=("192.0.2.7", 4000))
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=HEADERS) as http:
            assert (await initialize(http)).status_code == 403


async def test_cors_is_for_origins_that_are_named():
    server = EnvironmentServer(make_environment(), allowed_origins=["https://inspector.example"])
    async with inside(server.http_app()) as http:
        asked = {"origin": "https://inspector.example", "access-control-request-method": "POST"}
        allowed = await http.options("/mcp", headers=asked)
        assert allowed.headers["access-control-allow-origin"] == "https://inspector.example"
        assert (await initialize(http, origin="https://inspector.example")).status_code == 200
        assert (await initialize(http, origin="https://other.example")).status_code == 403


async def test_an_address_in_use_is_named():
    async with over_http(EnvironmentServer(make_environment())) as url:
        port = int(url.split(":")[2].split("/")[0])
        with pytest.raises(ConfigError, match=f"cannot serve on 127.0.0.1:{port}"):
            await EnvironmentServer(make_environment()).serve_http(port=port)


# --- limits -----------------------------------------------------------------------------------------------------------


async def test_a_giant_message_is_refused_and_sessions_are_bounded():
    server = EnvironmentServer(make_environment(), max_body=2000, max_sessions=2)
    async with inside(server.http_app()) as http:
        assert (await http.post("/mcp", content=b"x" * 3000)).status_code == 413
        assert [(await initialize(http)).status_code for _ in range(3)] == [200, 200, 503]


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    body=st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=20),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
        ).map(lambda value: json.dumps(value).encode()),
        st.builds(
            lambda method, params, meta: json.dumps(modern(method, **params, meta=meta)).encode(),
            st.sampled_from(["tools/call", "prompts/get", "resources/read", "tools/list", "nope"]),
            st.fixed_dictionaries(
                {},
                optional={
                    "name": st.sampled_from(["add", "_hud_submit", "letters:count"]) | st.integers(),
                    "arguments": st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=5), max_size=3)
                    | st.integers(),
                    "uri": st.text(max_size=10) | st.just("letters:count"),
                },
            ),
            st.dictionaries(
                st.sampled_from(["hud/episode", "hud/harness", "hud/answer", "hud/arguments", "hud/close"]),
                st.integers() | st.text(max_size=5) | st.dictionaries(st.text(max_size=5), st.integers(), max_size=2),
                max_size=2,
            ),
        ),
    ),
    is_modern=st.booleans(),
)
def test_whatever_is_sent_is_answered_and_others_are_unharmed(body, is_modern):
    async def send():
        log = Log()
        async with inside(EnvironmentServer(make_environment(log)).http_app()) as http:
            headers = {"mcp-protocol-version": "2026-07-28"} if is_modern else {}
            try:
                sent = json.loads(body)
                method, name = sent["method"], sent["params"].get("name") or sent["params"].get("uri") or ""
                headers |= {"mcp-method": method, "mcp-name": name} if is_modern else {}
            except (ValueError, TypeError, KeyError, AttributeError, UnicodeDecodeError):
                pass
            headers = {key: value for key, value in headers.items() if isinstance(value, str) and value.isascii()}
            headers = {key: value for key, value in headers.items() if value.isprintable() and value == value.strip()}
            answer = await http.post("/mcp", content=body, headers=headers)
            assert answer.status_code in (200, 202, 400, 404, 406), answer.text
            assert (await initialize(http)).status_code == 200
        assert not log.open

    anyio.run(send)
