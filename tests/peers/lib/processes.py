"""Child processes that are waited for, logged to a file, and never left behind."""

import os
import pathlib
import signal
import socket
import subprocess
import time

# Longer than anything here takes on a busy machine with two cores.
DEADLINE_S = 60.0


class Late(Exception):
    """Something did not happen in time."""


def wait_for(what, probe, deadline_s=DEADLINE_S, every_s=0.05):
    """Calls `probe` until it returns something true; that is returned."""
    until = time.monotonic() + deadline_s
    while True:
        result = probe()
        if result:
            return result
        if time.monotonic() > until:
            raise Late(f"{what}: not within {deadline_s:.0f} s")
        time.sleep(every_s)


def free_port():
    """A loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Process:
    """A child with its output in LOG; a context manager that ends it."""

    def __init__(self, name, command, log, env=None):
        self.name, self.log = name, pathlib.Path(log)
        self.output = self.log.open("ab")
        self.child = subprocess.Popen(
            [str(part) for part in command], stdin=subprocess.DEVNULL,
            stdout=self.output, stderr=subprocess.STDOUT, env={**os.environ, **(env or {})},
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def alive(self):
        """True, or an exception that tells how it ended."""
        code = self.child.poll()
        if code is not None:
            raise Late(f"{self.name} ended with {code}:\n{self.tail()}")
        return True

    def tail(self, lines=15):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def stop(self, with_signal=signal.SIGTERM, deadline_s=15.0):
        """Ends the child; killed if it does not go by itself. Returns its exit code."""
        if self.child.poll() is None:
            self.child.send_signal(with_signal)
            try:
                self.child.wait(deadline_s)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        self.output.close()
        return self.child.returncode


def run(command, deadline_s=DEADLINE_S):
    """Runs a command to its end and returns its standard output; fails loudly."""
    done = subprocess.run(
        [str(part) for part in command], capture_output=True, text=True,
        timeout=deadline_s, stdin=subprocess.DEVNULL, check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")
    return done.stdout
