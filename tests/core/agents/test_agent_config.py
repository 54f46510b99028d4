from __future__ import annotations

import pytest
from attrs import field, frozen

from hud_core.agents import BaseAgentConfig, Conversation, ModelTurn, ToolLoopAgent
from hud_core.agents.config import OPERATIONAL, SECRET
from hud_core.errors import ConfigError


@frozen(kw_only=True)
class VendorConfig(BaseAgentConfig):
    key: str | None = field(default=None, repr=False, metadata=SECRET)
    timeout: float = field(default=1.0, metadata=OPERATIONAL)
    heat: float | None = None


class Vendor(ToolLoopAgent):
    config_class = VendorConfig

    async def respond(self, conversation: Conversation) -> ModelTurn:
        return ModelTurn()


def test_an_unknown_setting_names_the_closest_one_and_all_that_there_are() -> None:
    with pytest.raises(ConfigError, match=r"unknown setting 'haet'; did you mean 'heat'\? \(there are model, .*heat\)"):
        Vendor.create(haet=1)


def test_every_unknown_setting_is_named_at_once() -> None:
    with pytest.raises(ConfigError, match=r"unknown setting 'a'.*unknown setting 'b'"):
        Vendor.create(a=1, b=2)


def test_checkpoint_name_is_the_model() -> None:
    assert Vendor.create(checkpoint_name="m-1").config.model == "m-1"
    with pytest.raises(ConfigError, match="give it once"):
        Vendor.create(checkpoint_name="m-1", model="m-2")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"model": 3}, "setting 'model' must be str, got int"),
        ({"system_prompt": ["x"]}, "setting 'system_prompt' must be str, got list"),
        ({"allowed_tools": 5}, "setting 'allowed_tools' must be list, got int"),
    ],
)
def test_a_setting_of_another_type_is_named(options: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Vendor.create(**options)


def test_patterns_may_be_one_or_a_list() -> None:
    assert Vendor.create(allowed_tools="a*").config.allowed_tools == ("a*",)
    assert Vendor.create(disallowed_tools=["a", "b"]).config.disallowed_tools == ("a", "b")


def test_the_fingerprint_tells_settings_apart_that_change_the_answers_and_no_others() -> None:
    plain = Vendor.create(model="m").fingerprint
    assert Vendor.create(model="m").fingerprint == plain
    assert Vendor.create(model="m", key="sk-secret", timeout=9.0).fingerprint == plain
    others = [Vendor.create(model="n"), Vendor.create(model="m", heat=0.5), Vendor.create(model="m", system_prompt="x")]
    assert len({plain, *(other.fingerprint for other in others)}) == 4


def test_no_secret_is_shown() -> None:
    agent = Vendor.create(model="m", key="sk-secret")
    assert "sk-secret" not in f"{agent!r} {agent.config!r} {agent.fingerprint}"


async def test_an_agent_may_be_a_context() -> None:
    closed = []

    class Closing(Vendor):
        async def aclose(self) -> None:
            closed.append(self)

    async with Closing.create() as agent:
        assert not closed
    assert closed == [agent]
