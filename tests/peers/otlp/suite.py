#!/usr/bin/env python3
"""A request's trace begins at a proxy, goes on in the agent, and reaches a real OTLP receiver."""

import contextlib
import json
import os
import pathlib
import secrets
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "lib"))

# pylint: disable=wrong-import-position
import places
from processes import free_port, wait_for
from rows import Suite, check, same
from spire import Agent, Server
from under_test import UnderTest

sys.path.insert(0, str(places.peer("otlp")))

# pylint: disable=wrong-import-position
import grpc
from receiver import Receiver, attributes, value
from sentinel import agent_v2_pb2 as v2
from sentinel import agent_v2_pb2_grpc as v2_grpc

FRONTEND, UNLISTED = "spiffe://example.org/frontend", "spiffe://example.org/unlisted"
PROTOCOLS = ("grpc", "http/protobuf")
SERVER, INTERNAL, ERROR = 2, 1, 2
# Every attribute of a decision that every decided request has.
ALWAYS = {
    "authz.verdict", "authz.mode", "authz.enforced", "spiffe.identity", "spiffe.state", "spiffe.basis", "spiffe.door",
    "spiffe.proxy", "spiffe.remembered", "spiffe.age_ms", "spiffe.request_id", "spiffe.correlation_id",
    "client.address", "network.transport",
}
AUDIT = """
audit {{ sink "otlp"; on-full "{}" }}
agent {{ limits {{ decision-deadline-ms 2000 }} }}
"""
REQUESTS, RATIO = 10_000, 0.01
WINDOWS, WINDOW = 21, 400


class World:
    """One SPIRE, and agents that export to wherever a case says."""

    def __init__(self, stack, root):
        self.root, self.count = pathlib.Path(root), 0
        server = stack.enter_context(Server(self.root / "server"))
        self.spire = stack.enter_context(Agent(self.root / "node", server, allow_unauthenticated=True))
        self.frontend, self.unlisted = server.mint(FRONTEND), server.mint(UNLISTED)

    @contextlib.contextmanager
    def agent(self, environment, grpc_port=None, more=""):
        self.count += 1
        place = self.root / f"agent-{self.count}"
        agent = UnderTest(place, self.spire.socket, grpc_port=grpc_port, environment=environment,
                          more=more)
        with agent:
            agent.until_allowed(self.frontend)
            yield agent


class Trace:
    """What a proxy has begun."""

    def __init__(self, sampled=True):
        self.trace, self.span = secrets.token_bytes(16), secrets.token_bytes(8)
        self.header = f"00-{self.trace.hex()}-{self.span.hex()}-{int(sampled):02x}"

    def is_parent_of(self, span):
        return (span.trace_id, span.parent_span_id) == (self.trace, self.span)


def span_of(receiver, trace):
    """The one decision in this trace."""
    found = wait_for("the span", lambda: [
        (resource, span) for resource, span in receiver.spans("spiffe.authenticate") if span.trace_id == trace.trace])
    same(len(found), 1, "spans in the trace")
    return found[0]


def over_the_socket(world, protocol):
    with Receiver() as receiver, world.agent(receiver.environment(protocol)) as agent, agent.client() as client:
        begun = time.time_ns()
        allowed, denied, unsampled, wrong = Trace(), Trace(), Trace(sampled=False), Trace()
        same(client.ask(world.frontend.header(), traceparent=unsampled.header).status, 200, "unsampled")
        same(client.ask(world.frontend.header(), traceparent=allowed.header).status, 200, "listed")
        same(client.ask(world.unlisted.header(), traceparent=denied.header).status, 403, "unlisted")
        same(client.ask({}, traceparent=wrong.header).status, 401, "no certificate")
        resource, span = span_of(receiver, allowed)
        check(allowed.is_parent_of(span), "the proxy's span is the parent")
        same((span.kind, span.status.code), (SERVER, 0), "kind and status")
        check(begun < span.start_time_unix_nano <= span.end_time_unix_nano < time.time_ns(), "its time")
        check(span.end_time_unix_nano - span.start_time_unix_nano < 80_000_000, "shorter than the deadline")
        about = attributes(span)
        check(ALWAYS <= about.keys(), f"missing: {ALWAYS - about.keys()}")
        for key, want in {
            "authz.verdict": "allow", "authz.matched_list": "allowlist", "authz.matched_rule": f"exact {FRONTEND}",
            "authz.mode": "fail_closed", "authz.enforced": True, "spiffe.id": FRONTEND, "spiffe.identity": "verified",
            "spiffe.state": "Live", "spiffe.basis": "Verify", "spiffe.remembered": True, "spiffe.door": "sentinel-v2",
            "client.address": "127.0.0.1", "network.transport": "unix",
        }.items():
            same(about.get(key), want, key)
        check(about["spiffe.generation"] >= 1, "generation")
        same(resource["service.name"], "sentinel-spiffe-agent", "service.name")
        same(resource["deployment.environment.name"], "peers", "resource attributes")
        about = attributes(span_of(receiver, denied)[1])
        same([about.get(key) for key in ("authz.verdict", "authz.reason", "authz.status_code", "spiffe.remembered")],
             ["deny", "NOT_ALLOWED", 403, False], "denied")
        about = attributes(span_of(receiver, wrong)[1])
        same((about["authz.reason"], "error.type" in about), ("NO_CREDENTIAL", False), "a denial is no error")
        same([s for _, s in receiver.spans() if s.trace_id == unsampled.trace], [], "unsampled")
        same(receiver.tokens(), {"s cret"}, "headers")


