"""A test runner of thirty lines: cases in order, one row of the table each."""

import os
import sys
import time
import traceback

import places


class Suite:
    """Runs cases and writes rows `suite TAB case TAB outcome TAB seconds TAB note`."""

    def __init__(self, name):
        self.name, self.failed = name, 0
        self.only = os.environ.get("PEERS_ONLY", "")

    def case(self, name, body, *arguments):
        """Runs one case; what `body` returns is its note. Returns true if it passed."""
        if self.only not in name:
            return True
        return self.must(name, body, *arguments)

    def must(self, name, body, *arguments):
        """As `case`, but PEERS_ONLY does not leave it out: others stand on it."""
        begun = time.monotonic()
        outcome, note = "passed", ""
        try:
            note = body(*arguments) or ""
        except places.Absent as absent:
            outcome, note = "skipped", str(absent)
        except Exception as error:  # pylint: disable=broad-except
            # Whatever went wrong is this case's failure, and the next one runs.
            outcome, note = "failed", f"{type(error).__name__}: {error}".splitlines()[0][:200]
            traceback.print_exc(file=sys.stderr)
            self.failed += 1
        self.row(name, outcome, time.monotonic() - begun, note)
        return outcome == "passed"

    def row(self, name, outcome, seconds, note=""):
        line = f"{self.name}\t{name}\t{outcome}\t{seconds:.1f}\t{note}"
        print(line, flush=True)
        if os.environ.get("PEERS_RESULTS"):
            with open(os.environ["PEERS_RESULTS"], "a", encoding="utf-8") as results:
                results.write(line + "\n")


def check(condition, what):
    """An assertion that python -O keeps."""
    if not condition:
        raise AssertionError(what)


def same(got, want, what):
    check(got == want, f"{what}: {got!r}, want {want!r}")
