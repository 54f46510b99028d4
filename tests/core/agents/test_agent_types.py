from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from hud_core.agents import AgentType
from hud_core.errors import UnknownProviderError
from hud_core.hookspecs import hookimpl
from hud_core.kernel import Kernel
from hud_core.providers import Provider


class Plugin:
    @hookimpl
    def hud_agents(self) -> Iterator[Provider[Any]]:
        yield Provider("oracle", lambda: dict)
        yield Provider("claude", lambda: list)


def test_a_type_is_its_agent_s_name_and_finds_its_class_in_a_kernel() -> None:
    kernel = Kernel(plugins=[Plugin()], autoload=False)
    assert AgentType("claude") == "claude"
    assert AgentType.CLAUDE.load(kernel) is list
    assert AgentType.INTEGRATION_TEST.load(kernel) is dict


def test_a_type_whose_plugin_is_missing_says_what_to_install() -> None:
    with pytest.raises(UnknownProviderError, match="pip install hud-gemini"):
        AgentType.GEMINI.load(Kernel(autoload=False))


def test_the_types_are_those_that_users_know() -> None:
    assert {member.value for member in AgentType} == {
        "claude",
        "openai",
        "operator",
        "gemini",
        "gemini_cua",
        "openai_compatible",
        "integration_test",
    }
