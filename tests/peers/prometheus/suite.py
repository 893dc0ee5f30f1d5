#!/usr/bin/env python3
"""Prometheus' own tool reads our rules, their tests, and the page of a running agent."""

import contextlib
import pathlib
import subprocess
import sys
import tempfile
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lib"))

# pylint: disable=wrong-import-position
import places
from processes import Process, free_port, run, wait_for
from rows import Suite, check

RULES = places.REPOSITORY / "deploy" / "prometheus"


def promtool(*words, **settings):
    done = subprocess.run([places.peer("promtool"), *words], capture_output=True, text=True, check=False, cwd=RULES,
                          **settings)
    check(done.returncode == 0, f"promtool {words[0]} {words[1]}: {done.stdout}{done.stderr}")


def rules_are_right():
    promtool("check", "rules", "alerts.yaml")


def each_alert_fires():
    promtool("test", "rules", "alerts_test.yaml")


def a_test_can_fail():
    """A rule that never fires is noticed."""
    with tempfile.TemporaryDirectory() as broken:
        for name in ("alerts.yaml", "alerts_test.yaml"):
            text = (RULES / name).read_text()
            (pathlib.Path(broken) / name).write_text(text.replace('state="Withdrawn"} == 1', 'state="Withdrawn"} == 2'))
        done = subprocess.run([places.peer("promtool"), "test", "rules", "alerts_test.yaml"], capture_output=True,
                              check=False, cwd=broken)
        check(done.returncode != 0, "promtool accepts a rule that never fires")


def the_page_is_right():
    """`/metrics` of an agent that has nothing but a file."""
    agent, port = places.agent_binary(), free_port()
    if "--admin-address" not in run([agent, "--help"]):
        raise places.Absent("this agent has no admin listener")
    with contextlib.ExitStack() as stack:
        root = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        config = root / "agent.kdl"
        config.write_text('allowlist { exact "spiffe://example.org/frontend" }\n')
        process = stack.enter_context(Process("agent", [
            agent, "--config", config, "--socket", root / "agent.sock", "--spire-socket", root / "spire.sock",
            "--admin-address", f"127.0.0.1:{port}"], root / "agent.log"))

        def page():
            process.alive()
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
                    return answer.read().decode()
            except OSError:
                return None
        text = wait_for("the page", page)
        check("spiffe_agent_decisions_total{" in text, text[:200])
        promtool("check", "metrics", input=text)


def main():
    suite = Suite("prometheus")
    suite.case("rules are right", rules_are_right)
    suite.case("each alert fires", each_alert_fires)
    suite.case("a test can fail", a_test_can_fail)
    suite.case("the page is right", the_page_is_right)
    return 1 if suite.failed else 0


if __name__ == "__main__":
    sys.exit(main())
