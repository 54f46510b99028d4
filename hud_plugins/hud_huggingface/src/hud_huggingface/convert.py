"""Old task files as ``tasks.py``: an `Environment` with its scenario for each set of servers, and the tasks of both."""

from __future__ import annotations

import json
import keyword
import pprint
import re
from collections.abc import Mapping  # noqa: TC003  a field's type
from typing import TYPE_CHECKING, Any, NamedTuple

from hud_core.environment.environment import normalise
from hud_core.errors import ConfigError
from hud_core.model.codec import dump_task
from hud_huggingface.execution import one_syntax
from hud_huggingface.legacy import LegacyTask

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hud_core.model.task import Task

WIDTH = 118
_HEAD = '''\
"""Tasks that `hud convert` wrote from {source}.

Each environment below stands for one set of servers. Its scenario is where to go on: it prepares with tools of the
servers, yields the prompt, and yields the score. Variables such as ${{VAR}} are replaced when a rollout begins.
"""

from __future__ import annotations

from typing import Any

from hud import Environment
from hud.types import Task
from hud_huggingface import scored, set_up
'''
_SCENARIO = '''

@{name}.scenario()
async def attempt_{name}(
    prompt: str, setup: list[dict[str, Any]], evaluate: list[dict[str, Any]], pictures: bool = True
) -> Any:
    """Prepare, ask, and score with tools of the servers."""
    await set_up({name}, setup, pictures=pictures)
    yield prompt
    yield await scored({name}, evaluate)
'''
CORRECTED = "what was corrected, and in which rows (counted from 0):"
"""Heads the comment that lists corrections."""


class _Environment(NamedTuple):
    """One set of servers."""

    name: str
    """The variable's name."""
    servers: Mapping[str, Any]


def converted(tasks: Sequence[object], source: str = "old rows") -> str:
    """Write tasks as the Python file that takes their place.

    Args:
        tasks: LegacyTasks.
        source: Where they come from, for the file's docstring.

    Raises:
        ConfigError: There are none, or one of them is something else.
    """
    environments: dict[str, _Environment] = {}
    corrections: dict[str, list[int]] = {}
    written: list[str] = []
    for place, task in enumerate(tasks):
        if not isinstance(task, LegacyTask):
            problem = f"row {place} of {source} is no LegacyTask: it has no prompt and mcp_config"
            raise ConfigError(f"{problem}; leave it out, it is in the new form already")
        for line in task.corrections:
            corrections.setdefault(line, []).append(place)
        key = json.dumps(task.template, sort_keys=True, default=repr)
        if key not in environments:
            environments[key] = _Environment(_name(task.template, environments.values()), task.template)
        written.append(_task(task.to_task(), environments[key].name))
    if not environments:
        raise ConfigError(f"there are no tasks in {source}")
    said = [f"{line}: {_places(places)}" for line, places in corrections.items()]
    bodies = (_environment(environment) for environment in environments.values())
    tasks = "".join(f"    {task},\n" for task in written)
    return "\n".join([_HEAD.format(source=_plain(source)), *_comment(said), *bodies, f"\ntasks = [\n{tasks}]\n"])


def _places(places: list[int]) -> str:
    """Write places as short as can be: ``0-3, 7``."""
    runs: list[list[int]] = []
    for place in places:
        if runs and runs[-1][-1] == place - 1:
            runs[-1] = [runs[-1][0], place]
        else:
            runs.append([place])
    return ", ".join("-".join(map(str, run)) for run in runs)


def _comment(lines: list[str]) -> list[str]:
    return [f"# {CORRECTED}", *(f"# - {_plain(line)}" for line in lines), ""] if lines else []


def _plain(text: str) -> str:
    """Give text that ends neither a comment nor a docstring."""
    return text.encode("unicode_escape").decode("ascii").replace('"', "'")


# --- one environment --------------------------------------------------------------------------------------------------


def _name(servers: Mapping[str, Any], others: Iterable[_Environment]) -> str:
    """Name the variable of an environment after its servers."""
    named = "_".join(servers.get("mcpServers", servers))
    name = re.sub(r"\W+", "_", named, flags=re.ASCII).strip("_").lower() or "servers"
    if name[0].isdigit() or keyword.iskeyword(name) or name in _TAKEN or name.startswith("attempt_"):
        name = f"env_{name}"
    taken = {other.name for other in others}
    numbers = (f"{name}_{number}" for number in range(2, len(taken) + 3))
    return name if name not in taken else next(other for other in numbers if other not in taken)


_TAKEN = frozenset(
    {"annotations", "any", "environment", "hud", "task", "tasks", "scored", "set_up", "match", "case", "type"}
)
"""Names that the file has, or that read badly in it."""


def _environment(environment: _Environment) -> str:
    name = environment.name
    servers = _literal(one_syntax(environment.servers), 4)
    title = normalise("-".join(environment.servers.get("mcpServers", environment.servers)))
    declared = f'{name} = Environment("{title}")\n{name}.connect_mcp_config(\n{servers}\n)\n'
    return f"\n{declared}{_SCENARIO.format(name=name)}"


def _task(task: Task, name: str) -> str:
    row = dump_task(task)
    given = {key: row[key] for key in ("slug", "id", "args", "validation", "agent_config", "metadata") if key in row}
    fields = "".join(f"        {key}={_literal(value, 8 + len(key) + 1).lstrip()},\n" for key, value in given.items())
    return f'Task(\n        env={name},\n        scenario="attempt_{name}",\n{fields}    )'


def _literal(value: Any, indent: int) -> str:  # noqa: ANN401  JSON data
    lines = pprint.pformat(value, width=WIDTH - indent, sort_dicts=False).splitlines()
    return "\n".join(" " * indent + line for line in lines)
