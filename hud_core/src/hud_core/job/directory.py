"""The run directory: the state of a job, on disk, readable at any moment.

::

    .hud/runs/<job>/
        job.json          what was asked for
        rollouts.jsonl    one line for each rollout that ended; the last line of an id counts
        events.jsonl      what happened in them, one line an event
        files/            images and other large content, named by their SHA-256
        lock              held by the process that runs the job

A rollout counts as done when its line is in ``rollouts.jsonl``, written after its events. Lines are appended with one
`write` each, so a process that is killed leaves whole lines; a line that a full disk cut short is taken back. Every
second or so the files are synced, so that a power cut costs at most the rollouts of that second.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import attrs
import msgspec
from msgspec.structs import replace

from hud_core.environment.signature import to_json_data
from hud_core.errors import ConfigError
from hud_core.files import write_whole
from hud_core.job.lines import LineFile, unwritable
from hud_core.model.content import Content, ResourceContent, TextContent
from hud_core.model.events import ConversationStarted, Event, Prompted, ToolReturned
from hud_core.model.rollout import NO_USAGE, Fingerprint, Rollout, Status, Usage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from hud_core.metering.prices import Prices

FORMAT = 1
RUNS = Path(".hud") / "runs"
"""Where run directories are, below the folder that a job is started in."""


def _fallback(value: object) -> object:
    """Write what a user put into info or metadata: as data if it has any, as its repr otherwise."""
    try:
        return to_json_data(value)
    except TypeError:
        return repr(value)


_encoder = msgspec.json.Encoder(enc_hook=_fallback)
_rollout_decoder = msgspec.json.Decoder(Rollout)


class RunDirectory:
    """One job's run directory, open for writing. Use `create` or `reopen`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = _lock(path)
        self._rollouts = LineFile(path / "rollouts.jsonl")
        self._events = LineFile(path / "events.jsonl")

    @classmethod
    def create(cls, path: Path, manifest: Mapping[str, Any]) -> RunDirectory:
        """Make the directory of a new job.

        Raises:
            ConfigError: There is a job in it already.
            RunDirectoryError: It cannot be written.
        """
        if (path / "job.json").exists():
            msg = f"{path} holds a job already; resume it, or give another directory"
            raise ConfigError(msg)
        try:
            path.mkdir(parents=True, exist_ok=True)
            write_whole(path / "job.json", json.dumps({"format": FORMAT, **manifest}, indent=2).encode() + b"\n")
        except OSError as error:
            raise unwritable(path, error) from error
        return cls(path)

    @classmethod
    def reopen(cls, path: Path) -> RunDirectory:
        """Open the directory of an earlier job to go on with it.

        Raises:
            ConfigError: There is no job in it, or another process runs it.
        """
        read_manifest(path)
        return cls(path)

    def append_events(self, events: Sequence[Event]) -> None:
        """Write events; images and the like go into files of their own."""
        if not events:
            return
        lines = _encoder.encode_lines(events)
        if b'"data":"' in lines:  # looking at each event costs as much as encoding
            lines = _encoder.encode_lines([self._light(event) for event in events])
        self._events.append(lines)

    def append_rollout(self, rollout: Rollout) -> None:
        """Write the record of a rollout that ended: from here on it is done."""
        self._rollouts.append(_encoder.encode(rollout) + b"\n")

    def sync(self) -> None:
        """Wait until everything is on the disk; blocks."""
        self._events.sync()
        self._rollouts.sync()

    def close(self) -> None:
        """Close the files and give the lock up."""
        self._events.close()
        self._rollouts.close()
        self._lock.close()

    def _light(self, event: Event) -> Event:
        """Move an event's large content into files."""
        if isinstance(event, ToolReturned):
            content = tuple(map(self._stored, event.result.content))
            return replace(event, result=attrs.evolve(event.result, content=content))
        if isinstance(event, Prompted):
            messages = tuple(
                attrs.evolve(message, content=tuple(map(self._stored, message.content)))
                for message in event.prompt.messages
            )
            output = tuple(map(self._stored, event.prompt.setup_output))
            return replace(event, prompt=attrs.evolve(event.prompt, messages=messages, setup_output=output))
        if isinstance(event, ConversationStarted):
            return replace(event, added=tuple(map(self._stored, event.added)))
        return event

    def _stored(self, block: Content) -> Content:
        if isinstance(block, TextContent) or block.data is None:
            return block
        import base64
        import mimetypes  # only images pay for it

        data = base64.b64decode(block.data)
        digest = hashlib.sha256(data).hexdigest()
        name = f"files/{digest}{mimetypes.guess_extension(block.mime_type or '') or ''}"
        try:
            (self.path / "files").mkdir(exist_ok=True)
            if not (self.path / name).exists():
                write_whole(self.path / name, data)
        except OSError as error:
            raise unwritable(self.path / name, error) from error
        return ResourceContent(uri=name, text=getattr(block, "uri", None), mimeType=block.mime_type)


def _lock(path: Path) -> IO[str]:
    file = (path / "lock").open("a+", encoding="utf-8")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        owner = file.read().strip()
        file.close()
        msg = f"{path} is in use by process {owner or 'unknown'}; wait for it, or stop it first"
        raise ConfigError(msg) from None
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


# --- reading ----------------------------------------------------------------------------------------------------------


