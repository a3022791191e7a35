"""The two kinds of trouble: what the user can mend, and what is wrong with one media file."""

from __future__ import annotations

import difflib
import errno
import sys
from collections.abc import Callable, Collection
from concurrent.futures import BrokenExecutor

# What only the disk can be blamed for.
_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})


class UserError(Exception):
    """Something the user can mend: names the file or key, the value and the remedy; shown without a traceback."""


class MediaError(Exception):
    """One media file cannot be used; ends as a ledger row.

    Args:
        reason: one line, for people.
        status: the ledger's word for it (`unreadable`, `truncated`, `too_large`, ...).
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
    near = [f"`{each}`" for each in difflib.get_close_matches(name, known)]
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    return f"there is no {kind} `{name}`.{hint} Known {kind}s: {', '.join(sorted(known)) or 'none'}."


def run_cli(main: Callable[[], int | None]) -> None:
    """Run a command line: a UserError becomes one message and exit code 2, Ctrl-C a word on how to go on."""
    try:
        code = main()
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
