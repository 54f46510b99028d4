"""`LegacyTask`: its forms, its templates, what it corrects and what it refuses."""

from __future__ import annotations

import copy
import json
import pickle
import re
import warnings
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from hud.shared.exceptions import HudConfigError
from hud.types import BaseAgentConfig, MCPToolCall
from hud_core.errors import ConfigError, TaskDataError
from hud_core.model.codec import dump_task, load_task
from hud_core.model.task import EnvRef, Task
from hud_core.templates import expand
from hud_huggingface.execution import legacy_environment
from hud_huggingface.legacy import LegacyTask, LegacyTaskWarning, is_v4_format, read_legacy_task
from hud_huggingface.resolving import resolved

SERVER = {"web": {"url": "http://localhost/mcp"}}
SECRET = "sk-planted-0123456789"
CALL: dict[str, Any] = {"name": "setup", "arguments": {"name": "navigate", "arguments": {"url": "x"}}}


def legacy(**fields: Any) -> LegacyTask:
    return read_legacy_task({"prompt": "Go.", "mcp_config": SERVER, **fields})


def with_key(**more: Any) -> dict[str, Any]:
    return {"web": {"url": "http://localhost/mcp", "headers": {"Authorization": "Bearer ${THE_KEY}", **more}}}


# --- forms ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ({"name": "go", "arguments": {"url": "x"}}, MCPToolCall("go", {"url": "x"})),
        ({"name": "go"}, MCPToolCall("go")),
        ({"name": "go", "arguments": None}, MCPToolCall("go")),
        (MCPToolCall("go", {"url": "x"}), MCPToolCall("go", {"url": "x"})),
        ('{"name": "go", "arguments": "{\\"url\\": \\"x\\"}"}', MCPToolCall("go", {"url": "x"})),
        ({"go": {"url": "x"}}, MCPToolCall("go", {"url": "x"})),
        ({"setup": {"navigate": {"url": "x"}}}, MCPToolCall(**CALL)),
        (CALL, MCPToolCall(**CALL)),
        ([{"name": "go"}, {"stay": {}}], [MCPToolCall("go"), MCPToolCall("stay")]),
        ('[{"name": "go"}]', [MCPToolCall("go")]),
        *[(value, None) for value in list[Any]((None, {}, [], "", "null", "{}"))],
    ],
)
@pytest.mark.parametrize("field", ["setup_tool", "evaluate_tool", "integration_test_tool"])
def test_tool_calls_are_read_in_every_form(field: str, given: Any, read: Any) -> None:
    assert getattr(legacy(**{field: given}), field) == read


def test_objects_of_other_libraries_are_read_as_tool_calls() -> None:
    class Params:
        name = "go"
        arguments = {"url": "x"}  # noqa: RUF012

    assert legacy(setup_tool=Params()).setup_tool == MCPToolCall("go", {"url": "x"})


@pytest.mark.parametrize(
    "given",
    [
        {"system_prompt": "Be kind.", "append_setup_output": False},
        '{"system_prompt": "Be kind.", "append_setup_output": false}',
        {"system_prompt": "Be kind.", "append_setup_tool": False},
    ],
)
def test_settings_are_read_in_every_form(given: Any) -> None:
    config = legacy(agent_config=given).agent_config
    assert config is not None
    assert (config.system_prompt, config.append_setup_output) == ("Be kind.", False)


def test_settings_may_be_an_object() -> None:
    given = BaseAgentConfig(system_prompt="Be kind.", allowed_tools=["a"])
    task = legacy(agent_config=given)
    assert task.model_dump()["agent_config"] == {"system_prompt": "Be kind.", "allowed_tools": ["a"]}


@pytest.mark.parametrize("said", [{"append_setup_output": False, "initial_screenshot": False}, {}])
def test_an_object_s_options_are_those_that_it_was_given(said: dict[str, bool]) -> None:
    task = legacy(agent_config=BaseAgentConfig(system_prompt="Be kind.", **said))
    assert task == legacy(agent_config={"system_prompt": "Be kind.", **said})
    assert task.agent_config is not None
    assert task.agent_config.append_setup_output == (not said)


def test_servers_may_follow_later() -> None:
    task = legacy(mcp_config={...}, id="a")
    assert repr(task)
    for use in (lambda: task.mcp_config, task.to_task):
        with pytest.raises(ConfigError, match=r"^task 'a': mcp_config=\{\.\.\.\} stands for your servers; assign them"):
            use()
    with pytest.raises(TaskDataError, match="maps names to servers"):
        read_legacy_task(task.model_dump())
    task.mcp_config = SERVER
    assert task == legacy(id="a")


