"""``streamproc`` and ``python -m streamproc``: the command line's one door."""

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Parameters
    ----------
    arguments
        What follows ``streamproc``; default: this process's own.
    """
    from .cli import dispatch

    return dispatch(list(sys.argv[1:] if arguments is None else arguments))


if __name__ == "__main__":
    sys.exit(main())