def over_grpc(world, protocol):
    port = free_port()
    with Receiver() as receiver, world.agent(receiver.environment(protocol), grpc_port=port), \
            grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        trace = Trace()
        event = v2.RequestHeadersEvent(
            metadata=v2.RequestMetadata(correlation_id="c", request_id="r", client_ip="10.0.0.7",
                                        traceparent=trace.header),
            headers=[v2.Header(name=name, value=line) for name, lines in world.frontend.header().items()
                     for line in lines])
        answer = v2_grpc.AgentServiceV2Stub(channel).ProcessEvent(v2.ProxyToAgent(request_headers=event))
        check(answer.response.HasField("allow"), f"allowed: {answer}")
        _, span = span_of(receiver, trace)
        check(trace.is_parent_of(span), "the proxy's span is the parent")
        about = attributes(span)
        check(ALWAYS <= about.keys(), f"missing: {ALWAYS - about.keys()}")
        same([about[key] for key in ("spiffe.id", "spiffe.door", "network.transport", "client.address")],
             [FRONTEND, "sentinel-grpc-v2", "tcp", "10.0.0.7"], "attributes")


def one_in_a_hundred(world):
    """The ratio is a function of the trace's id: which traces are recorded is known beforehand."""
    with Receiver() as receiver:
        environment = {**receiver.environment("grpc"), "OTEL_TRACES_SAMPLER": "traceidratio",
                       "OTEL_TRACES_SAMPLER_ARG": str(RATIO)}
        with world.agent(environment) as agent, agent.client() as client:
            traces = [Trace() for _ in range(REQUESTS)]
            headers = world.frontend.header()
            for trace in traces:
                client.ask(headers, traceparent=trace.header)
        expected = {trace.trace for trace in traces
                    if int.from_bytes(trace.trace[8:], "big") >> 1 < int(RATIO * 2**63)}
        # The agent has ended: everything was sent.
        ours = {trace.trace for trace in traces}
        spans = [span.trace_id for _, span in receiver.spans("spiffe.authenticate")]
        found = [trace for trace in spans if trace in ours]
        same((len(found), set(found)), (len(expected), expected), "sampled traces")
        check(50 <= len(found) <= 150, f"about one in a hundred: {len(found)}")
        return f"{len(found)} of {REQUESTS}"


def what_is_rare(world, protocol):
    """Spans beside requests, log records inside of them, metrics."""
    with Receiver() as receiver, world.agent(receiver.environment(protocol)) as agent, agent.client() as client:
        for _ in range(5):
            same(client.ask(world.unlisted.header()).status, 403, "unlisted")
        change, = wait_for("the transition", lambda: [
            span for _, span in receiver.spans("spiffe.transition") if attributes(span)["spiffe.state"] == "Live"])
        same((change.kind, change.parent_span_id), (INTERNAL, b""), "a root of its own")
        check(receiver.spans("spiffe.update"), "an update")
        record = wait_for("its log record", lambda: next(
            (record for record in receiver.records()
             if value(record.body) == "trust source availability changed"), None))
        same((record.trace_id, record.span_id), (change.trace_id, change.span_id), "trace of the record")
        same(attributes(record)["to"], "Live", "its field")
        same([value(r.body) for r in receiver.records() if b"BEGIN" in r.SerializeToString()], [], "certificates")

        def denied():
            points = [point.as_int for point in receiver.latest("spiffe_agent.decisions")
                      if attributes(point)["reason"] == "NOT_ALLOWED"]
            return points == [5]
        wait_for("five denials in the metrics", denied)
        durations = receiver.latest("spiffe_agent.decision.duration")
        check(sum(point.count for point in durations) >= 6, "durations")
        domains = [attributes(point)["trust_domain"] for point in receiver.latest("spiffe_agent.bundle.age")]
        same(domains, ["example.org"], "trust domains")


