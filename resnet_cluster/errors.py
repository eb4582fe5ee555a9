"""Every failure that a user can meet, each with its exit code.

    ResnetClusterError            1    a fault of ours
    ├── UsageError                2    a command line or job file that cannot be meant
    │   ├── JobError              2    the same, in a job file: carries `file:line`
    │   └── RunTakenError         2    another process has just begun to drive the run
    ├── PreflightError            3    machine, data or budget refuse the run before it starts
    ├── ClusterUnreachableError   4    no Ray cluster answers at the address
    ├── IntegrityError            5    data, store or weights are not what they were
    ├── ClaimFailsError           6    a claim of the paper fails, and that was asked for
    ├── RunFailedError          100    a run ended FAILED
    ├── RunNotFinishedError     101    a run has not ended yet
    ├── UnknownRunError         102    no run of that id or name
    ├── RunCancelledError       103    a run ended CANCELLED
    ├── RunDivergedError        104    the loss of a run was not finite
    ├── RunLostError            105    the owner of a run is gone
    ├── BudgetReachedError      106    a sweep was stopped, for it had used what it might use
    └── WaitTimeoutError        124    the run had not ended when the wait was over

A message says what is wrong and where; `mend` says how to put it right.
"""

from __future__ import annotations

from typing import ClassVar


class ResnetClusterError(Exception):
    """Root of the tree.

    Args:
        message: what is wrong and where, in one sentence.
        mend: how to put it right: a sentence or a command; empty where nothing helps.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, mend: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.mend = mend

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions cross process boundaries in Ray; the default drops keyword-only arguments.
        return _rebuild, (type(self), self.message, self.mend)


class UsageError(ResnetClusterError):
    """A command line or a job file that cannot be meant."""

    exit_code = 2


class JobError(UsageError):
    """A job file that cannot be read or does not make sense.

    Args:
        where: `file:line` (or the file, or `--set key`), put before the message.
    """

    def __init__(self, message: str, *, where: str = "", mend: str = "") -> None:
        super().__init__(f"{where}: {message}" if where else message, mend=mend)


class RunTakenError(UsageError):
    """Another process has just begun to drive the run: it can be followed instead."""


class PreflightError(ResnetClusterError):
    """The machine, the data or the budget refuse the run before it starts."""

    exit_code = 3


class ClusterUnreachableError(ResnetClusterError):
    """No Ray cluster answers at the address."""

    exit_code = 4


class IntegrityError(ResnetClusterError):
    """Data, store or weights are not what they were when they were written."""

    exit_code = 5


class ClaimFailsError(ResnetClusterError):
    """A claim of the paper fails by the user's runs, and the command was asked to say so."""

    exit_code = 6


class RunFailedError(ResnetClusterError):
    """A run ended FAILED."""

    exit_code = 100


class RunNotFinishedError(ResnetClusterError):
    """A run has not ended yet."""

    exit_code = 101


class UnknownRunError(ResnetClusterError):
    """No run has that id, prefix or name."""

    exit_code = 102


class RunCancelledError(ResnetClusterError):
    """A run ended CANCELLED; the same name goes on with it."""

    exit_code = 103


class RunDivergedError(ResnetClusterError):
    """The loss of a run was not finite."""

    exit_code = 104


class RunLostError(ResnetClusterError):
    """The process that owned a run is gone and left no final state."""

    exit_code = 105


class BudgetReachedError(ResnetClusterError):
    """A sweep has used what it might use, and was stopped; with more the same command goes on."""

    exit_code = 106


class WaitTimeoutError(ResnetClusterError):
    """The run had not ended when the wait was over."""

    exit_code = 124


def _rebuild(kind: type[ResnetClusterError], message: str, mend: str) -> ResnetClusterError:
    error = ResnetClusterError.__new__(kind)
    ResnetClusterError.__init__(error, message, mend=mend)
    return error
