"""The command line: parse, call, print. Each group of verbs has its file."""

from __future__ import annotations

import errno
import io
import os
import signal
import sys
import traceback
from typing import NoReturn

from resnet_cluster.errors import PreflightError, ResnetClusterError


def entry() -> NoReturn:
    """The `resnet-cluster` program: `main` in a process that ends at once.

    Python would take the modules of torch and ray apart for up to two seconds after the last line.
    """
    code: object = 0
    try:
        main()
    except SystemExit as ended:
        code = ended.code
    os._exit(code if isinstance(code, int) else int(code is not None))


def main() -> None:
    """Run the command line; every failure is one message and an exit code."""
    debug = _take_debug_flag()
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a sign gets another, and no traceback.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    # Typer is quick to import, but its commands are declared in several files.
    from resnet_cluster.cli.app import app

    try:
        try:
            app()
        finally:
            _flush()
    except ResnetClusterError as error:
        _fail(error.message, error.mend, error.exit_code, debug=debug)
    except KeyboardInterrupt:
        _fail("interrupted", "", 128 + signal.SIGINT, debug=debug)
    except SystemExit as ended:
        # Typer leaves with 1, a fault of ours, where whoever read the output has left.
        if isinstance(ended.__context__, BrokenPipeError):
            sys.exit(128 + signal.SIGPIPE)
        raise
    except OSError as error:
        text = f"{error.filename or 'the file system'}: {error.strerror or error}"
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        mend = "free some space" if is_full else "check that the path is there and may be written"
        _fail(text, mend, PreflightError.exit_code, debug=debug)
    except Exception as error:
        text = f"a fault of resnet-cluster: {type(error).__name__}: {error}"
        _fail(text, "run it again with --debug and report what it prints", 1, debug=debug)


def _take_debug_flag() -> bool:
    """`--debug` holds wherever it stands; the commands need not know it."""
    if "--debug" in sys.argv[1:]:
        sys.argv.remove("--debug")
        return True
    return os.environ.get("RESNET_CLUSTER_DEBUG", "") not in ("", "0")


def _flush() -> None:
    """Write what is still to be written, so that a failure to do so is told like any other."""
    try:
        if sys.stdout is not None:  # None where it was closed before the start
            sys.stdout.flush()
    except BrokenPipeError:
        sys.exit(128 + signal.SIGPIPE)


def _fail(message: str, mend: str, exit_code: int, *, debug: bool) -> None:
    from resnet_cluster.cli.output import note

    if debug:
        traceback.print_exc()
    note(f"error: {message}" + (f"\n  mend: {mend}" if mend else ""))
    sys.exit(exit_code)