def verified(world, bodies):
    """What `audit verify` says of the bodies, as a collector would write them to a file."""
    written = world.root / "collected.jsonl"
    written.write_text("".join(f"{body}\n" for body in bodies))
    done = subprocess.run([places.agent_binary(), "audit", "verify", "--output", "json", written],
                          capture_output=True, text=True, check=False)
    return done.returncode, json.loads(done.stdout)


def records_are_records(world, protocol):
    """Under `block` an answer was acknowledged by the collector before it went out."""
    with Receiver() as receiver, world.agent(receiver.environment(protocol), more=AUDIT.format("block")) as agent, \
            agent.client() as client:
        trace = Trace()
        same(client.ask(world.unlisted.header(), traceparent=trace.header).status, 403, "unlisted")
        same(value(receiver.audit()[-1].body)[:7], '{"seq":', "its record, before its answer")
        denied, = [record for record in receiver.audit() if record.trace_id == trace.trace]
        same(attributes(denied), {"authz.verdict": "deny", "authz.reason": "NOT_ALLOWED"}, "attributes")
        check(abs(denied.time_unix_nano - time.time_ns()) < 60_000_000_000, "its time")
        for _ in range(50):
            same(client.ask(world.frontend.header()).status, 200, "listed")
        bodies = [value(record.body) for record in receiver.audit()]
        same(json.loads(bodies[-1])["seq"], len(bodies), "every one, once")
        code, said = verified(world, bodies)
        same((code, said["records"]), (0, len(bodies)), f"audit verify: {said}")
        changed = [body.replace('"NOT_ALLOWED"', '"EXPIRED"') for body in bodies]
        same(verified(world, changed)[0], 1, "audit verify of what was changed")
        same(receiver.tokens(), {"s cret"}, "headers")
        return f"{len(bodies)} records"


def records_that_nobody_takes(world):
    """Requests are answered, and what is lost is counted; the chain goes on when the collector is back."""
    with Receiver() as receiver, world.agent(receiver.environment("http/protobuf"), more=AUDIT.format("drop")) as agent, \
            agent.client() as client:
        headers = world.unlisted.header()
        same(client.ask(headers).status, 403, "unlisted")
        wait_for("its record", receiver.audit)
        receiver.mood = "refuse"
        for _ in range(200):
            same(client.ask(headers).status, 403, "while the collector refuses")

        def lost():
            receiver.mood = "take"
            points = receiver.latest("spiffe_agent.audit.records.dropped")
            return sum(point.as_int for point in points)
        told = "audit records are not written until this sink can be"
        wait_for("it is said", lambda: told in agent.process.log.read_text())
        count = wait_for("they are counted", lost)
        same(agent.process.log.read_text().count(told), 1, "said once")
        before = len(receiver.audit())

        def back():
            client.ask(headers)
            return len(receiver.audit()) > before
        wait_for("records again", back)
        _, said = verified(world, [value(record.body) for record in receiver.audit()])
        same({broken["why"] for broken in said["broken"]} - {"missing"}, set(), f"audit verify: {said}")
        return f"{count} lost"


class Authority:
    """A certificate authority of our own, and what it issued for a collector on this machine."""

    def __init__(self, place):
        place.mkdir()
        self.file, self.key = place / "ca.pem", place / "ca.key"
        self.tls = place / "collector.pem", place / "collector.key"
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        openssl("req", "-x509", *curve, "-subj", f"/CN={place.name}", "-keyout", self.key, "-out", self.file)
        openssl("req", "-x509", *curve, "-subj", "/CN=collector", "-addext", "subjectAltName=IP:127.0.0.1",
                "-addext", "basicConstraints=critical,CA:FALSE", "-CA", self.file, "-CAkey", self.key,
                "-keyout", self.tls[1], "-out", self.tls[0])


