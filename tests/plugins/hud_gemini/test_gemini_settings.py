from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import anyio
import httpx2
import jsonschema
import pytest
from google import genai
from hypothesis import given
from hypothesis import strategies as st

from hud_core import trace
from hud_core.environment.session import Toolbox
from hud_core.errors import ConfigError, ProviderError
from hud_core.model.content import Message, Prompt, TextContent
from hud_core.model.tools import Tool
from hud_gemini import GeminiAgent, GeminiConfig, GeminiCUAAgent
from hud_gemini.schemas import wire_schema

pytestmark = pytest.mark.slow
Endpoint = Callable[..., Any]
Tools = Callable[..., Toolbox]
Agents = Callable[..., Any]
KEY = {"api_key": "k"}
HARM = {"category": "HARM_CATEGORY_HARASSMENT", "threshold": "OFF"}


def ask(**more: Any) -> Prompt:
    return Prompt(messages=(Message(content=(TextContent(text="x"),)),), **more)


def count_letter(text: str, letter: str) -> int:
    """Count a letter in a text."""
    return text.count(letter)


# --- what each setting does -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize(
    ("options", "path", "value"),
    [
        ({"temperature": 0}, "generationConfig.temperature", 0),
        ({"top_p": 0.5}, "generationConfig.topP", 0.5),
        ({"top_k": 1}, "generationConfig.topK", 1),
        ({"top_k": None}, "generationConfig.topK", None),
        ({"max_output_tokens": None}, "generationConfig.maxOutputTokens", None),
        ({"max_output_tokens": 9}, "generationConfig.maxOutputTokens", 9),
        ({"stop_sequences": "END"}, "generationConfig.stopSequences", ["END"]),
        ({"seed": 7}, "generationConfig.seed", 7),
        ({"thinking_level": "high"}, "generationConfig.thinkingConfig.thinkingLevel", "HIGH"),
        ({"thinking_budget": 0}, "generationConfig.thinkingConfig.thinkingBudget", 0),
        ({"include_thoughts": False}, "generationConfig.thinkingConfig.includeThoughts", False),
        ({"thinking_budget": 0}, "generationConfig.thinkingConfig", {"thinkingBudget": 0}),
        ({"model": "gemini-2.0-flash"}, "generationConfig.thinkingConfig", None),
        ({"tool_mode": "any"}, "toolConfig.functionCallingConfig.mode", "ANY"),
        ({"safety_settings": {HARM["category"]: "OFF"}}, "safetySettings", [HARM]),
        ({"safety_settings": [HARM]}, "safetySettings", [HARM]),
        ({"extra_body": {"labels": {"a": "b"}}}, "labels", {"a": "b"}),
        ({"extra_body": {"generationConfig": {"topK": 3}}}, "generationConfig.topK", 3),
        ({"extra_body": {"generationConfig": {"logprobs": 3}}}, "generationConfig.temperature", 1.0),
    ],
)
async def test_what_settings_do_to_the_request(
    endpoint: Endpoint,
    stub: ModuleType,
    toolbox: Tools,
    agent_of: Agents,
    options: dict[str, Any],
    path: str,
    value: Any,
) -> None:
    server = endpoint(stub.say("ok"))
    async with agent_of(server, **options) as agent:
        await agent.run(ask(), toolbox(count_letter))
    found: Any = server.bodies[0]
    for name in path.split("."):
        found = found.get(name)
    assert found == value


async def test_what_settings_do_to_the_call(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, agent_of: Agents
) -> None:
    server = endpoint(stub.say("ok"))
    options = {"model": "gemini-9", "api_version": "v1", "extra_headers": {"x-team": "a"}, "timeout": 7}
    async with agent_of(server, **options) as agent:
        await agent.run(ask(), toolbox())
    [request] = server.requests
    assert request.path == "/v1/models/gemini-9:generateContent"
    assert (request.headers["x-team"], request.headers["x-server-timeout"]) == ("a", "7")


