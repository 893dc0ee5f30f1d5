#!/usr/bin/env python3
"""One real Envoy terminates mutual TLS; the header it really writes goes into the agent.

    suite.py                the cases
    suite.py capture FILE   writes what this Envoy wrote into FILE
"""

import contextlib
import datetime
import http.client
import http.server
import pathlib
import ssl
import sys
import tempfile
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))

# pylint: disable=wrong-import-position
import certs
import places
import under_test as ut
from processes import Process, free_port, run, wait_for
from rows import Suite, same
from spire import Agent, Server
from under_test import UnderTest

HERE = pathlib.Path(__file__).resolve().parent
HEADER = "x-forwarded-client-cert"
FRONTEND = "spiffe://example.org/frontend"


class Recorder(http.server.ThreadingHTTPServer):
    """The upstream: remembers the credential headers of the last request."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), RecordingHandler)
        self.seen = None
        threading.Thread(target=self.serve_forever, daemon=True).start()


class RecordingHandler(http.server.BaseHTTPRequestHandler):
    """Answers 200 to everything."""

    def do_GET(self):  # pylint: disable=invalid-name
        self.server.seen = self.headers.get_all(HEADER) or []
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format, *args):  # pylint: disable=redefined-builtin
        """Says nothing."""


class Edge:
    """A running Envoy with an SVID of its own, in front of a Recorder."""

    def __init__(self, stack, directory, server):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True)
        self.recorder, self.port, admin = Recorder(), free_port(), free_port()
        stack.callback(self.recorder.shutdown)
        self.bundle = self.directory / "bundle.pem"
        self.bundle.write_text(server.bundle_pem())
        self.identity = write_svid(self.directory, "edge", server.mint("spiffe://example.org/edge"))
        config = (HERE / "envoy.yaml").read_text()
        for word, value in {"ADMIN_PORT": admin, "LISTEN_PORT": self.port, "DIRECTORY": self.directory,
                            "UPSTREAM_PORT": self.recorder.server_port}.items():
            config = config.replace(f"@{word}@", str(value))
        (self.directory / "envoy.yaml").write_text(config)
        self.process = stack.enter_context(Process("envoy", [
            places.peer("envoy"), "-c", self.directory / "envoy.yaml", "--concurrency", "1",
            "--use-dynamic-base-id", "--disable-hot-restart", "-l", "warning",
        ], self.directory / "envoy.log"))
        wait_for("envoy ready", lambda: self.process.alive() and is_ready(admin))

    def header(self, svid=None, sent=(), verifying=False):
        """The header lines that the upstream got for a caller with this SVID.

        A caller on OpenSSL that trusts the bundle and was given a leaf alone
        completes the chain from its trust store: it presents the root as well.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        if verifying:
            context.load_verify_locations(str(self.bundle))
        else:
            context.verify_mode = ssl.CERT_NONE
        if svid is not None:
            context.load_cert_chain(*write_svid(self.directory, "caller", svid))
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, context=context, timeout=10)
        try:
            self.recorder.seen = None
            connection.putrequest("GET", "/orders?id=7")
            for name, value in sent:
                connection.putheader(name, value)
            connection.endheaders()
            same(connection.getresponse().status, 200, "answer through envoy")
            return self.recorder.seen
        finally:
            connection.close()