def openssl(*arguments):
    if not shutil.which("openssl"):
        raise places.Absent("no openssl on this machine")
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def over_tls(world, protocol):
    """The authority that the variables name, and only that one."""
    name = protocol.partition("/")[0]
    ours, another = Authority(world.root / f"{name}-ours"), Authority(world.root / f"{name}-another")
    with Receiver(tls=ours.tls) as receiver:
        environment = {**receiver.environment(protocol), "OTEL_EXPORTER_OTLP_CERTIFICATE": str(ours.file)}
        with world.agent(environment) as agent, agent.client() as client:
            trace = Trace()
            same(client.ask(world.frontend.header(), traceparent=trace.header).status, 200, "listed")
            span_of(receiver, trace)
            wait_for("log records", receiver.records)
            wait_for("metrics", lambda: receiver.latest("spiffe_agent.decisions"))
        check("telemetry is not delivered" not in agent.directory.joinpath("agent.log").read_text(), "nothing is said")
        receiver.forget()
        # Metrics alone get through: they say what became of the others.
        environment["OTEL_EXPORTER_OTLP_METRICS_CERTIFICATE"] = str(ours.file)
        environment["OTEL_EXPORTER_OTLP_CERTIFICATE"] = str(another.file)
        with world.agent(environment) as agent, agent.client() as client:
            for _ in range(20):
                same(client.ask(world.frontend.header(), traceparent=Trace().header).status, 200, "listed")

            def lost():
                points = [(attributes(point), point.as_int) for point in receiver.latest("spiffe_agent.telemetry.lost")]
                counts = {about["signal"]: count for about, count in points if about["cause"] == "not_delivered"}
                return counts if counts.get("traces", 0) >= 20 and counts.get("logs", 0) > 0 else None
            counts = wait_for("losses", lost)
        lines = [line for line in agent.directory.joinpath("agent.log").read_text().splitlines() if "telemetry is not delivered" in line]
        same(sorted(signal for line in lines for signal in ("logs", "traces", "metrics") if signal in line),
             ["logs", "traces"], "one line for each")
        check(all("UnknownIssuer" in line for line in lines), f"and why: {lines}")
        same((receiver.spans(), receiver.records()), ([], []), "nothing came")
        return f"{counts['traces']} spans lost to a wrong authority"


def p99(client, headers):
    times = []
    for _ in range(WINDOW):
        begun = time.perf_counter()
        client.ask(headers, traceparent=Trace().header)
        times.append(time.perf_counter() - begun)
    return sorted(times)[int(WINDOW * 0.99)]


@contextlib.contextmanager
def collector(mood):
    """The address of one in a process of its own, so that its work is not the client's."""
    if mood == "dead":
        yield f"http://127.0.0.1:{free_port()}"
        return
    with subprocess.Popen([sys.executable, HERE / "receiver.py", mood], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True, env={**os.environ, "PYTHONPATH": str(places.peer("otlp"))}) as child:
        yield f"http://127.0.0.1:{child.stdout.readline().strip()}"
        child.stdin.close()


def disturbed(world, mood):
    """Interleaved windows of two agents that export every request: one to a good collector, one to this."""
    with contextlib.ExitStack() as stack:
        agents = []
        for kind in ("take", mood):
            environment = {
                "OTEL_EXPORTER_OTLP_ENDPOINT": stack.enter_context(collector(kind)),
                "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TIMEOUT": "1000",
                "OTEL_BSP_EXPORT_TIMEOUT": "1000", "OTEL_BSP_SCHEDULE_DELAY": "200",
                "OTEL_BSP_MAX_QUEUE_SIZE": "1024",
            }
            agents.append(stack.enter_context(world.agent(environment)))
        clients = [stack.enter_context(agent.client()) for agent in agents]
        headers, ratios = world.frontend.header(), []
        for turn in range(WINDOWS):
            results = [0.0, 0.0]
            for at in (0, 1) if turn % 2 else (1, 0):
                results[at] = p99(clients[at], headers)
            ratios.append(results[1] / results[0])
        begun = time.monotonic()
        same(agents[1].process.stop(), 0, "exit code")
        took = time.monotonic() - begun
        check(took < 5, f"stopped in {took:.1f} s")
        told = agents[1].process.log.read_text()
        check("telemetry is not delivered" in told, "it is said")
        ratio = statistics.median(ratios)
        check(ratio <= 1.25, f"p99 {ratio:.2f} times the undisturbed")
        return f"p99 ratio {ratio:.2f}, stopped in {took:.1f} s"


def main():
    suite = Suite("otlp")
    with contextlib.ExitStack() as stack, tempfile.TemporaryDirectory() as root:
        world = World(stack, root)
        for protocol in PROTOCOLS:
            suite.case(f"a trace goes on over the Unix socket, {protocol}", over_the_socket, world, protocol)
            suite.case(f"a trace goes on over gRPC, {protocol}", over_grpc, world, protocol)
            suite.case(f"what is rare, logs, metrics, {protocol}", what_is_rare, world, protocol)
            suite.case(f"TLS, {protocol}", over_tls, world, protocol)
            suite.case(f"audit records, {protocol}", records_are_records, world, protocol)
        suite.case("audit records that nobody takes", records_that_nobody_takes, world)
        suite.case("ten thousand requests sampled at 1 %", one_in_a_hundred, world)
        for mood in ("dead", "hang", "slow", "refuse"):
            suite.case(f"a collector that is: {mood}", disturbed, world, mood)
    return 1 if suite.failed else 0


if __name__ == "__main__":
    sys.exit(main())
