"""Where the peers and the agent under test are."""

import os
import pathlib
import subprocess

PEERS = pathlib.Path(__file__).resolve().parent.parent
REPOSITORY = PEERS.parent.parent


class Absent(Exception):
    """A peer that is not installed: the test is skipped, not failed."""


def peer(name):
    """Path of an installed peer (see `tests/peers/install path`)."""
    done = subprocess.run([PEERS / "install", "path", name], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Absent(f"{name} is not installed: tests/peers/install {name}")
    return pathlib.Path(done.stdout.strip()).resolve()


def agent_binary():
    """AGENT_BIN, else the newest build of this repository."""
    if os.environ.get("AGENT_BIN"):
        named = pathlib.Path(os.environ["AGENT_BIN"]).resolve()
        if not named.exists():
            raise Absent(f"AGENT_BIN={named} does not exist")
        return named
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", REPOSITORY / "target"))
    built = [target / kind / "sentinel-spiffe-agent" for kind in ("release", "debug")]
    built = [path for path in built if path.exists()]
    if not built:
        raise Absent("no agent: build it, or set AGENT_BIN")
    return max(built, key=lambda path: path.stat().st_mtime).resolve()
