from __future__ import annotations

from typing import Any

import pytest

from hud_core.agents import NativeTool
from hud_core.agents.native import offer
from hud_core.model.tools import Tool


def tool(name: str, **native: Any) -> Tool:
    return Tool(name=name, meta={"native_tools": native} if native else {})


BASH = tool("bash", claude={"api_type": "bash_1", "api_name": "bash", "role": "shell"})
SHELL = tool("shell", openai={"api_type": "shell", "role": "shell", "supported_models": ["gpt-5*"]})
SEARCH = tool("web_search", claude={"api_type": "web_search_1", "hosted": True})
COUNT = tool("count")
EVERYTHING = [BASH, SHELL, SEARCH, COUNT]


@pytest.mark.parametrize(
    ("agent_type", "model", "native", "functions"),
    [
        ("claude", "claude-sonnet-4-5", ["bash_1", "web_search_1"], ["count"]),
        ("openai", "GPT-5.4", ["shell"], ["count"]),
        ("openai", "gpt-4o", [], ["bash", "count"]),  # one of the two shells, and no tool that runs elsewhere
        ("gemini", "gemini-3", [], ["bash", "count"]),
    ],
)
def test_a_model_is_offered_one_tool_of_a_role_in_the_form_it_knows(
    agent_type: str, model: str, native: list[str], functions: list[str]
) -> None:
    offered = offer(EVERYTHING, agent_type, model)
    assert [form.api_type for form in offered.native] == native
    assert [tool.name for tool in offered.functions] == functions


def test_the_first_form_that_supports_the_model_counts() -> None:
    computer = tool(
        "computer",
        claude=[
            {"api_type": "computer_2", "supported_models": ["*opus*"], "beta": "b-2", "extra": {"zoom": True}},
            {"api_type": "computer_1"},
        ],
    )
    [new], [old] = (offer([computer], "claude", model).native for model in ("claude-opus-4-5", "claude-haiku"))
    assert (new.api_type, new.beta, new.extra) == ("computer_2", "b-2", {"zoom": True})
    assert (old.api_type, old.name, old.tool) == ("computer_1", "computer", computer)


def test_well_known_names_need_no_mark_and_a_mark_goes_before_them() -> None:
    known = {"bash": NativeTool(api_type="bash_known"), "edit": NativeTool(api_type="edit_known", role="editor")}
    offered = offer([BASH, tool("edit"), tool("editor")], "claude", "m", known)
    assert [form.api_type for form in offered.native] == ["bash_1", "edit_known"]
    assert offered.functions == ()  # what is called as a role that is taken does the same


@pytest.mark.parametrize("nonsense", [3, "bash", [None], {"api_type": 5}, {}, [[]]])
def test_a_mark_that_is_none_leaves_an_ordinary_tool(nonsense: object) -> None:
    odd = Tool(name="odd", meta={"native_tools": {"claude": nonsense}})
    assert offer([odd], "claude", "m").functions == (odd,)


def test_every_tool_is_offered_where_none_is_marked() -> None:
    tools = [tool(name) for name in ("a", "b", "computer", "bash")]
    assert offer(tools, "claude", "m").functions == tuple(tools)
