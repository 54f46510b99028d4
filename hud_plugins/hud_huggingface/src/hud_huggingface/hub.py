"""Datasets on the HuggingFace Hub: what a ref means now, and the files behind it, in the Hub's own cache."""

from __future__ import annotations

import logging
import sys
from contextlib import contextmanager, nullcontext
from http import HTTPStatus
from json import JSONDecodeError
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hud_core.environment.references import bare_urls
from hud_core.errors import ConfigError, HudError
from hud_core.templates import expand
from hud_huggingface.formats import FORMATS, format_of
from hud_huggingface.layout import CONVERTED, card_of, choose, converted_splits, splits_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager

    from huggingface_hub import HfApi

    from hud_huggingface.layout import Splits
    from hud_huggingface.refs import HubRef

DATASET = "dataset"
_CARD = "README.md"
_TALKATIVE = ("httpx2", "huggingface_hub.file_download", "huggingface_hub.utils._http")
"""Loggers whose lines hold whole addresses; those of large files are signed."""


class HubError(HudError, ConnectionError):
    """The Hub, or another server, cannot be reached, is too busy or fails; asking again later may help."""


class Part(NamedTuple):
    """A file of rows on this machine."""

    path: Path
    name: str
    """What problems call it; its end says the format."""


def hub() -> HfApi:
    """Give the client of the Hub; it finds endpoint, token and cache as `huggingface_hub` documents."""
    from huggingface_hub import HfApi

    return HfApi(library_name="hud-huggingface")


def pinned(ref: HubRef) -> HubRef:
    """Name the commit that a ref means now; without a connection the one that the cache knows.

    Raises:
        ConfigError: There is no such dataset or revision, or the token may not see it.
        HubError: The Hub cannot be reached, and the cache does not know.
    """
    if ref.is_pinned:
        return ref
    from huggingface_hub import constants

    with explained(ref.repo, ref.revision):
        resolved = hub().resolve_revision(
            ref.repo, repo_type=DATASET, revision=ref.revision, local_files_only=constants.is_offline_mode()
        )
    return ref._replace(revision=resolved.resolved)


def parts_of(ref: HubRef) -> list[Part]:
    """Download the files that hold a ref's rows, unless the cache has them.

    Raises:
        ConfigError: There is no such dataset, revision, config or split, or no file that can be read; the token may not
            see it; it is not in the cache, and the Hub is not to be asked.
        HubError: The Hub cannot be reached, or fails.
    """
    at = pinned(ref)
    names = _names(at)
    splits = splits_of(names, _card(at, names), ref.repo)
    if not splits:
        at, splits = _converted(ref, names)
    return _download(at, choose(splits, ref.config, ref.split, ref.repo))


def _names(ref: HubRef) -> list[str]:
    """List the files of a commit. The Hub's client keeps the list in its cache."""
    from huggingface_hub import get_cached_repo_tree

    _snapshot(ref, [_CARD, ".gitattributes"], shows_progress=False)
    with explained(ref.repo, ref.revision):
        return [file.path for file in get_cached_repo_tree(ref.repo, repo_type=DATASET, revision=ref.revision)]


def _card(ref: HubRef, names: Iterable[str]) -> dict[str, object]:
    if _CARD not in names:
        return {}
    text = (_snapshot(ref, [_CARD], shows_progress=False) / _CARD).read_text(encoding="utf-8", errors="replace")
    return card_of(text, ref.repo)


def _converted(ref: HubRef, names: list[str]) -> tuple[HubRef, Splits]:
    """Find the Parquet files that the Hub made of a dataset in another form."""
    from huggingface_hub.errors import RevisionNotFoundError

    problem = _no_rows(ref, names)
    if ref.revision is not None:
        raise problem
    try:
        at = pinned(ref._replace(revision=CONVERTED))
    except ConfigError as error:
        if isinstance(error.__context__, RevisionNotFoundError):
            raise problem from None
        raise
    splits = converted_splits(_names(at))
    if not splits:
        raise problem
    return at, splits


