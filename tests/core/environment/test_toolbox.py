"""What an agent holds."""

from __future__ import annotations

from hud_core import Environment
from hud_core.environment.session import Toolbox

env = Environment("shared")


@env.tool
async def echo(text: str) -> str:
    return text


async def test_an_agent_that_adapts_a_schema_adapts_its_own() -> None:
    (mine,) = await Toolbox(env.session().tools).list_tools()
    mine.input_schema["properties"].clear()
    mine.meta["seen"] = True
    (other,) = await Toolbox(env.session().tools).list_tools()
    assert list(other.input_schema["properties"]) == ["text"]
    assert other.meta == {}
