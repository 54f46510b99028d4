"""Going on with a run: what it was asked for, what it has, and what of that still holds."""

from __future__ import annotations

import fcntl
import json
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any

from msgspec import structs

from hud.cli.console import ask, can_ask, complain, say
from hud.cli.evaluate.settings import BUDGETS, Output, Settings, given_options, output_of
from hud.cli.evaluate.values import mask, parse_pair, parse_value, unmask
from hud.cli.records import is_finished
from hud_core.errors import ConfigError
from hud_core.job.directory import find_run, list_runs, read_manifest
from hud_core.job.fingerprint import Decision, compare
from hud_core.settings import is_confidential

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable
    from pathlib import Path

    from hud_core.job.directory import Finished
    from hud_core.job.plan import JobSpec
    from hud_core.model.rollout import Fingerprint

_OPERATIONAL = {"max_concurrent", "timeout", "prices", "cache", *BUDGETS}
_CHANGEABLE = {*_OPERATIONAL, "min_coverage", "quiet", "verbose"}


def manifest(settings: Settings, counts: dict[str, Any]) -> dict[str, Any]:
    """Give what ``job.json`` keeps of the settings; secrets are masked."""
    command = structs.asdict(settings)
    command["options"] = _as_pairs(settings.options)
    command["variants"] = _as_pairs(settings.variants)
    return {"source": settings.source, **counts, "command": command}


def _as_pairs(options: dict[str, Any]) -> list[str]:
    """Write options as ``-c`` takes them: which of them are secrets is decided here, and by nobody behind."""
    return [f"{key}={json.dumps(value)}" for key, value in mask(options).items()]


def _from_pairs(pairs: Iterable[str]) -> dict[str, Any]:
    split = (pair.partition("=") for pair in pairs)
    return {key: json.loads(value) for key, _, value in split}


def find_unfinished(name: str) -> Path:
    """Find the run that is meant: by name, or the newest unfinished one that nobody runs now.

    Raises:
        ConfigError: There is none.
    """
    if name != "last":
        return find_run(name)
    for path in list_runs():
        if "command" in read_manifest(path) and not is_locked(path) and not is_finished(path):
            return path
    raise ConfigError("no unfinished run of `hud eval` here; name one: hud eval --resume RUN (`hud runs` lists them)")


def is_locked(path: Path) -> bool:
    """Whether a process runs the job in this directory now."""
    try:
        with (path / "lock").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False  # there is no lock, or it cannot be read
    return False


def read_settings(path: Path, arguments: argparse.Namespace) -> tuple[Settings, Output]:
    """Give the settings that a run was started with, and what may differ this time.

    Raises:
        ConfigError: An option cannot be changed any more, or `hud eval` did not start the run.
    """
    given = given_options(arguments)
    for extra in ("from_json", "out"):
        if getattr(arguments, extra):
            given[extra] = True
    if fixed := sorted(given.keys() - _CHANGEABLE):
        raise ConfigError(f"{_spelled(fixed[0])} cannot be changed for a run that goes on; start a new one instead")
    command = read_manifest(path).get("command")
    if not isinstance(command, dict):
        raise ConfigError(f"{path} was not started by `hud eval`; go on with it in Python: hud.run(..., resume=True)")
    settings = _settings(path, command)
    settings = structs.replace(settings, **{key: given[key] for key in given.keys() & _OPERATIONAL})
    return _with_options(settings, arguments.config or ()), output_of(given, arguments)


def _spelled(key: str) -> str:
    return f"argument {key!r}" if key in ("source", "agent") else f"option --{key.replace('_', '-')}"


def _settings(path: Path, command: dict[str, Any]) -> Settings:
    try:
        pairs = {key: _from_pairs(command[key]) for key in ("options", "variants")}
        return Settings(**{**command, **pairs})
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise ConfigError(f"{path} was started by another version of hud: {error}") from error


def _with_options(settings: Settings, pairs: Iterable[str]) -> Settings:
    """Lay the agent's options of this call over the stored ones, whose secrets were not stored."""
    options, hidden = unmask(settings.options)
    split = (parse_pair(pair, "-c") for pair in pairs)
    given = {key.removeprefix(f"{settings.agent}."): parse_value(value) for key, value in split}
    options |= given
    missing = [name for name in hidden if name.partition(".")[0] not in given]
    if addresses := [name for name in missing if not any(map(is_confidential, name.split(".")))]:
        raise ConfigError(f"an address with a secret in it is not stored: give {', '.join(addresses)} again with -c")
    if missing:
        complain("warning", f"secrets are not stored: give {', '.join(missing)} again with -c, or in the environment")
    return structs.replace(settings, options=options, variants=unmask(settings.variants)[0])


# --- what still holds -------------------------------------------------------------------------------------------------


async def forecast(spec: JobSpec, path: Path) -> Counter[str]:
    """Say for how many rollouts what will happen: ``kept``, or why they run."""
    from hud_core.job.contestants import make_contestants
    from hud_core.job.directory import read_scored
    from hud_core.job.fingerprint import Fingerprints
    from hud_core.job.plan import Units, rollout_id

    earlier, fingerprints = read_scored(path), Fingerprints()
    contestants = make_contestants(spec)
    units, ids = Units(spec, len(contestants)), set[str]()
    found: Counter[str] = Counter()
    while unit := await units.next():
        contestant = contestants[unit.agent]
        rollout = earlier.get(rollout_id(unit, contestant.key, ids))
        found[reason(rollout, fingerprints.of(unit.task, contestant.agent))] += 1
    for contestant in contestants:
        await contestant.agent.aclose()
    return found


def reason(earlier: Finished | None, now: Fingerprint | None) -> str:
    """Say why a rollout runs, or that it is kept."""
    if earlier is None:
        return "without a score so far"
    if compare(earlier.fingerprint, now) is Decision.REUSE:
        return "kept"
    return f"because the {_changed(earlier.fingerprint, now)} changed"


def _changed(earlier: Fingerprint | None, now: Fingerprint | None) -> str:
    names = ("environment", "task", "agent", "grader")
    return next((name for name in names if getattr(earlier, name, None) != getattr(now, name, None)), "record")


def tell(path: Path, found: Counter[str], *, quiet: bool) -> None:
    """Say what is kept and what runs."""
    if quiet:
        return
    kept = found["kept"]
    again = [f"{count:,} {why}" for why, count in found.most_common() if why != "kept"]
    runs = f"; {found.total() - kept:,} to run: {', '.join(again)}" if again else "; nothing is left to run"
    say(f"going on with {path.name}: {kept:,} of {found.total():,} rollouts are kept{runs}")


def may_go_on(found: Counter[str], *, yes: bool) -> bool:
    """Ask, where somebody can answer, before rollouts that have a score are run once more."""
    changed = sum(count for why, count in found.items() if why.startswith("because"))
    if not changed or yes or not can_ask():
        return True
    sys.stdout.flush()
    try:
        answer = ask(f"run again what has a score already ({changed:,})? [y/N] ")
    except EOFError:
        answer = ""
    return answer.lower() in ("y", "yes")
