"""The files of one rollout: its prompt, and what the program may write."""

from __future__ import annotations

import base64
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from hud_core.agents.conversation import schema_instruction
from hud_core.model.content import TextContent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hud_core.model.content import Content, Message, Prompt


@frozen(kw_only=True)
class Folder:
    """The files of one rollout."""

    root: Path
    workdir: Path
    attachments: Path
    """Where files of the prompt go: where the program works, unless that is somebody's own folder."""

    @property
    def prompt(self) -> Path:
        """The prompt as text."""
        return self.root / "prompt.md"

    @property
    def answer(self) -> Path:
        """Where the program may write its answer."""
        return self.root / "answer.txt"

    @property
    def home(self) -> Path:
        """The program's home."""
        return self.root / "home"


@contextmanager
def open_folder(workdir: str | None) -> Iterator[Folder]:
    """Make the folder of a rollout, which nobody else can read, and delete it."""
    with tempfile.TemporaryDirectory(prefix="hud-cli-", ignore_cleanup_errors=True) as root:
        own = Path(root, "work")
        own.mkdir()
        folder = Folder(root=Path(root), workdir=Path(workdir).absolute() if workdir else own, attachments=own)
        folder.home.mkdir()
        yield folder


def write_prompt(prompt: Prompt, system: str | None, folder: Folder) -> str:
    """Write the prompt, with what is no text as files beside it, and give its text."""
    parts = [text for text in (system, prompt.system) if text]
    several = len({message.role for message in prompt.messages}) > 1
    parts += [_message(message, folder, named=several) for message in prompt.messages]
    if prompt.answer_schema is not None:
        parts.append(schema_instruction(prompt.answer_schema))
    text = "\n\n".join(parts)
    folder.prompt.write_text(text, "utf-8")
    return text


def _message(message: Message, folder: Folder, *, named: bool) -> str:
    text = "\n".join(_block(block, folder) for block in message.content)
    return f"{message.role}: {text}" if named else text


def _block(block: Content, folder: Folder) -> str:
    """Give a block as text; of one that is bytes, the file that it was written to."""
    if isinstance(block, TextContent):
        return block.text
    data = getattr(block, "data", None)
    if not data:
        return "\n".join(filter(None, (getattr(block, "uri", ""), getattr(block, "text", ""))))
    mime_type = block.mime_type or "application/octet-stream"
    number = len(list(folder.attachments.glob("prompt-*"))) + 1
    file = folder.attachments / f"prompt-{number}.{mime_type.rpartition('/')[2].partition('+')[0]}"
    file.write_bytes(base64.b64decode(data))
    return f"[{mime_type}: {file}]"
