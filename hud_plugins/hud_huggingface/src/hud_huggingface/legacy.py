"""`LegacyTask`: a prompt, MCP servers, and the tools that set up and score; as datasets of hud-python hold them."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Self

import attrs
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    PlainSerializer,
    PlainValidator,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    model_validator,
)

from hud_core.errors import ConfigError, TaskDataError, closest
from hud_core.model.task import EnvRef, Task, TaskAgentConfig
from hud_core.model.tools import ToolCall
from hud_huggingface import forms
from hud_huggingface.resolving import resolved
from hud_huggingface.straightening import SETTINGS, straightened

__all__ = [
    "LegacyAgentConfig", "LegacyTask", "LegacyTaskWarning", "build_env_from_v4", "is_v4_format", "read_legacy_task",
    "validate_v4_task",
]  # fmt: skip

BACKEND = "legacy"
"""The backend that opens the environments of these tasks."""
SCENARIO = "legacy"
"""The scenario that these tasks run there."""
DEPRECATED = (
    "LegacyTask is deprecated: declare an Environment with a scenario and make tasks of it, env('scenario', **args); "
    "`hud convert tasks.json -o tasks.py` writes that for whole files, and task.to_task() gives one such task"
)
NO_SERVERS = (
    "mcp_config={...} stands for your servers; assign them before it runs: "
    "task.mcp_config = {'name': {'command': ..., 'args': [...]}} or {'name': {'url': ...}}"
)
_QUIET: Mapping[str, bool] = {"quiet": True}


class LegacyTaskWarning(UserWarning):
    """What was corrected in a row, in one line."""


class LegacyAgentConfig(BaseModel):
    """What a LegacyTask asks of whichever agent attempts it."""

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    system_prompt: str | None = None
    """Added to the agent's own system prompt."""
    allowed_tools: list[str] | None = None
    """`fnmatch` patterns; tools that match none are hidden from the agent."""
    disallowed_tools: list[str] | None = None
    """`fnmatch` patterns; tools that match one are hidden from the agent."""
    append_setup_output: bool = True
    """Whether the first message goes on with what the setup tools gave."""
    initial_screenshot: bool | None = None
    """True takes a screenshot before the first action; False leaves pictures of the setup tools out."""
    max_steps: Annotated[int, Field(ge=1)] | None = None
    """Model turns at the most; the job's own limit holds where it is smaller."""


_Calls = Annotated[
    ToolCall | list[ToolCall] | None, PlainValidator(forms.calls), PlainSerializer(forms.call_data, return_type=Any)
]
_Settings = Annotated[LegacyAgentConfig | None, BeforeValidator(forms.settings)]
_Dump = PlainSerializer(lambda config: config and config.model_dump(exclude_unset=True), return_type=Any)


class LegacyTask(BaseModel):
    """An agent's objective, with its setup and its evaluation. Deprecated; `to_task` gives what takes its place.

    Reading `mcp_config` gives its servers with ``${VAR}`` and ``${VAR:default}`` replaced. Everything else that shows
    the task, `model_dump` and repr among them, has the templates.

    Raises:
        ValidationError: Fields are missing or wrong; all of them are named.
        ConfigError: A field is text, and no JSON.
    """

    model_config = ConfigDict(
        extra="allow", arbitrary_types_allowed=True, hide_input_in_errors=True, validate_assignment=True
    )

    id: str | None = None
    """A unique name; a UUID is best."""
    prompt: str
    """What the agent is asked to do."""
    mcp_config: Annotated[dict[str, Any], BeforeValidator(forms.servers)]
    """The servers, by name: each with a ``command`` or a ``url``."""
    setup_tool: _Calls = None
    """What is called to prepare the environment."""
    evaluate_tool: _Calls = None
    """What is called to score; its result holds the reward."""
    integration_test_tool: _Calls = None
    """What solves the task, for the agent ``integration_test``."""
    agent_config: Annotated[_Settings, _Dump] = None
    metadata: Annotated[dict[str, Any], BeforeValidator(forms.mapping)] = Field(default_factory=dict)

    _row: Mapping[str, Any] = PrivateAttr(default_factory=dict)
    _corrections: tuple[str, ...] = PrivateAttr(default=())

    @model_validator(mode="wrap")
    @classmethod
    def _read(cls, value: Any, handler: ModelWrapValidatorHandler[Self], info: ValidationInfo) -> Self:  # noqa: ANN401  pydantic hands over anything
        if type(value) is not dict and not isinstance(value, Mapping):  # a task that is assigned to, or no row at all
            return handler(value)
        row, corrections = straightened(value, cls.__pydantic_fields__.keys())
        task = handler(row)
        private = task.__pydantic_private__
        assert private is not None  # noqa: S101  the class has private attributes
        private["_row"], private["_corrections"] = value, corrections
        if info.context is not _QUIET:
            # Past this method and pydantic's own: whoever made the task.
            warnings.warn(DEPRECATED, DeprecationWarning, stacklevel=3)
            for text in corrections:
                warnings.warn(text, LegacyTaskWarning, stacklevel=3)
        return task

    if not TYPE_CHECKING:  # type checkers would take any attribute for one that is there

        def __getattribute__(self, name: str) -> Any:  # noqa: ANN401  attributes of any type
            # The field holds the template, for pydantic reads fields past this method: to dump, to show, to compare.
            if name == "mcp_config":
                fields = super().__getattribute__("__dict__")
                return resolved(_servers(fields), _named(fields))
            return super().__getattribute__(name)

    def __eq__(self, other: object) -> bool:
        """Whether two tasks mean the same, however their rows wrote it."""
        return isinstance(other, LegacyTask) and self.model_dump() == other.model_dump()

    __hash__ = None  # type: ignore[assignment]  # a task can be changed

    @property
    def row(self) -> Mapping[str, Any]:
        """The row as it was given, with its templates."""
        return self._row

    @property
    def corrections(self) -> tuple[str, ...]:
        """What was corrected in the row, one line each."""
        return self._corrections

    @property
    def template(self) -> dict[str, Any]:
        """The servers as they were written, ``${VAR}`` and all.

        Raises:
            ConfigError: They were written as ``{...}``, and none were assigned since.
        """
        return _servers(self.__dict__)

    def to_task(self) -> Task:
        """Give the task in the form that runs: one of the environment behind its servers. Templates stay templates."""
        setup, evaluate = forms.as_list(self.setup_tool), forms.as_list(self.evaluate_tool)
        config = self.agent_config or LegacyAgentConfig()
        extra = self.model_extra or {}
        servers = self.template.get("mcpServers", self.template)
        return Task(
            env=EnvRef("-".join(servers), BACKEND, {"mcp_config": self.template}),
            scenario=SCENARIO,
            args={
                "prompt": self.prompt,
                "setup": forms.call_data(setup),
                "evaluate": forms.call_data(evaluate),
                **({"pictures": False} if config.initial_screenshot is False else {}),
            },
            id=self.id,
            slug=extra.get("slug") or None,
            validation=forms.as_list(self.integration_test_tool) or None,
            agent_config=_task_config(config, setup, evaluate),
            metadata=dict(self.metadata),
        )


