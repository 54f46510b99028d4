"""Which names of files stand for rows: asked of whatever is to be run, so that this imports next to nothing."""

from __future__ import annotations

from pathlib import Path

FORMATS = {
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
}
"""How the name of a file of rows ends; all but Parquet may be compressed (``.gz``, ``.bz2``, ``.xz``)."""
COMPRESSED = (".gz", ".bz2", ".xz")


def format_of(name: str) -> str | None:
    """Say which format a file's name stands for, or None."""
    path = Path(name.lower())
    if path.suffix in COMPRESSED and path.with_suffix("").suffix != ".parquet":
        path = path.with_suffix("")
    return FORMATS.get(path.suffix)
