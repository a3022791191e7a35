"""The two kinds of trouble: what the user can mend, and what is wrong with one media file."""

from __future__ import annotations

import difflib
import errno
import os
import select
import signal
import sys
from collections.abc import Callable, Collection
from concurrent.futures import BrokenExecutor

# What only the disk can be blamed for.
_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})


class UserError(Exception):
    """Something the user can mend: names the file or key, the value and the remedy; shown without a traceback."""


class FetchError(Exception):
    """A file cannot be fetched; the message says why, without the URL."""


class MediaError(Exception):
    """One media file cannot be used; ends as a row of the table.

    Args:
        reason: one line, for people.
        status: the status in the tables (`unreadable`, `truncated`, `too_large`, ...).
    """

    def __init__(self, reason: str, status: str = "unreadable") -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status

    def __reduce__(self) -> tuple[type[MediaError], tuple[str, str]]:
        return (MediaError, (self.reason, self.status))


def unknown(kind: str, name: str, known: Collection[str]) -> str:
    """What to say of a name that does not exist: the names that look like it, and all there are.

    Args:
        kind: what it should be the name of, such as `detector`.
        name: as it was given.
        known: the names that exist.
    """
    near = [f"`{close}`" for close in difflib.get_close_matches(name, known)]
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    return f"there is no {kind} `{name}`.{hint} Known {kind}s: {', '.join(sorted(known)) or 'none'}."


def wait_for_reader_to_leave(timeout_s: float | None = None) -> bool:
    """Wait until nobody reads standard output any more, at most so long (s). Returns whether that is so."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)  # errors and hang-ups only
    return bool(poll.poll(None if timeout_s is None else 1000 * timeout_s))


def run_cli(main: Callable[[], int | None]) -> None:
    """Run a command line: a UserError becomes one message and exit code 2, Ctrl-C a word on how to go on.

    A reader that goes away (`| head`) ends the command without a word, with the exit code that SIGPIPE gives.
    """
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # or albumentations asks a server for its newest version
    if sys.stdout is None:  # closed from the start, as `>&-` does
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # until the process ends
    try:
        code = main()
        sys.stdout.flush()  # here, so that a closed pipe is met here and not while Python ends
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except BrokenExecutor:
        print(
            "error: the worker processes were ended from outside before they took up work (was memory short?): "
            "finished videos are kept; run the same command again to go on.",
            file=sys.stderr,
        )
        raise SystemExit(2) from None
    except BrokenPipeError:
        if not wait_for_reader_to_leave(0):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python tells of what is still buffered
        raise SystemExit(128 + signal.SIGPIPE) from None
    except OSError as error:
        if error.errno not in _DISK:
            raise
        print(
            f"error: {error.filename or 'writing'}: {error.strerror}. Free space there and run again.", file=sys.stderr
        )
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("\ninterrupted: finished videos are kept; run the same command again to go on.", file=sys.stderr)
        raise SystemExit(130) from None
    raise SystemExit(code or 0)
