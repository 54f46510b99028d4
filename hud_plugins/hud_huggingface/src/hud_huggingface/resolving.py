"""``${VAR}`` in the servers of a LegacyTask, replaced when they are read."""

from __future__ import annotations

from typing import Any, NoReturn

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


def resolved(value: Any, task: str, path: str = "mcp_config") -> Any:  # noqa: ANN401  JSON data
    """Replace variables at every depth, in values and not in keys.

    Args:
        value: The servers, or a part of them.
        task: Names the task, for the message.
        path: Where `value` stands in it.

    Raises:
        ConfigError: A variable is not set and has no default; the message names it, the task and the place.
    """
    if type(value) is str:
        return expand(value, f"{task}, {path},", bare=True) if "$" in value else value
    if isinstance(value, dict):
        return Resolved({key: resolved(item, task, f"{path}.{key}") for key, item in value.items()}, value)
    if isinstance(value, list | tuple):
        return [resolved(item, task, f"{path}[{place}]") for place, item in enumerate(value)]
    return value
