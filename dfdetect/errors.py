"""The two kinds of trouble: what the user can mend, and what is wrong with one media file."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
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
