"""``hud runs``: past jobs."""

from __future__ import annotations

import argparse
import csv
import json
import sys
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from hud.cli.console import Ink, complain, emit, is_terminal, say, width_of
from hud.cli.exits import Exit
from hud_core.errors import ConfigError

if TYPE_CHECKING:
    from hud_core.job import Job
    from hud_core.model.rollout import Rollout

COLUMNS = (
    "id", "task", "task_index", "agent", "variant", "repeat", "status", "reward", "stop_reason", "cause", "phase",
    "error", "answer", "started", "seconds", "attempts", "model_calls", "input_tokens", "output_tokens", "cost",
)  # fmt: skip
"""The columns of a CSV export."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands; without one, the runs are listed."""
    parser.add_argument("--json", action="store_true", help="print JSON")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", parser_class=type(parser))
    _add(actions, "list", "list the runs, the newest first")
    show = _add(actions, "show", "print the result of a run, every task of it")
    _add_run(show)
    export = _add(actions, "export", "write the rollouts of a run", json_option=False)
    _add_run(export)
    export.add_argument("--format", choices=("json", "csv"), required=True, help="the format")
    export.add_argument("-o", "--output", metavar="FILE", help="the file; stdout by default")


def _add(
    actions: Any,  # noqa: ANN401  argparse's own class is private
    name: str,
    summary: str,
    *,
    json_option: bool = True,
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = actions.add_parser(name, help=summary, description=summary)
    if json_option:
        parser.add_argument("--json", action="store_true", default=argparse.SUPPRESS, help="print JSON")
    return parser


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", help="an id or the beginning of it, a directory, or `last`")


def run(arguments: argparse.Namespace) -> int:
    """List, show or export."""
    if arguments.action == "show":
        return _show(arguments)
    if arguments.action == "export":
        return _export(arguments)
    return _list(as_json=arguments.json)


def find(name: str) -> Path:
    """Find a run; ``last`` is the newest."""
    from hud_core.job.directory import find_run

    return find_run(None if name == "last" else name)


# --- list -------------------------------------------------------------------------------------------------------------


def _list(*, as_json: bool) -> int:
    from hud_core.job.directory import RUNS, list_runs

    found = []
    for path in list_runs():
        try:
            found.append(_row(path))
        except ConfigError as error:  # one damaged run hides no other
            complain("warning", str(error))
    if as_json:
        emit(json.dumps(found, indent=2))
    elif found:
        _print_list(found)
    else:
        say(f"no runs in {RUNS}: begin with `hud eval tasks.py AGENT`")
    return Exit.OK


def _row(path: Path) -> dict[str, Any]:
    from hud.cli.evaluate.resume import is_locked
    from hud.cli.records import job_data, job_of, read_summary
    from hud_core.job.directory import read_manifest

    manifest = read_manifest(path)
    data = read_summary(path) or job_data(job_of(path))
    summary = data["summary"]
    is_complete = summary["scored"] >= data["total"] and read_summary(path) is not None
    return {
        "id": manifest["id"],
        "name": manifest.get("name") or "",
        "directory": str(path),
        "started": manifest.get("started"),
        "source": manifest.get("source"),
        "agents": [agent["name"] for agent in manifest.get("agents", ())],
        "state": "running" if is_locked(path) else "complete" if is_complete else "incomplete",
        "total": data["total"],
        "summary": summary,
        "usage": data.get("usage"),
    }


def _print_list(found: list[dict[str, Any]]) -> None:
    from hud.cli.table import render

    # What matters least is cut first.
    header = ("run", "source", "agent", "scored", "mean", "spent", "state", "started")
    rows = [
        (
            row["id"],
            row["name"] or row["source"] or "",
            ", ".join(dict.fromkeys(row["agents"])),
            f"{row['summary']['scored']:,}/{row['total']:,}",
            "-" if row["summary"]["mean"] is None else f"{row['summary']['mean']:.3f}",
            _spent(row["usage"]),
            row["state"],
            _time(row["started"]),
        )
        for row in found
    ]
    for line in render(header, rows, ink=Ink(sys.stdout), width=width_of(sys.stdout), right="lllrrrll", flexible=1):
        emit(line)


def _spent(usage: dict[str, Any] | None) -> str:
    from hud_core.metering.budget import dollars

    return "-" if not usage or not usage["calls"] else dollars(usage["cost"])


def _time(seconds: float | None) -> str:
    return "" if seconds is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


# --- show -------------------------------------------------------------------------------------------------------------


def _show(arguments: argparse.Namespace) -> int:
    from hud.cli.records import job_data, job_of, rollout_data
    from hud.cli.report import lines

    job = job_of(find(arguments.run))
    if arguments.json:
        emit(json.dumps({**job_data(job), "rollouts": rollout_data(job.rollouts, job.directory)}, indent=2))
        return Exit.OK
    ink = Ink(sys.stdout)
    for line in lines(job, ink, width_of(sys.stdout), whole=True):
        emit(line)
    return Exit.OK


# --- export -----------------------------------------------------------------------------------------------------------


def _export(arguments: argparse.Namespace) -> int:
    from hud.cli.records import job_of

    job = job_of(find(arguments.run))
    write = _write_csv if arguments.format == "csv" else _write_json
    if arguments.output is None:
        write(job, sys.stdout)
        return Exit.OK
    with Path(arguments.output).open("w", encoding="utf-8", newline="") as file:
        write(job, file)
    if is_terminal(sys.stderr):
        say(f"{len(job.rollouts):,} rollouts in {arguments.output}")
    return Exit.OK


def _write_json(job: Job, file: IO[str]) -> None:
    from hud.cli.records import rollout_data

    json.dump(rollout_data(job.rollouts, job.directory), file, indent=2)
    file.write("\n")


def _write_csv(job: Job, file: IO[str]) -> None:
    rows = csv.writer(file, lineterminator="\n")
    rows.writerow(COLUMNS)
    rows.writerows(_csv_row(rollout) for rollout in job.rollouts)


def _csv_row(rollout: Rollout) -> list[object]:
    given = {
        "variant": json.dumps(rollout.variant) if rollout.variant else None,
        "answer": rollout.content,
        "attempts": len(rollout.attempts) + 1,
        "model_calls": rollout.usage.calls,
        "input_tokens": rollout.usage.input_tokens,
        "output_tokens": rollout.usage.output_tokens,
        "cost": rollout.usage.cost,
    }
    return [given[column] if column in given else getattr(rollout, column) for column in COLUMNS]