def _servers(fields: Mapping[str, Any]) -> dict[str, Any]:
    servers: dict[str, Any] = fields["mcp_config"]
    if not servers:
        raise ConfigError(f"{_named(fields)}: {NO_SERVERS}")
    return servers


def _named(fields: Mapping[str, Any]) -> str:
    return f"task {fields.get('id') or fields.get('prompt', '')[:40]!r}"


def _task_config(config: LegacyAgentConfig, setup: list[ToolCall], evaluate: list[ToolCall]) -> TaskAgentConfig:
    """Give the settings as tasks have them. What sets up and scores is the harness's, so the agent does not see it.

    Only a tool that ``allowed_tools`` names in full is the agent's, too.
    """
    lifecycle = [call.name for call in setup] + [name for call in evaluate for name in _names(call)]
    own = [name for name in dict.fromkeys(lifecycle) if name not in (config.allowed_tools or ())]
    return TaskAgentConfig(
        system_prompt=config.system_prompt,
        allowed_tools=config.allowed_tools,
        disallowed_tools=[*(config.disallowed_tools or ()), *own] or None,
        max_steps=config.max_steps,
        append_setup_output=config.append_setup_output or None,
        initial_screenshot=config.initial_screenshot or None,
    )


def _names(call: ToolCall) -> list[str]:
    """Name the tool of a call, and the one that it dispatches to."""
    inner = call.arguments.get("name")
    return [call.name, inner] if isinstance(inner, str) and isinstance(call.arguments.get("arguments"), Mapping) else [
        call.name
    ]  # fmt: skip


# --- rows -------------------------------------------------------------------------------------------------------------


def is_v4_format(row: object) -> bool:
    """Whether a row is one of a LegacyTask: it has a prompt and an ``mcp_config``."""
    return isinstance(row, Mapping) and "prompt" in row and "mcp_config" in row


def validate_v4_task(row: Mapping[str, Any]) -> None:
    """See that a row can be run and scored.

    Raises:
        TaskDataError: It has mistakes, or no ``evaluate_tool``. It is a `ValueError`.
    """
    if read_legacy_task(row).evaluate_tool is None:
        raise TaskDataError(["v4 task missing required fields: evaluate_tool"])


def build_env_from_v4(source: LegacyTask | Mapping[str, Any] | str) -> dict[str, Any]:
    """Give the fields of the `Task` that takes a LegacyTask's place.

    Args:
        source: The task, its row, or the row's JSON text.

    Raises:
        TaskDataError: The row has mistakes; all of them are named.
    """
    task = (source if isinstance(source, LegacyTask) else read_legacy_task(source)).to_task()
    return {field.name: getattr(task, field.name) for field in attrs.fields(Task)}


def read_legacy_task(row: object, where: str = "task") -> LegacyTask:
    """Make a LegacyTask of a row, without warnings: what was corrected is in its `corrections`.

    Args:
        row: A dict, or JSON text, with the fields of a LegacyTask.
        where: What problems call the row.

    Raises:
        TaskDataError: The row has mistakes; every one of them is named.
    """
    try:
        return LegacyTask.model_validate(forms.from_json(row), context=_QUIET)
    except ConfigError as error:
        raise TaskDataError([f"{error} @ {where}{_misread(row)}"]) from None
    except ValidationError as error:
        raise TaskDataError([_problem(problem, where) for problem in error.errors(include_url=False)]) from None


_TEXTS = ("id", "prompt", "system_prompt")


def _misread(row: object) -> str:
    """Name the field of a row that is text and no JSON."""
    for name, value in row.items() if isinstance(row, Mapping) else ():
        if name not in _TEXTS and (name in LegacyTask.model_fields or name in SETTINGS):
            try:
                forms.from_json(value)
            except ConfigError:
                return f".{name}"
    return ""


def _problem(problem: Mapping[str, Any], where: str) -> str:
    place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in problem["loc"])
    text = problem["msg"]
    if problem["type"] == "value_error":  # ours
        text = text.removeprefix("Value error, ")
    elif problem["type"] == "extra_forbidden":
        known = LegacyAgentConfig.model_fields
        text = f"unknown option{closest(str(problem['loc'][-1]), known) or '; there are ' + ', '.join(known)}"
    else:
        text = f"{text[:1].lower()}{text[1:]}"
    return f"{text} @ {where}{place}"