def test_servers_and_metadata_may_be_json_text() -> None:
    task = legacy(mcp_config=json.dumps(SERVER), metadata='{"difficulty": 3}')
    assert task.mcp_config == SERVER
    assert task.metadata == {"difficulty": 3}
    assert legacy(metadata="").metadata == legacy(metadata=None).metadata == {}


def test_nulls_are_fields_that_a_row_does_not_have() -> None:
    nulls = {"url": None, "command": "x", "args": ["y"], "env": {"A": "b", "C": None}, "headers": None}
    task = legacy(mcp_config={"a": nulls}, setup_tool=None, agent_config=None, metadata=None, id=None)
    (connection,) = legacy_environment(task.template).connections.values()
    assert connection.ref == EnvRef("a", "mcp", {"command": "x", "args": ["y"], "env": {"A": "b"}})


def test_a_class_of_ones_own_may_have_more_fields() -> None:
    class Levelled(LegacyTask):
        level: int = 0

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        task = Levelled(prompt="Go.", mcp_config=SERVER, level=3)
    assert (task.level, task.mcp_config, task.model_dump()["level"]) == (3, SERVER, 3)
    assert LegacyTask.model_json_schema()["required"] == ["prompt", "mcp_config"]


def test_a_row_may_be_json_text() -> None:
    assert read_legacy_task(json.dumps({"prompt": "Go.", "mcp_config": SERVER})) == legacy()


def test_what_has_a_prompt_and_servers_is_a_row_of_this_kind() -> None:
    assert is_v4_format({"prompt": "p", "mcp_config": SERVER})
    assert not is_v4_format({"prompt": "p", "env": "e", "scenario": "s"})
    assert not is_v4_format([])


def test_the_reference_s_helpers_are_there() -> None:
    from hud.eval import build_env_from_v4, is_v4_format, validate_v4_task

    row = {"prompt": "Go.", "mcp_config": SERVER, "id": "a", "evaluate_tool": {"go": {}}}
    assert is_v4_format(row)  # type: ignore[operator]
    validate_v4_task(row)  # type: ignore[operator]
    with pytest.raises(ValueError, match="missing required fields: evaluate_tool"):
        validate_v4_task({**row, "evaluate_tool": None})  # type: ignore[operator]
    for source in (row, json.dumps(row), read_legacy_task(row)):
        assert dump_task(Task(**build_env_from_v4(source))) == dump_task(read_legacy_task(row).to_task())  # type: ignore[operator]


# --- what is wrong ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"prompt": 3}, "input should be a valid string @ rows[7].prompt"),
        ({"prompt": None}, "input should be a valid string @ rows[7].prompt"),
        ({"id": []}, "input should be a valid string @ rows[7].id"),
        ({"mcp_config": None}, "must map names to servers, got nothing @ rows[7].mcp_config"),
        ({"mcp_config": 3}, "must map names to servers, got int @ rows[7].mcp_config"),
        ({"mcp_config": {}}, "an MCP configuration maps names to servers, got dict without any @ rows[7].mcp_config"),
        ({"mcp_config": {"a": {"command": "x", "args": "y"}}}, "server 'a': 'args' is of the wrong type, str @"),
        ({"mcp_config": {"a": {"url": "x", "headers": 3}}}, "server 'a': 'headers' is of the wrong type, int @"),
        ({"mcp_config": {"a": {}}}, "MCP server 'a' must have either a 'command' or a 'url' @ rows[7].mcp_config"),
        ({"mcp_config": {"a": {"command": "x", "url": "y"}}}, "must have either a 'command' or a 'url'"),
        ({"mcp_config": {"a": {"url": 3}}}, "MCP server 'a': 'url' is of the wrong type, int @ rows[7].mcp_config"),
        (
            {"mcp_config": {"a": {"url": "user:key@x?token=key"}}},
            "server 'a': 'url' must begin with http:// or https://, got 'x' @ rows[7]",
        ),
        ({"mcp_config": {"a": {"command": "x", "env": {"A": 1}}}}, "'env' must map names to text, got int for 'A' @"),
        (
            {"mcp_config": {"a": {"url": "$X", "headers": {"A": [1]}}}},
            "'headers' must map names to text, got list for 'A'",
        ),
        ({"mcp_config": "{"}, "Invalid JSON string: "),
        ({"setup_tool": 3}, "it must be a tool call such as {'name': 'setup', 'arguments': {}}, got int"),
        ({"setup_tool": {"name": ""}}, "it names no tool @ rows[7].setup_tool"),
        (
            {"setup_tool": {"name": "x", "arguments": 3}},
            "it: arguments must be an object, got int @ rows[7].setup_tool",
        ),
        ({"setup_tool": {"name": "x", "argments": {}}}, "it has an unknown key 'argments'; did you mean 'arguments'?"),
        ({"evaluate_tool": [{"name": "x"}, 3]}, "item 1 must be a tool call"),
        ({"evaluate_tool": [{"name": "x"}, "{"]}, "item 1: Invalid JSON string: "),
        ({"evaluate_tool": {"name": "x", "arguments": "{"}}, "it: arguments: Invalid JSON string: "),
        ({"agent_tools": "x"}, "Invalid JSON string: "),
        ({"evaluate_tool": {"a": 1, "b": 2}}, "it must be {'name': ..., 'arguments': {...}} or {tool: {...}}"),
        ({"agent_config": {"sytem_prompt": "x"}}, "unknown option; did you mean 'system_prompt'?"),
        ({"agent_config": {"allowed_tools": "x"}}, "input should be a valid list @ rows[7].agent_config.allowed_tools"),
        ({"agent_config": 3}, "@ rows[7].agent_config"),
        ({"metadata": "[1]"}, "input should be a valid dictionary @ rows[7].metadata"),
    ],
)
def test_each_wrong_field_is_named_with_its_row(fields: dict[str, Any], problem: str) -> None:
    with pytest.raises(TaskDataError) as raised:
        read_legacy_task({"prompt": "Go.", "mcp_config": SERVER, **fields}, "rows[7]")
    (line,) = raised.value.problems
    assert problem in line
    assert "rows[7]." in line