def _no_rows(ref: HubRef, names: list[str]) -> ConfigError:
    script = f"{ref.repo.partition('/')[2]}.py"
    if script in names:
        return ConfigError(
            f"{ref.repo} is made by a script ({script}), which is not run: it is code from outside. "
            "Save its rows as Parquet or JSONL files, or ask its authors to"
        )
    seen = ", ".join(sorted(names)[:5]) or "nothing"
    return ConfigError(f"{ref.repo} has no files of rows ({', '.join(FORMATS)}); it holds {seen}")


def _download(ref: HubRef, names: list[str]) -> list[Part]:
    folder = _snapshot(ref, names)
    return [Part(folder / name, f"{ref.repo}: {name}") for name in names]


def _snapshot(ref: HubRef, names: list[str], *, shows_progress: bool = True) -> Path:
    from huggingface_hub import constants

    with explained(ref.repo, ref.revision):
        patterns = [_literally(name) for name in names]
        return Path(
            hub().snapshot_download(
                ref.repo,
                repo_type=DATASET,
                revision=ref.revision,
                allow_patterns=patterns,
                local_files_only=constants.is_offline_mode(),
                tqdm_class=_bar(is_shown=shows_progress and sys.stderr.isatty()),
            )
        )


def _bar(*, is_shown: bool) -> type[Any]:
    """Make the class of progress bars; they are for people, on stderr."""
    from huggingface_hub.utils.tqdm import tqdm

    class Bar(tqdm):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **{**options, "disable": not is_shown})  # type: ignore[no-untyped-call]

    return Bar


def upload_bars() -> AbstractContextManager[object]:
    """Keep the progress of an upload, for which no class of bars can be given, to people."""
    from huggingface_hub import constants
    from huggingface_hub.utils.tqdm import disable_progress_bars

    is_asked_for = constants.HF_HUB_DISABLE_PROGRESS_BARS is False  # said by that variable; None says nothing
    return nullcontext() if is_asked_for or sys.stderr.isatty() else disable_progress_bars()


def _literally(name: str) -> str:
    """Write a name as a pattern that only it matches."""
    return "".join(f"[{sign}]" if sign in "*?[" else sign for sign in name)


# --- other servers ----------------------------------------------------------------------------------------------------


def download(url: str, folder: Path) -> Part:
    """Download a file of rows into a folder. No token is sent. Variables such as ``${VAR}`` are replaced.

    Raises:
        ConfigError: The address does not end as a file of rows does, the server does not give the file, or a variable
            is missing.
        HubError: The server cannot be reached, or fails.
    """
    from urllib.parse import unquote, urlsplit

    from huggingface_hub.file_download import http_get

    shown = bare_urls(url)
    url = expand(url, shown)
    name = unquote(urlsplit(url).path).rpartition("/")[2]
    if format_of(name) is None:
        raise ConfigError(f"{shown} does not end as a file of rows does ({', '.join(FORMATS)})")
    path = folder / "rows"
    with explained(shown, None), path.open("wb") as file:
        http_get(
            url,
            file,
            headers={"accept-encoding": "identity"},
            displayed_filename=name,
            tqdm_class=_bar(is_shown=sys.stderr.isatty()),
        )
    return Part(path, shown)


# --- what can go wrong ------------------------------------------------------------------------------------------------


@contextmanager
def explained(what: str, revision: str | None) -> Iterator[None]:
    """Turn what the Hub's client raises into one message that names the fix, and show no address as a whole."""
    for name in _TALKATIVE:
        logging.getLogger(name).addFilter(_shortened)  # the same one again changes nothing
    try:
        yield
    except Exception as error:  # what is not the client's is raised as it is
        told = _told(error, what, revision)
        if told is None:
            raise
        raise told from None  # what the client says names addresses


def _shortened(record: logging.LogRecord) -> bool:
    record.msg, record.args = bare_urls(record.getMessage()), ()
    return True


