"""The agent under test: started with its documented flags and file."""

import json
import pathlib
import threading
import time

import places
from processes import Late, Process, wait_for
from sentinel_v2 import Client, ProtocolError

ID, DOMAIN, WORKLOAD = "x-spiffe-id", "x-spiffe-trust-domain", "x-spiffe-workload-id"
METHOD, TIMESTAMP = "x-auth-method", "x-auth-timestamp"
IDENTITY_HEADERS = (ID, DOMAIN, WORKLOAD, METHOD, TIMESTAMP)

# The documented block, as it is documented: version 1 booleans and lists in brackets.
POLICY = '''
spire {{
    bundle-refresh-interval 300
    api-timeout-ms 5000
    unavailable-after-ms {unavailable_after_ms}
}}
tls {{
    require-mtls true
    client-cert-header "X-Forwarded-Client-Cert"
}}
allowlist {{
    exact [
        "spiffe://example.org/frontend"
        "spiffe://partner.test/cli"
    ]
    prefix [
        "spiffe://example.org/services/"
    ]
}}
failure {{
    spire-unavailable "{mode}"
    validation-failure "reject"
    cache-ttl 3600
    reveal-reason true
}}
'''


class UnderTest:
    """One running sentinel-spiffe-agent."""

    def __init__(self, directory, spire_socket, mode="fail_closed", unavailable_after_ms=60000,
                 grpc_port=None, with_file=True, environment=None, more=""):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True)
        self.state = self.directory / "state"
        self.state.mkdir(mode=0o700)
        self.socket = self.directory / "spiffe.sock"
        self.config = self.directory / "agent.kdl"
        self.config.write_text(POLICY.format(mode=mode, unavailable_after_ms=unavailable_after_ms)
                               + more)
        self.command = ["--socket", self.socket, "--spire-socket", spire_socket, "--state-dir", self.state,
                        "--admin-address", "none"]
        if with_file:
            # Without a file the agent takes its policy from whoever pushes one.
            self.command += ["--config", self.config]
        if grpc_port is not None:
            self.command += ["--grpc-address", f"127.0.0.1:{grpc_port}"]
        self.environment = environment
        self.process, self.started = None, None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        self.started = time.monotonic()
        self.process = Process("sentinel-spiffe-agent", [places.agent_binary(), *self.command],
                               self.directory / "agent.log", self.environment)
        wait_for("sentinel-spiffe-agent listening", self._listening, every_s=0.005)

    def stop(self):
        if self.process:
            self.process.stop()
            self.process = None

    def _listening(self):
        self.process.alive()
        try:
            self.client().close()
            return True
        except (OSError, ProtocolError):
            return False

    def client(self):
        return Client(self.socket)

    def ask(self, headers):
        with self.client() as client:
            return client.ask(headers)

    def until(self, headers, wanted, what, deadline_s=30.0):
        """Asks the same again until `wanted(reply)`; returns (reply, Unix seconds of it)."""
        with self.client() as client:
            def probe():
                reply = client.ask(headers)
                return (reply, time.time()) if wanted(reply) else None
            try:
                return wait_for(what, probe, deadline_s, every_s=0.01)
            except Late as late:
                raise Late(f"{late}; last answer {client.ask(headers)}\n{self.process.tail()}") from late

    def until_allowed(self, svid, deadline_s=30.0):
        return self.until(svid.header(), lambda reply: reply.allowed, f"allow {svid.spiffe_id}", deadline_s)


class Load:
    """Asks about several callers without a pause, each in a thread, and keeps every change of answer.

    A caller is (name, headers). Runs of equal answers are kept as
    [seconds since start, answer, count], so that a day of load fits.
    """

    def __init__(self, agent, callers):
        self.agent, self.begun = agent, time.monotonic()
        self.runs = {name: [] for name, _ in callers}
        self.lost = []
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self._caller, args=caller, daemon=True) for caller in callers]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join(15)

    def answers(self, name):
        """The different answers a caller got, in order of change."""
        return [answer for _, answer, _ in self.runs[name]]

    def count(self, answer=None):
        """How many answers there were, or how many of one kind."""
        runs = [run for runs in self.runs.values() for run in runs]
        return sum(count for _, heard, count in runs if answer in (None, heard))

    def wait(self, name, wanted, what, deadline_s=30.0):
        """Waits until the caller's latest answer is `wanted`."""
        wait_for(f"{what}; answers so far {self.runs}",
                 lambda: self.runs[name] and wanted(self.runs[name][-1][1]), deadline_s)

    def _caller(self, name, headers):
        try:
            with self.agent.client() as client:
                while not self.stopping.is_set():
                    self._note(name, answer_of(client.ask(headers), headers))
                    # A pause so that three agents and SPIRE share two cores.
                    time.sleep(0.005)
        except (OSError, ProtocolError, KeyError, ValueError) as lost:
            self.lost.append(f"{name}: {lost!r}")

    def _note(self, name, answer):
        runs = self.runs[name]
        if runs and runs[-1][1] == answer:
            runs[-1][2] += 1
        else:
            runs.append([round(time.monotonic() - self.begun, 3), answer, 1])


OVERLOADED = "overloaded"


def answer_of(reply, headers):
    """One word for an answer: its status, or what it says about the caller."""
    if not reply.allowed and OVERLOADED.upper() in json.dumps(reply.body):
        return OVERLOADED
    if not reply.allowed:
        return str(reply.status)
    upstream = reply.upstream(headers)
    return " ".join(["allow", *upstream.get(METHOD, []), *upstream.get(ID, [])])
