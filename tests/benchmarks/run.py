"""Measures the budgets, and prints them as a table and, with --json FILE, as JSON: ``nox -s bench``.

Each module runs in a process of its own. Numbers are CPU time where they are times: the best of some repeats, so that a
busy machine disturbs them little. A budget that is missed is marked; nothing fails because of it.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
MODULES = (
    "startup",
    "rollouts",
    "records",
    "process_rollouts",
    "model_calls",
    "claude_calls",
    "gemini_calls",
    "mcp_calls",
    "docker_rollouts",
    "reloads",
    "legacy_rows",
    "dataset_rows",
)


def rows_of(module: str) -> list[dict[str, object]]:
    """Run one module and read its rows."""
    done = subprocess.run([sys.executable, str(HERE / f"{module}.py")], check=True, stdout=subprocess.PIPE, text=True)
    rows: list[dict[str, object]] = json.loads(done.stdout)
    return rows


def table(rows: list[dict[str, object]]) -> Table:
    """Lay rows out, with the ratio to the limit and what the vendor's SDK takes of it."""
    shown = Table(title=f"{platform.python_implementation()} {platform.python_version()}, CPU time")
    for name in ("row", "what"):
        shown.add_column(name)
    for name in ("ours", "bare", "limit", "ours/limit", "budget", "within"):
        shown.add_column(name, justify="right")
    for row in rows:
        ours, bare, limit, budget = row["ours"], row["bare"], row["limit"], row["budget"]
        within = "" if budget is None else "yes" if holds(row) else "[red]no[/]"
        shown.add_row(
            str(row["row"]),
            str(row["what"]),
            f"{ours:.4g} {row['unit']}",
            "" if bare is None else f"{bare:.4g}",
            "" if limit is None else f"{limit:.4g}",
            "" if limit is None else f"{ours / limit:.2f}",
            "" if budget is None else f"{budget:g}",
            within,
        )
    return shown


def holds(row: dict[str, object]) -> bool:
    """Whether a row is within its budget; for shares of the ideal, more is better."""
    if row.get("more_is_better"):
        return bool(row["ours"] >= row["budget"])
    return bool(row["ours"] <= row["budget"])


def main() -> None:
    """Run the modules that are asked for, or all of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", default=[], choices=[*MODULES, []], help="all of them by default")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the rows here, too")
    arguments = parser.parse_args()
    rows = [row for module in arguments.modules or MODULES for row in rows_of(module)]
    Console(width=150).print(table(rows))
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
