"""The one error tree. Vendor errors are mapped onto it at the store's border, once.

    ImgsieveError                1  an internal error
    ├── UsageError               2  a bad setting, argument, address or an output that is not ours
    │   ├── AccessError          2  wrong key, expired SAS, no permission: trying again cannot help
    │   └── MissingWeightsError  2  a model's weights are not at hand and cannot be fetched
    ├── StoreError               1  a request that the store answered with a refusal
    │   ├── NotFoundError        1  no such blob
    │   │   └── BadNameError     1  there may be one, but no request can name it
    │   ├── ConditionFailedError 1  the blob is not (or no longer) the one that the condition names
    │   └── TransientError       4  the network or the service failed, and so did every retry
    ├── StateError               1  a file of the state is damaged or missing; the text names it and the way out
    ├── RetryLaterError          4  run again to resume
    │   ├── InterruptedRunError  4  SIGINT or SIGTERM
    │   ├── StoreAwayError       4  the store did not answer for too long
    │   └── LeaseHeldError       4  another job is at work on this output, or took it over
    └── PictureError             -  one picture cannot be used: becomes a row of failed.csv, ends nothing

The number is the exit code that main.py ends with when the error reaches it.
"""

from __future__ import annotations

EXIT_DONE = 0
EXIT_INTERNAL = 1
EXIT_USAGE = 2
EXIT_DONE_WITH_FAILURES = 3
EXIT_RESUME = 4


class ImgsieveError(Exception):
    """Root of every error that imgsieve raises on purpose; its text is one line that a person can act on."""

    exit_code = EXIT_INTERNAL


class UsageError(ImgsieveError):
    """What the person asked for cannot be done as asked; nothing was started."""

    exit_code = EXIT_USAGE


class AccessError(UsageError):
    """The store refused the credentials."""


class MissingWeightsError(UsageError):
    """An extractor's weights are in no file that was given, not in the hub's cache, and cannot be fetched."""


class StoreError(ImgsieveError):
    """A request failed in a way that trying again does not mend."""


class NotFoundError(StoreError):
    """No blob lies under that key."""


class BadNameError(NotFoundError):
    """What was listed has a name that is only shown, not the true one: the text says so."""


class ConditionFailedError(StoreError):
    """An If-Match or If-None-Match condition did not hold."""


class TransientError(StoreError):
    """Network failure, throttling or a server error that outlasted every retry."""

    exit_code = EXIT_RESUME


class StateError(ImgsieveError):
    """A file of the state is damaged, missing or cannot hold what it should; the text names the way out."""


class RetryLaterError(ImgsieveError):
    """The run stopped early with everything committed; starting it again resumes it."""

    exit_code = EXIT_RESUME


class InterruptedRunError(RetryLaterError):
    """A signal asked the run to stop."""


class StoreAwayError(RetryLaterError):
    """The store has been out of reach for too long."""


class LeaseHeldError(RetryLaterError):
    """Another job holds the output, or has taken it over from this one."""


class PictureError(ImgsieveError):
    """One picture cannot be used; the text is the reason that failed.csv shows."""