def is_ready(admin):
    connection = http.client.HTTPConnection("127.0.0.1", admin, timeout=2)
    try:
        connection.request("GET", "/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def write_svid(directory, name, svid):
    chain, key = directory / f"{name}.pem", directory / f"{name}.key"
    chain.write_text("".join(map(certs.pem, svid.chain)))
    key.write_text(certs.pem(svid.key, "PRIVATE KEY"))
    return str(chain), str(key)


class World:
    """SPIRE, a SPIRE nested below it (so that chains carry intermediates), Envoy."""

    def __init__(self, stack, root):
        root = pathlib.Path(root)
        self.directory = root
        self.server = stack.enter_context(Server(root / "server"))
        self.node = stack.enter_context(Agent(root / "node", self.server, allow_unauthenticated=True))
        self.server.register("spiffe://example.org/nested-server", self.node.id,
                             f"unix:path:{places.peer('spire')}", downstream=True)
        # Registered later, so when the node knows this one it knows the other:
        # a nested server that finds no entry for itself does not start.
        self.server.register(f"{FRONTEND}/unused", self.node.id, self.node.fetcher())
        self.node.svid(f"{FRONTEND}/unused")
        self.nested = stack.enter_context(Server(root / "nested", upstream=self.node))
        self.edge = Edge(stack, root / "edge", self.server)
        self.deep = self.nested.mint(FRONTEND)
        self.plain = self.server.mint(FRONTEND)


def header_is_as_we_think(world):
    """Our own rendering (`lib/certs.py`), which every other suite sends, is Envoy's to the byte."""
    for svid in (world.deep, world.plain):
        same(world.edge.header(svid), svid.header()[HEADER], "header")


def root_may_be_presented(world):
    """OpenSSL's habit, above; the header must then hold leaf and root."""
    root = certs.pem_to_der(world.edge.bundle.read_text())
    line, = world.edge.header(world.plain, verifying=True)
    same(line, certs.xfcc(world.plain.chain + root, FRONTEND), "header")
    return line


def spoof_is_overwritten(world):
    admin = world.server.mint("spiffe://example.org/services/admin")
    forged = admin.header()[HEADER][0]
    same(world.edge.header(world.plain, sent=[(HEADER, forged), ("X-Forwarded-Client-Cert", forged)]),
         world.plain.header()[HEADER], "header of a caller with a certificate")
    same(world.edge.header(None, sent=[(HEADER, forged)]), [], "header of a caller without")


def agent_answers(world, agent, svid, status, verifying=False):
    headers = {HEADER: world.edge.header(svid, verifying=verifying)} if svid else {}
    reply = agent.ask(headers)
    same(reply.status, status, "answer")
    if status == 200:
        same(reply.upstream(headers).get(ut.ID), [svid.spiffe_id], ut.ID)


def agent_cases(suite, world):
    with UnderTest(world.directory / "agent", world.node.socket) as agent:
        agent.until_allowed(world.plain)
        suite.case("its header for a listed caller: allowed", agent_answers, world, agent, world.plain, 200)
        suite.case("with an intermediate: allowed", agent_answers, world, agent, world.deep, 200)
        suite.case("with the root presented: allowed", agent_answers, world, agent, world.plain, 200, True)
        unlisted = world.nested.mint("spiffe://example.org/unlisted")
        suite.case("not listed: 403", agent_answers, world, agent, unlisted, 403)
        suite.case("caller without a certificate: 401", agent_answers, world, agent, None, 401)


def capture(target):
    """The fixture: what this Envoy wrote for a chain with an intermediate."""
    with tempfile.TemporaryDirectory(prefix="peers-") as root, contextlib.ExitStack() as stack:
        world = World(stack, root)
        deep, = world.edge.header(world.deep)
        plain, = world.edge.header(world.plain)
        rooted, = world.edge.header(world.plain, verifying=True)
        version = run([places.peer("envoy"), "--version"]).split("version:")[1].strip()
        bundle = world.server.bundle_pem()
    text = f"""# x-forwarded-client-cert as a real Envoy wrote it, SANITIZE_SET with subject, cert,
# chain, uri and dns. Envoy {version}
# Captured {datetime.datetime.now(datetime.timezone.utc).date()} by `tests/peers/envoy/suite.py capture`; public test certificates only.
# Sections: an SVID of a nested SPIRE (leaf and intermediate), one of the root SPIRE, the same presented
# by an OpenSSL caller that trusts the root (which then sends it along), and the bundle of all three.
[with-intermediate]
{deep}
[leaf-only]
{plain}
[leaf-and-root]
{rooted}
[bundle]
{bundle.strip()}
"""
    pathlib.Path(target).write_text(text, encoding="ascii")


def main():
    if sys.argv[1:2] == ["capture"]:
        capture(sys.argv[2])
        return
    suite, worlds = Suite("envoy"), []
    with tempfile.TemporaryDirectory(prefix="peers-") as root, contextlib.ExitStack() as stack:
        if suite.must("Envoy and SPIRE start", lambda: worlds.append(World(stack, root))):
            suite.case("its header is as we think", header_is_as_we_think, *worlds)
            suite.case("an OpenSSL caller sends the root, too", lambda: root_may_be_presented(*worlds) and "")
            suite.case("a caller's own header is overwritten", spoof_is_overwritten, *worlds)
            try:
                agent_cases(suite, *worlds)
            except Exception as error:  # pylint: disable=broad-except
                suite.must("agent starts", reraise, error)
    sys.exit(1 if suite.failed else 0)


def reraise(error):
    raise error


if __name__ == "__main__":
    main()
