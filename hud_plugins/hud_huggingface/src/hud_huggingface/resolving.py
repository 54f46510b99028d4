"""``${VAR}`` in the servers of a LegacyTask, replaced when they are read."""

from __future__ import annotations

from typing import Any, NoReturn

from hud_core.errors import ConfigError
from hud_core.templates import expand


class Resolved(dict[str, Any]):
    """Servers with their variables replaced. Its repr shows the templates: the values may be secret.

    It cannot be changed in place, for nothing would come of it: the task holds the template.
    """

    __slots__ = ("_template",)

    def __init__(self, values: dict[str, Any], template: dict[str, Any]) -> None:
        super().__init__(values)
        self._template = template

    def __repr__(self) -> str:
        return repr(self._template)

    __str__ = __repr__

    def __reduce__(self) -> tuple[type[dict[str, Any]], tuple[dict[str, Any]]]:
        return dict, (dict(self),)  # a copy is anyone's to change

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        msg = "the resolved mcp_config cannot be changed in place; assign a whole one: task.mcp_config = {...}"
        raise TypeError(msg)

    __setitem__ = __delitem__ = __ior__ = clear = pop = popitem = setdefault = update = _refuse


def resolved(value: Any, task: str) -> Any:  # noqa: ANN401  JSON data
    """Replace variables at every depth, in values and not in keys.

    Args:
        value: The servers.
        task: Names the task, for the message.

    Raises:
        ConfigError: A variable is not set and has no default; the message names it, the task and the place.
    """
    try:
        return _resolved(value)
    except ConfigError:
        _check(value, task, "mcp_config")
        raise


def _resolved(value: Any) -> Any:  # noqa: ANN401  as above
    if type(value) is str:
        return expand(value, "mcp_config", bare=True) if "$" in value else value
    if isinstance(value, dict):
        return Resolved({key: _resolved(item) for key, item in value.items()}, value)
    return [_resolved(item) for item in value] if isinstance(value, list | tuple) else value


def _check(value: Any, task: str, path: str) -> None:  # noqa: ANN401  as above
    """Raise what is missing, with its place: keeping that at hand while replacing costs as much as replacing does."""
    if isinstance(value, str):
        expand(value, f"{task}, {path},", bare=True)
    elif isinstance(value, dict):
        for key, item in value.items():
            _check(item, task, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for place, item in enumerate(value):
            _check(item, task, f"{path}[{place}]")
