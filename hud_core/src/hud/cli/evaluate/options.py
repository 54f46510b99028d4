"""The options of ``hud eval``. A default of None means "not given": the config file may say it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import argparse

EPILOG = (
    "Settings may also stand in .hud_eval.toml, in the folder where you are; options win over HUD_AGENT, "
    "that over the file."
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.epilog = EPILOG
    parser.add_argument("source", nargs="?", help="where tasks come from: tasks.py, a folder, tasks.json, a dataset")
    parser.add_argument("agent", nargs="?", help="the agent, or the name of a model that an installed agent runs")
    _add_tasks(parser.add_argument_group("which tasks (without these: the first one)"))
    _add_agent(parser.add_argument_group("the agent"))
    _add_job(parser.add_argument_group("the job"))
    _add_spending(parser.add_argument_group("what may be spent"))
    _add_output(parser.add_argument_group("what is printed"))


def _add_tasks(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--split", help="the part of a dataset to take tasks from")
    group.add_argument("--full", action="store_true", help="all tasks, and 100 steps unless --max-steps is given")
    group.add_argument("--all", action="store_true", help="all tasks")
    group.add_argument("--task-ids", metavar="A,B", help="these tasks: slugs, ids or places counted from 0")


def _add_agent(group: argparse._ArgumentGroup) -> None:
    group.add_argument("-m", "--model", help="the model, for agents that run several")
    group.add_argument(
        "-c", "--config", action="append", metavar="K=V", help="an option of the agent, also as AGENT.K=V; repeatable"
    )
    group.add_argument(
        "--variant", action="append", metavar="K=A,B", help="compare values of an agent's option; repeatable"
    )
    group.add_argument("--allowed-tools", metavar="A,B", help="hide other tools from the agent; patterns such as get_*")
    group.add_argument("--disallowed-tools", metavar="A,B", help="hide these tools from the agent; patterns")
    group.add_argument("--max-steps", type=int, metavar="N", help="model turns of a rollout at the most (10)")


def _add_job(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--group-size", type=int, metavar="N", help="repeats of each task (1)")
    group.add_argument("--max-concurrent", type=int, metavar="N", help="rollouts at once (30)")
    group.add_argument("--timeout", type=float, metavar="SECONDS", help="how long an agent may take for one rollout")
    group.add_argument("--isolate", action="store_true", help="run each rollout in a process of its own")
    group.add_argument("--seed", type=int, metavar="N", help="for environments that can be seeded")
    group.add_argument("--name", help="what to call the job")
    group.add_argument("--out", metavar="DIR", help="the run directory (.hud/runs/ID)")
    group.add_argument(
        "--resume",
        nargs="?",
        const="last",
        metavar="RUN",
        help="go on with a run, by default the newest unfinished one",
    )
    group.add_argument("--from-json", metavar="FILE", help="read the settings from JSON instead of .hud_eval.toml")
    group.add_argument(
        "--min-coverage", type=float, metavar="SHARE", help="exit with 1 when fewer rollouts have a score (0 to 1)"
    )


def _add_spending(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--max-cost", type=float, metavar="DOLLARS", help="what the job may spend on models")
    group.add_argument("--max-tokens", type=int, metavar="N", help="input and output tokens that the job may use")
    group.add_argument("--max-time", type=float, metavar="SECONDS", help="how long this run of the job may take")
    group.add_argument("--rollout-max-cost", type=float, metavar="DOLLARS", help="what each rollout may spend")
    group.add_argument("--rollout-max-tokens", type=int, metavar="N", help="tokens that each rollout may use")
    group.add_argument("--rollout-max-time", type=float, metavar="SECONDS", help="how long each rollout may take")
    group.add_argument("--prices", metavar="FILE", help="prices of models, which count before the built-in ones")
    group.add_argument("--cache", action="store_true", help="keep answers of models in .hud/cache, and use those there")


def _add_output(group: argparse._ArgumentGroup) -> None:
    group.add_argument("-y", "--yes", action="store_true", help="ask nothing")
    group.add_argument("-q", "--quiet", action="store_true", help="print the result and errors only")
    group.add_argument(
        "-v", "--verbose", action="count", help="print each rollout as it ends; -vv: logs and tracebacks"
    )
    group.add_argument("--json", action="store_true", help="print the result as one JSON document")