def _told(error: Exception, what: str, revision: str | None) -> HudError | None:
    from huggingface_hub import errors

    page = f"{hub().endpoint}/datasets/{what}"
    missing = (errors.LocalEntryNotFoundError, errors.CachedRepoTreeNotFoundError, errors.RevisionResolutionError)
    table: tuple[tuple[type[Exception] | tuple[type[Exception], ...], Callable[[], HudError | None]], ...] = (
        (HudError, lambda: None),
        (
            errors.GatedRepoError,
            lambda: ConfigError(f"{what} is gated: ask for access at {page}, then set HF_TOKEN to your token"),
        ),
        (errors.RepositoryNotFoundError, lambda: _not_found(what)),
        (errors.RevisionNotFoundError, lambda: ConfigError(f"{what} has no revision {revision or 'main'!r}")),
        (missing, lambda: _unreachable(what, error)),
        (errors.HfHubHTTPError, lambda: _refused(what, error)),
        # The base of whatever the client's HTTP library raises; which library it is differs.
        (errors.HfHubHTTPError.__mro__[1], lambda: _unreachable(what, error)),
        # A part of an upload failed; why is behind it.
        (RuntimeError, lambda: HubError(bare_urls(f"{what}: {error} {error.__cause__ or ''}".rstrip()))),
        (JSONDecodeError, lambda: HubError(f"{what}: {page} is not of a Hub; look at HF_ENDPOINT")),
        ((errors.HFValidationError, errors.LocalTokenNotFoundError), lambda: ConfigError(f"{what}: {error}")),
        (OSError, lambda: _incomplete(what, error)),
    )
    return next((tell() for kinds, tell in table if isinstance(error, kinds)), None)


def _incomplete(what: str, error: Exception) -> HudError | None:
    """Tell a download that was cut off from what is wrong on this machine, such as a full disk."""
    if getattr(error, "errno", None) is not None:
        return None
    why = str(error).splitlines()[0].partition(" (")[0]  # the end of a signed address may stand in brackets
    return HubError(f"{what}: the download failed: {bare_urls(why)}")


def _not_found(what: str) -> ConfigError:
    hint = "your token may not see it" if has_token() else "set HF_TOKEN, or log in with `hf auth login`, to see it"
    return ConfigError(f"no dataset {what!r} on the Hub, or it is private: {hint}")


def has_token() -> bool:
    """Whether there is a token for the Hub: in the environment, or stored."""
    from huggingface_hub import get_token

    return get_token() is not None


def _unreachable(what: str, error: Exception) -> HudError:
    from huggingface_hub import constants

    if constants.is_offline_mode():
        where = constants.HF_HUB_CACHE
        return ConfigError(f"HF_HUB_OFFLINE is set, and {what} is not whole in the cache ({where}); unset it once")
    causes = [error]
    while inner := causes[-1].__cause__ or causes[-1].__context__:
        causes.append(inner)  # type: ignore[arg-type]  # what a library raises is no BaseException that ends the process
    why = bare_urls(str(causes[-1])) or type(causes[-1]).__name__
    return HubError(f"{what} cannot be read: the server cannot be reached ({why})")


def _refused(what: str, error: Exception) -> HudError:
    response = error.response  # type: ignore[attr-defined]  # httpx has no types here: which httpx it is differs
    status = response.status_code
    said = response.headers.get("x-error-message") or response.reason_phrase
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        wait = response.headers.get("retry-after")
        return HubError(f"{what}: the server wants no more requests (429){f' for {wait} s' if wait else ''}; try later")
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return HubError(f"{what}: the server fails ({status} {said}); try again later")
    if status == HTTPStatus.PRECONDITION_FAILED:
        return HubError(f"{what} was changed by somebody else meanwhile; save again")
    if status == HTTPStatus.UNAUTHORIZED:
        if not has_token():  # how the Hub answers for what it does not show to everybody
            return _not_found(what)
        return ConfigError(f"{what}: the token is refused ({said}); set HF_TOKEN, or log in with `hf auth login`")
    return ConfigError(f"{what}: the server refuses ({status} {said})")
