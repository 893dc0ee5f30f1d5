#!/usr/bin/env python3
"""Starts SPIRE and two agents, then lets the proxies' own client crates ask them.

    suite.py          the cases
    suite.py build    only builds (in the cache), printing the seconds
"""

import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lib"))

# pylint: disable=wrong-import-position
import places
from processes import free_port
from rows import Suite
from spire import Agent, Server
from under_test import UnderTest

FRONTEND = "spiffe://example.org/frontend"
ENCODINGS = {"json": [], "msgpack": ["--features", "msgpack"]}
RESULT = re.compile(r"^test (\S+) \.\.\. (ok|FAILED|ignored)$")


def cargo(words, **environment):
    """Cargo with its target directory in the cache, at a low priority."""
    if shutil.which("cargo") is None:
        raise places.Absent("no Rust toolchain")
    places.peer("protoc")
    target = places.peer("cache") / "clients-target"
    return subprocess.run(
        ["nice", "-n", "10", "cargo", *words], cwd=HERE, check=False, text=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, env={**os.environ, "CARGO_TARGET_DIR": str(target), "CARGO_BUILD_JOBS": "2", **environment},
    )


def build(encoding):
    done = cargo(["test", "--locked", "--no-run", *ENCODINGS[encoding]])
    if done.returncode != 0:
        raise RuntimeError("cargo test --no-run failed")


def world(stack, root):
    """The agents and their callers, as tests/drive.rs reads them."""
    root = pathlib.Path(root)
    server = stack.enter_context(Server(root / "server"))
    node = stack.enter_context(Agent(root / "node", server, allow_unauthenticated=True))
    listed = server.mint(FRONTEND)
    port = free_port()
    agent = stack.enter_context(UnderTest(root / "agent", node.socket, grpc_port=port))
    agent.until_allowed(listed)
    pushed = stack.enter_context(UnderTest(root / "pushed", node.socket, with_file=False))

    def caller(name, status, svid=None):
        xfcc = svid and svid.header()["x-forwarded-client-cert"][0]
        return {"name": name, "status": status, "xfcc": xfcc, "spiffe_id": svid and svid.spiffe_id}

    with Server(root / "impostor") as impostor:
        foreign = impostor.mint(FRONTEND)
    path = root / "world.json"
    path.write_text(json.dumps({
        "socket": str(agent.socket), "grpc": f"http://127.0.0.1:{port}", "push_socket": str(pushed.socket),
        "callers": [
            caller("listed", 200, listed),
            caller("unlisted", 403, server.mint("spiffe://example.org/unlisted")),
            caller("another SPIRE's", 401, foreign),
            caller("none", 401),
        ],
    }))
    return path


def drive(suite, encoding, path):
    begun = time.monotonic()
    done = cargo(["test", "--locked", *ENCODINGS[encoding], "--test", "drive", "--", "--test-threads=2"],
                 PEERS_WORLD=str(path))
    print(done.stdout, file=sys.stderr)
    found = [match.groups() for match in map(RESULT.match, done.stdout.splitlines()) if match]
    each = (time.monotonic() - begun) / max(1, len(found))
    for name, result in found:
        outcome = {"ok": "passed", "FAILED": "failed", "ignored": "skipped"}[result]
        suite.failed += outcome == "failed"
        suite.row(f"{encoding}: {name}", outcome, each, complaint(done.stdout, name) if outcome == "failed" else "")
    if not found:
        raise RuntimeError("the test ran nothing")
    return f"{len(found)} tests"


def complaint(output, name):
    """What a failed test said: the lines after its panic, as one."""
    said = re.search(rf"^---- {re.escape(name)} stdout ----\n(?:.*\n)*?thread .* panicked at (.*)\n((?:.*\n)*?)"
                     r"(?:note: |stack backtrace:|\n)", output, re.MULTILINE)
    return " ".join(said[2].split())[:200] if said else ""


def main():
    suite = Suite("clients")
    built = [encoding for encoding in ENCODINGS if suite.must(f"{encoding}: builds", build, encoding)]
    if sys.argv[1:] != ["build"]:
        with tempfile.TemporaryDirectory(prefix="peers-") as root, contextlib.ExitStack() as stack:
            paths = []
            if built and suite.must("SPIRE and the agents start", lambda: paths.append(world(stack, root)) or ""):
                for encoding in built:
                    suite.must(f"{encoding}: runs", drive, suite, encoding, *paths)
    sys.exit(1 if suite.failed else 0)


if __name__ == "__main__":
    main()