def new_job_id() -> str:
    """Make an id that sorts by time and does not repeat, such as ``20261120-094512-7f3a2c91d``."""
    now = time.time()
    fraction = int(now % 1 * 4096)  # two runs of one second sort by time too
    return f"{time.strftime('%Y%m%d-%H%M%S', time.localtime(now))}-{fraction:03x}{os.urandom(3).hex()}"


def read_manifest(path: Path) -> dict[str, Any]:
    """Read what a job was asked for.

    Raises:
        ConfigError: There is no job, or a later version of this program wrote it.
    """
    try:
        manifest: dict[str, Any] = json.loads((path / "job.json").read_bytes())
    except FileNotFoundError:
        msg = f"no run in {path}; `hud runs` lists those that there are"
        raise ConfigError(msg) from None
    except ValueError as error:
        msg = f"{path / 'job.json'} is damaged: {error}"
        raise ConfigError(msg) from error
    if manifest.get("format") != FORMAT:
        msg = f"{path} has format {manifest.get('format')!r}, this version reads {FORMAT}; upgrade hud-core"
        raise ConfigError(msg)
    return manifest


def read_rollouts(path: Path) -> list[Rollout]:
    """Read the rollouts that ended, in the order in which they did; the last record of an id counts.

    Raises:
        ConfigError: A line is damaged; a last line that was cut short is left out.
    """
    records: dict[str, Rollout] = {}
    for number, line in _whole_lines(path / "rollouts.jsonl"):
        try:
            rollout = _rollout_decoder.decode(line)
        except msgspec.MsgspecError as error:
            raise _damaged(path / "rollouts.jsonl", number, error) from error
        records[rollout.id] = rollout
    return list(records.values())


class Finished(msgspec.Struct, gc=False):
    """A rollout that ended, read only as far as a resumed job needs to know it: 2 us a line instead of 12."""

    id: str
    status: Status
    fingerprint: Fingerprint | None = None
    line: bytes = b""

    def rollout(self) -> Rollout:
        """Read the whole record."""
        return _rollout_decoder.decode(self.line)


_finished_decoder = msgspec.json.Decoder(Finished)


def read_scored(path: Path) -> dict[str, Finished]:
    """Read the rollouts that have a score, by id; the last record of an id counts.

    Raises:
        ConfigError: A line is damaged.
    """
    found: dict[str, Finished] = {}
    for number, line in _whole_lines(path / "rollouts.jsonl"):
        try:
            finished = _finished_decoder.decode(line)
        except msgspec.MsgspecError as error:
            raise _damaged(path / "rollouts.jsonl", number, error) from error
        finished.line = line
        found[finished.id] = finished
    return {id_: finished for id_, finished in found.items() if finished.status is Status.SCORED}


class _Spent(msgspec.Struct, gc=False):
    """A model call, read only as far as its spending."""

    model: str
    usage: Usage


_spent_decoder = msgspec.json.Decoder(_Spent)


def read_spending(path: Path, prices: Prices) -> Usage:
    """Add up what every model call of a job used, those of rollouts that never ended included.

    What a call used that does not tell it, nobody knows any more; counted as unknown, no budget could ever go on.

    Args:
        path: The run directory.
        prices: For calls whose price was not known then.
    """
    spent = NO_USAGE
    for number, line in _whole_lines(path / "events.jsonl"):
        if b'"type":"model_called"' in line:
            try:
                call = _spent_decoder.decode(line)
            except msgspec.MsgspecError as error:
                raise _damaged(path / "events.jsonl", number, error) from error
            usage = call.usage
            if usage.cost is None:
                usage = replace(usage, cost=prices.cost((call.model,), usage))
            if usage.tokens or usage.cost is not None:
                spent += usage
    return spent


def _damaged(path: Path, number: int, error: Exception) -> ConfigError:
    return ConfigError(f"{path} line {number} is damaged: {error}; remove the line to lose only that rollout")


def read_events(path: Path, rollout: str | None = None) -> Iterator[dict[str, Any]]:
    """Read events as data, of one rollout or of all, in the order in which they happened."""
    needle = b"" if rollout is None else b'"rollout":' + msgspec.json.encode(rollout)
    for _, line in _whole_lines(path / "events.jsonl"):
        if needle in line:
            event: dict[str, Any] = msgspec.json.decode(line)
            if rollout is None or event.get("rollout") == rollout:
                yield event


def _whole_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return
    with file:
        for number, line in enumerate(file, 1):
            if line.endswith(b"\n"):
                yield number, line


def list_runs(root: Path = RUNS) -> list[Path]:
    """List the run directories below `root`, the newest first."""
    if not root.is_dir():
        return []
    return sorted((path for path in root.iterdir() if (path / "job.json").is_file()), reverse=True)


def find_run(name: str | None, root: Path = RUNS) -> Path:
    """Find a run by its directory, its id or the beginning of it; the newest one without a name.

    Raises:
        ConfigError: There is none, or several begin like this.
    """
    runs = list_runs(root)
    if not name:
        if not runs:
            msg = f"no runs in {root}"
            raise ConfigError(msg)
        return runs[0]
    if (Path(name) / "job.json").is_file():
        return Path(name)
    matches = [path for path in runs if path.name.startswith(name)]
    exact = [path for path in matches if path.name == name]
    if len(exact or matches) != 1:
        found = f"{len(matches)} runs begin with {name!r}" if matches else f"no run {name!r} in {root}"
        msg = f"{found}; `hud runs` lists those that there are"
        raise ConfigError(msg)
    return (exact or matches)[0]