async def test_the_key_and_the_address_may_come_from_the_environment(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = endpoint(stub.say("ok"))
    monkeypatch.setenv("GOOGLE_GEMINI_BASE_URL", server.url.removesuffix("/v1"))
    for name in ("GOOGLE_API_KEY", "GEMINI_API_KEY"):  # the second one counts
        monkeypatch.setenv(name, f"of-{name}")
        async with GeminiAgent.create() as agent:
            await agent.run(ask(), toolbox())
    assert [r.headers["x-goog-api-key"] for r in server.requests] == ["of-GOOGLE_API_KEY", "of-GEMINI_API_KEY"]


async def test_requests_go_through_the_proxy_of_the_environment(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = endpoint(stub.say("ok"))
    monkeypatch.setenv("http_proxy", proxy.url.removesuffix("/v1"))
    monkeypatch.delenv("no_proxy", raising=False)
    async with GeminiAgent.create(base_url="http://gemini.invalid", api_key="k") as agent:
        assert (await agent.run(ask(), toolbox())).text == "ok"
    [request] = proxy.requests
    assert request.path.startswith("http://gemini.invalid/v1beta/models/")


async def test_an_endpoint_may_need_no_key(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    server = endpoint(stub.say("ok"))
    async with GeminiAgent.create(base_url=server.url.removesuffix("/v1"), validate_api_key=False) as agent:
        assert (await agent.run(ask(), toolbox())).text == "ok"


async def test_vertex_ai(endpoint: Endpoint, stub: ModuleType, toolbox: Tools, agent_of: Agents) -> None:
    server = endpoint(stub.say("ok"))
    async with agent_of(server, vertexai=True, hosted_tools="google_search") as agent:
        await agent.run(ask(), toolbox(count_letter))
    [request] = server.requests
    assert request.path == "/v1beta1/publishers/google/models/gemini-3-pro-preview:generateContent"
    assert request.headers["x-goog-api-key"] == "key-1"
    assert request.body["tools"][1] == {"googleSearch": {}}
    assert "toolConfig" not in request.body


@pytest.mark.parametrize(
    ("backend", "error", "said"),
    [("asyncio", ProviderError, "no access to Vertex AI: .*credentials"), ("trio", ConfigError, "on asyncio only")],
)
def test_vertex_ai_without_credentials(
    toolbox: Tools, monkeypatch: pytest.MonkeyPatch, backend: str, error: type[Exception], said: str
) -> None:
    monkeypatch.setenv("NO_GCE_CHECK", "true")  # do not look for a metadata server
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "p")
    monkeypatch.setenv("GOOGLE_CLOUD_LOCATION", "global")
    monkeypatch.setenv("GEMINI_API_KEY", "not-for-this")
    agent = GeminiAgent.create(vertexai=True, base_url="http://127.0.0.1:9")
    with pytest.raises(error, match=said) as raised:
        anyio.run(agent.run, ask(), toolbox(), backend=backend)
    assert not getattr(raised.value, "retry", False)


# --- a client of one's own --------------------------------------------------------------------------------------------


def own(server: Any, **options: Any) -> genai.Client:
    options = {"base_url": server.url.removesuffix("/v1"), **options}
    return genai.Client(api_key="own", vertexai=False, http_options=genai.types.HttpOptions(**options))


async def test_a_client_of_one_s_own_is_used_and_stays_open(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools
) -> None:
    server = endpoint(stub.say("ok"))
    async with httpx2.AsyncClient() as http_client:
        client = own(server, httpx_async_client=http_client)
        for _ in range(2):
            async with GeminiAgent.create(model_client=client) as agent:
                assert (await agent.run(ask(), toolbox())).text == "ok"
        assert not http_client.is_closed
        client.close()
    assert {request.path for request in server.requests} == {"/v1beta/models/gemini-3-pro-preview:generateContent"}
    assert {request.headers["x-goog-api-key"] for request in server.requests} == {"own"}


def test_a_client_that_knows_only_asyncio_says_so_on_trio(endpoint: Endpoint, stub: ModuleType, toolbox: Tools) -> None:
    client = own(endpoint(stub.say("ok")))
    agent = GeminiAgent.create(model_client=client)
    with pytest.raises(ConfigError, match="on asyncio only: on trio a model_client needs"):
        anyio.run(agent.run, ask(), toolbox(), backend="trio")
    client.close()


# --- settings that cannot be right ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "set GEMINI_API_KEY"),
        ({"base_url": "http://x"}, "validate_api_key=False"),
        ({"vertexai": True}, "set GEMINI_API_KEY"),
        ({**KEY, "model": ""}, "need a model"),
        ({**KEY, "temprature": 1}, "unknown setting 'temprature'; did you mean 'temperature'"),
        ({**KEY, "temperature": "hot"}, "'temperature' must be int or float, got str"),
        ({**KEY, "recent_screenshots": -1}, "'recent_screenshots' must be at least 0, got -1"),
        ({**KEY, "top_k": True}, "'top_k' must be int, got bool"),
        ({**KEY, "thinking_level": "huge"}, "'thinking_level' must be one of minimal, low, medium, high, xhigh, got"),
        ({**KEY, "thinking_level": "low", "thinking_budget": 1}, "not both"),
        ({**KEY, "tool_mode": "maybe"}, "'tool_mode' must be one of auto, any, none, validated"),
        ({**KEY, "hosted_tools": ["google_saerch"]}, "'hosted_tools' must be one of google_search"),
        ({**KEY, "safety_settings": [{"category": "A"}]}, "'safety_settings' must be dict, got list"),
        ({**KEY, "extra_body": {"contents": []}}, "must not hold contents"),
        ({**KEY, "base_url": "localhost"}, "must begin with http"),
        ({**KEY, "base_url": "http://me:sk-1@x"}, "must hold no user and password"),
        ({**KEY, "base_url": "http://x:abc?key=sk-1"}, "'http://x:abc' is no address"),
        ({**KEY, "project": "p"}, "give vertexai=True"),
        ({"api_key": 5}, "'api_key' must be str, got int"),
    ],
)
def test_settings_that_cannot_be_right(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as raised:
        GeminiAgent.create(**options)
    assert "sk-1" not in str(raised.value)


def test_the_fingerprint_tells_settings_apart_and_holds_no_secret() -> None:
    there = {"base_url": "http://host?key=sk-query"}
    plain = GeminiAgent.create(api_key="sk-one", **there)
    same = GeminiAgent.create(api_key="sk-two", timeout=3, extra_headers={"x-key": "sk-header"}, **there)
    assert plain.fingerprint == same.fingerprint
    assert GeminiAgent.create(api_key="sk-one", temperature=0.1).fingerprint != plain.fingerprint
    assert GeminiCUAAgent.create(api_key="sk-one").fingerprint != plain.fingerprint
    assert "sk-" not in f"{same!r} {same.config!r} {same.config.described()} {same.fingerprint}"


def test_two_clients_of_ones_own_are_told_apart_by_their_addresses() -> None:
    clients = [genai.Client(api_key="sk-1", http_options={"base_url": f"http://{host}"}) for host in ("a", "b")]
    one, other = (GeminiAgent.create(model_client=client).fingerprint for client in clients)
    assert one != other  # and so are their answers in the cache
    assert one == GeminiAgent.create(api_key="sk-1", base_url="http://a").fingerprint


def test_the_defaults_are_the_documented_ones() -> None:
    config = GeminiConfig.from_options(KEY)
    assert (config.model, config.temperature, config.top_p, config.top_k) == ("gemini-3-pro-preview", 1.0, 0.95, 40)
    assert (config.max_output_tokens, config.thinking_level, config.include_thoughts) == (8192, None, True)
    assert GeminiCUAAgent.create(**KEY).config.model == "gemini-2.5-computer-use-preview-10-2025"
    assert GeminiConfig.from_options({**KEY, "checkpoint_name": "gemini-9"}).model == "gemini-9"


# --- hosted tools -----------------------------------------------------------------------------------------------------


class Marked(Toolbox):
    """A toolbox that lists these tools and calls none."""

    def __init__(self, *tools: Tool) -> None:
        object.__setattr__(self, "tools", list(tools))

    async def list_tools(self) -> list[Tool]:
        tools: list[Tool] = object.__getattribute__(self, "tools")
        return tools


async def test_hosted_tools_are_offered_and_what_they_did_goes_back(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, agent_of: Agents
) -> None:
    ran = [
        {"toolCall": {"toolType": "GOOGLE_SEARCH_WEB", "args": {"q": "x"}, "id": "t1"}, "thoughtSignature": "cw=="},
        {"toolResponse": {"toolType": "GOOGLE_SEARCH_WEB", "response": {"r": 1}, "id": "t1"}},
        {"executableCode": {"code": "1", "language": "PYTHON"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}},
        {"functionCall": {"name": "count_letter", "args": {"text": "rr", "letter": "r"}}},
    ]
    server = endpoint(stub.answer(ran), stub.say("2"))
    recorder = trace.Recorder("r")
    token = trace.current_recorder.set(recorder)
    async with agent_of(server, hosted_tools=["google_search", "url_context", "code_execution"]) as agent:
        await agent.run(ask(), toolbox(count_letter))
    trace.current_recorder.reset(token)
    assert [event.text for event in recorder.pending if event.type == "log_line"] == [
        """at Google's: {"toolType": "GOOGLE_SEARCH_WEB", "args": {"q": "x"}, "id": "t1"}""",
        """at Google's: {"code": "1", "language": "PYTHON"}""",
        """at Google's: {"outcome": "OUTCOME_OK", "output": "1"}""",
    ]
    first, second = server.bodies
    assert first["tools"][1:] == [{"googleSearch": {}}, {"urlContext": {}}, {"codeExecution": {}}]
    assert first["toolConfig"] == {"includeServerSideToolInvocations": True}
    assert second["contents"][1]["parts"] == ran


async def test_an_environment_may_offer_hosted_tools(endpoint: Endpoint, stub: ModuleType, agent_of: Agents) -> None:
    form = {"api_type": "google_search", "hosted": True, "extra": {"excludeDomains": ["x.org"]}}
    server = endpoint(stub.say("ok"))
    async with agent_of(server) as agent:
        await agent.run(ask(), Marked(Tool(name="search", meta={"native_tools": {"gemini": form}})))
    assert server.bodies[0]["tools"] == [{"googleSearch": {"excludeDomains": ["x.org"]}}]
    assert "toolConfig" not in server.bodies[0]


async def test_an_answer_that_is_to_name_its_sources_may_search(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, agent_of: Agents
) -> None:
    server = endpoint(stub.say("ok"))
    for hosted in ([], ["google_search"]):
        async with agent_of(server, hosted_tools=hosted) as agent:
            await agent.run(ask(enable_citations=True), toolbox())
    assert [body["tools"] for body in server.bodies] == [[{"googleSearch": {}}]] * 2


# --- typed answers ----------------------------------------------------------------------------------------------------

POINT = {"type": "object", "properties": {"x": {"type": "integer"}, "kind": {"const": "p"}}, "required": ["x"]}


async def test_the_schema_is_sent_and_the_answer_is_data(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, agent_of: Agents
) -> None:
    server = endpoint(stub.say('{"x": 1}'))
    async with agent_of(server) as agent:
        answer = await agent.run(ask(answer_schema=POINT), toolbox())
    assert (answer.text, answer.structured) == ('{"x": 1}', {"x": 1})
    sent = server.bodies[0]["generationConfig"]
    assert sent["responseMimeType"] == "application/json"
    assert sent["responseJsonSchema"] == {
        **POINT,
        "properties": {"x": {"type": "integer"}, "kind": {"enum": ["p"]}},
    }


async def test_a_model_that_takes_no_schema_beside_functions_is_told_in_words_from_then_on(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, agent_of: Agents
) -> None:
    rejected = stub.fail(400, "Function calling with a response mime type: 'application/json' is unsupported")
    server = endpoint(rejected, stub.say("```json\n3\n```"))
    recorder = trace.Recorder("r")
    token = trace.current_recorder.set(recorder)
    async with agent_of(server, system_prompt="be brief") as agent:
        prompt = ask(answer_schema={"type": "integer"})
        answers = [await agent.run(prompt, toolbox(count_letter)) for _ in range(2)]
        await agent.run(prompt, toolbox())
    trace.current_recorder.reset(token)
    assert [answer.structured for answer in answers] == [3, 3]
    assert ["responseJsonSchema" in body["generationConfig"] for body in server.bodies] == [True, False, False, True]
    assert '{"type": "integer"}' in server.bodies[1]["systemInstruction"]["parts"][0]["text"]
    [line] = [event.text for event in recorder.pending if event.type == "log_line"]
    assert line.endswith("is unsupported")


async def test_a_request_that_is_wrong_in_itself_is_not_blamed_on_the_schema(
    endpoint: Endpoint, stub: ModuleType, toolbox: Tools, agent_of: Agents
) -> None:
    server = endpoint(stub.fail(400, "bad image"), stub.fail(400, "bad image"), stub.say("3"))
    async with agent_of(server) as agent:
        prompt = ask(answer_schema={"type": "integer"})
        with pytest.raises(ProviderError, match="bad image"):
            await agent.run(prompt, toolbox())
        await agent.run(prompt, toolbox())
    assert ["responseJsonSchema" in body["generationConfig"] for body in server.bodies] == [True, False, True]


leaves = st.sampled_from([
    {"type": "string"}, {"const": 1}, {"const": {"const": 2}}, {"enum": ["a", 1]}, {"type": "null"}, {},
])  # fmt: skip
schemas = st.recursive(
    leaves,
    lambda inner: (
        st.dictionaries(st.sampled_from(["a", "b", "const"]), inner, max_size=3).map(
            lambda properties: {"type": "object", "properties": properties, "additionalProperties": {"const": 1}}
        )
        | inner.map(lambda item: {"type": "array", "items": item, "prefixItems": [item]})
        | st.lists(inner, min_size=1, max_size=3).map(lambda options: {"anyOf": options})
        | inner.map(lambda other: {"not": other, "$defs": {"const": other}})
    ),
    max_leaves=6,
)
values = st.recursive(
    st.sampled_from([None, 1, 2, "a", "x", {"const": 2}]),
    lambda inner: (
        st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["a", "b", "const"]), inner, max_size=2)
    ),
    max_leaves=4,
)


@given(schemas, values)
def test_a_schema_on_the_wire_accepts_what_the_schema_accepts(schema: dict[str, Any], value: Any) -> None:
    def accepts(schema: dict[str, Any]) -> bool:
        return bool(jsonschema.Draft202012Validator(schema).is_valid(value))

    assert accepts(wire_schema(schema)) == accepts(schema)


@pytest.mark.parametrize(
    ("schema", "wire"),
    [
        ({"const": "a", "description": "d"}, {"enum": ["a"], "description": "d"}),
        ({"default": {"const": 1}, "pattern": "^a$"}, {"default": {"const": 1}, "pattern": "^a$"}),
        ({"properties": {"const": {"const": 1}}}, {"properties": {"const": {"enum": [1]}}}),
        ({"oneOf": [{"const": 1}, True]}, {"oneOf": [{"enum": [1]}, True]}),
    ],
)
def test_only_what_the_api_ignores_is_said_differently(schema: dict[str, Any], wire: dict[str, Any]) -> None:
    assert wire_schema(schema) == wire