def test_all_wrong_fields_are_named() -> None:
    with pytest.raises(TaskDataError) as raised:
        read_legacy_task({"setup_tool": 3})
    assert [line.partition(" @ ")[2] for line in raised.value.problems] == [
        "task.prompt",
        "task.mcp_config",
        "task.setup_tool",
    ]


@pytest.mark.filterwarnings("ignore:LegacyTask is deprecated")
def test_the_constructor_raises_what_pydantic_raises_and_what_the_reference_does() -> None:
    with pytest.raises(ValidationError, match="prompt"):
        LegacyTask(mcp_config=SERVER)  # type: ignore[call-arg]
    with pytest.raises(HudConfigError, match="Invalid JSON string: "):
        LegacyTask(prompt="Go.", mcp_config="{")  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore:LegacyTask is deprecated")
def test_assigning_is_checked() -> None:
    task = LegacyTask(prompt="Go.", mcp_config=SERVER)
    task.setup_tool = {"go": {}}  # type: ignore[assignment]
    assert task.setup_tool == MCPToolCall("go")
    with pytest.raises(ValidationError):
        task.prompt = 3  # type: ignore[assignment]


# --- what is corrected ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "corrected", "expected"),
    [
        ({"id": 7}, "'id' is text", {"id": "7"}),
        ({"id": ""}, None, {"id": None}),
        ({"system_prompt": "x"}, "'system_prompt' at top level", {"agent_config": {"system_prompt": "x"}}),
        ({"agent_tools": ["a"]}, "'agent_tools' at top level", {"agent_config": {"allowed_tools": ["a"]}}),
        ({"agent_tools": '["a"]'}, "'agent_tools' at top level", {"agent_config": {"allowed_tools": ["a"]}}),
        ({"system_prompt": None}, None, {"agent_config": None}),
        (
            {"system_prompt": "x", "agent_config": {"system_prompt": "y"}},
            "'system_prompt' at top level has no effect",
            {"agent_config": {"system_prompt": "y"}},
        ),
        (
            {"agent_config": {"append_setup_tool": False}},
            "'append_setup_tool' is agent_config's",
            {"agent_config": {"append_setup_output": False}},
        ),
        (
            {"mcp_config": {"a": {"command": "x", "arguments": ["-i"]}}},
            "'arguments' beside a command is 'args'",
            {"mcp_config": {"a": {"command": "x", "args": ["-i"]}}},
        ),
        ({"promt": "x"}, "unknown field 'promt' is kept and has no effect; did you mean 'prompt'?", {"promt": "x"}),
        ({"slug": "a-b"}, None, {"slug": "a-b"}),
    ],
)
def test_what_can_be_understood_is_corrected_and_said(
    fields: dict[str, Any], corrected: str | None, expected: dict[str, Any]
) -> None:
    task = legacy(**fields)
    assert len(task.corrections) == bool(corrected)
    assert (corrected or "") in "".join(task.corrections)
    dumped = task.model_dump()
    assert {name: dumped[name] for name in expected} == expected
    assert task.row == {"prompt": "Go.", "mcp_config": SERVER, **fields}


def test_making_one_warns_once_at_the_line_that_makes_it() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        for number in range(3):
            LegacyTask(prompt="Go.", mcp_config=SERVER, id=number)  # type: ignore[arg-type]
        LegacyTask.model_validate({"prompt": "Go.", "mcp_config": SERVER})
    assert [(type_.category, type_.filename) for type_ in caught] == [
        (DeprecationWarning, __file__),
        (LegacyTaskWarning, __file__),
        (DeprecationWarning, __file__),
    ]
    assert "hud convert" in str(caught[0].message)
    assert "to_task()" in str(caught[0].message)


