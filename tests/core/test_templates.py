"""Templates: `${VAR}` in text, replaced at the moment of use; and what stands for a task."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hud_core import Executor, Kernel, Task, run
from hud_core.errors import ConfigError
from hud_core.job.plan import as_task
from hud_core.model.codec import dump_task, load_task
from hud_core.templates import braced, expand, hidden, is_template

TEXT = st.text(st.sampled_from("$ {}:-AB_1x"), max_size=20)


@pytest.fixture(autouse=True)
def _variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A", "1")
    monkeypatch.delenv("B", raising=False)


def outcome(text: str, *, bare: bool = False) -> str:
    try:
        return expand(text, "it", bare=bare)
    except ConfigError as error:
        return f"error: {error}"


@given(TEXT)
def test_one_way_to_write_a_variable_means_the_same_as_the_other(text: str) -> None:
    assert outcome(braced(text)) == outcome(text, bare=True)


@given(TEXT)
def test_replacing_is_total(text: str) -> None:
    assert isinstance(outcome(text), str)


def test_a_missing_variable_is_named_with_what_needs_it() -> None:
    with pytest.raises(ConfigError, match="the header needs the environment variable B; set it, or put it into"):
        expand("x${B}", "the header")


def test_a_dot_env_file_counts(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("B=from a file\n")
    assert expand("${B}", "it") == "from a file"


@pytest.mark.parametrize(
    ("text", "is_one"), [("${A}", True), ("${A:b}", True), ("x${A}", False), ("$A", False), ("", False)]
)
def test_a_template_is_told_from_text(text: str, *, is_one: bool) -> None:
    assert is_template(text) == is_one


def test_what_is_hidden_is_hidden_whole_though_one_value_is_a_part_of_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHORT", "secret")
    monkeypatch.setenv("LONG", "secret-and-more")
    for names in (["SHORT", "LONG"], ["LONG", "SHORT"]):
        assert hidden("a=secret b=secret-and-more", names) == "a=${SHORT} b=${LONG}"


# --- what stands for a task -------------------------------------------------------------------------------------------


class Stand:
    """Stands for a task; it can be iterated over, as some such things can."""

    def to_task(self) -> Task:
        return Task(scenario="count", id="stand")

    def __iter__(self) -> Any:
        raise AssertionError("this is one task, and no list of them")


async def test_what_stands_for_a_task_runs_as_one() -> None:
    kernel = Kernel()
    for tasks in (Stand(), [Stand()], iter([Stand()])):
        job = await run(tasks, "nop", kernel=kernel, save=False)
        assert [rollout.task for rollout in job] == ["stand"]


@pytest.mark.parametrize("value", [Stand, 3, "x", None, {}])
def test_anything_else_is_no_task(value: object) -> None:
    with pytest.raises(ConfigError, match="expected a Task"):
        as_task(value)


@pytest.mark.parametrize("said", [True, False])
def test_all_settings_of_a_row_travel(*, said: bool) -> None:
    row = {"scenario": "s", "args": {}, "agent_config": {"append_setup_output": said, "initial_screenshot": said}}
    assert dump_task(load_task(row)) == row
    assert "append_setup_output" not in str(dump_task(Task(agent_config={"max_steps": 3})))  # type: ignore[arg-type]


# --- jobs of other processes ------------------------------------------------------------------------------------------


class Forgetful(Executor):
    async def submit(self, job: Any) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize(("given_", "what"), [((), "jobs"), (("j",), "job 'j'"), (("j", "t"), "task 't' of job 'j'")])
async def test_an_executor_that_keeps_no_jobs_says_so(given_: tuple[str, ...], what: str) -> None:
    with pytest.raises(ConfigError, match=f"Forgetful cannot stop {what}: "):
        await Forgetful().cancel(*given_)