def test_reading_rows_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        legacy(id=3)


# --- templates --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("${A}", "1"),
        ("x${A}y${A}", "x1y1"),
        ("${NONE:default}", "default"),
        ("${NONE:-default}", "default"),
        ("${NONE:https://mcp.hud.ai/v3/mcp}", "https://mcp.hud.ai/v3/mcp"),
        ("${NONE:}", ""),
        ("${A:default}", "1"),
        ("${EMPTY:default}", "default"),
        ("${NONE:${A}}", "1"),
        ('${NONE:{"a": 1}}', '{"a": 1}'),
        ("${HUD_API_URL}", "https://api.hud.ai"),
        ("$A and $NONE", "1 and $NONE"),
        ("it costs $5, or $ 5, or 5$, or $$, ${}, ${a b}, ${", "it costs $5, or $ 5, or 5$, or $$, ${}, ${a b}, ${"),
        ("${TRICK}", "${A}"),
    ],
)
def test_variables_are_replaced(template: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, set_to in {"A": "1", "EMPTY": "", "TRICK": "${A}"}.items():
        monkeypatch.setenv(name, set_to)
    task = legacy(
        mcp_config={"a": {"command": "x", "args": [template, {"deep": [template]}], "env": {template: template}}}
    )
    assert task.mcp_config["a"] == {"command": "x", "args": [value, {"deep": [value]}], "env": {template: value}}
    assert task.template["a"]["args"][0] == template


def test_a_missing_variable_is_an_error_that_names_it_the_task_and_the_place() -> None:
    task = legacy(id="t-1", mcp_config=with_key())
    with pytest.raises(ConfigError) as raised:
        _ = task.mcp_config
    for part in ("THE_KEY", "'t-1'", "mcp_config.web.headers.Authorization"):
        assert part in str(raised.value)
    assert task.to_task().model_dump()  # what shows the template needs no value


def test_nothing_that_shows_a_task_shows_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", SECRET)
    task = legacy(mcp_config=with_key())
    assert task.mcp_config["web"]["headers"]["Authorization"] == f"Bearer {SECRET}"
    shown = [
        repr(task), str(task), f"{task.mcp_config} {task.mcp_config!r}", task.model_dump_json(),
        repr(task.model_dump()), repr(task.row), repr(dict(task)), repr(task.to_task()),
        json.dumps(task.to_task().model_dump()),
        repr(pickle.dumps(task)), repr(copy.deepcopy(task)), repr(vars(task)),
    ]  # fmt: skip
    assert not [text for text in shown if SECRET in text]
    assert all("${THE_KEY}" in text for text in shown)
    with pytest.raises(TypeError, match="assign a whole one"):
        task.mcp_config["web"]["headers"]["X"] = "y"
    changed = copy.deepcopy(task.mcp_config)
    changed["web"]["headers"]["X"] = "y"
    task.mcp_config = with_key(X="y")
    assert task.mcp_config == changed


def test_copies_are_equal_and_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("THE_KEY", SECRET)
    task = legacy(mcp_config=with_key(), setup_tool={"go": {}}, id="a")
    for other in (copy.deepcopy(task), pickle.loads(pickle.dumps(task)), task.model_copy()):
        assert other == task
        other.prompt = "Something else."
        assert other != task
    assert task != "a"


TEXTS = st.text(st.sampled_from("ab ${}:-A_1"), max_size=12)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=12,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(JSON)
def test_any_row_with_any_templates_means_the_same_after_a_round_trip(value: Any) -> None:
    servers = {"a": {"command": "x", "args": [value], "env": {"v": f"${{A:{value}}}"}}}
    task = legacy(mcp_config=servers, metadata={"m": value})
    again = read_legacy_task(json.loads(task.model_dump_json()))
    assert again == task
    assert again.template == task.template == servers
    assert dump_task(load_task(dump_task(task.to_task()))) == dump_task(task.to_task())


@given(st.text())
def test_text_without_a_placeholder_is_never_changed(text: str) -> None:
    if not re.search(r"\$\{?[A-Za-z_]", text):
        assert expand(text, "it", bare=True) == text
        assert resolved({"a": [text]}, "it") == {"a": [text]}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(st.text(), st.text())
def test_a_value_is_put_in_as_it_is(before: str, value: str) -> None:
    value = value.replace("\0", "").encode("utf-8", "ignore").decode() or "x"
    before = before.replace("$", "").replace("{", "")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ONLY_HERE", value)
        assert expand(before + "${ONLY_HERE}" + before, "it") == before + value + before
    assert expand(before + "${ONLY_HERE:" + "d" + "}", "it") == before + "d"
