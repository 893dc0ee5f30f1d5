"""Who is left out, who is connected, and how many more there are than the page lists."""

import contextlib
import json
import pathlib
import socket
import struct

import certs
from rows import check, same
from sentinel_v2 import Client, ProtocolError
from spire import Agent, Server
from troubles import A_DAY_MS, QUIET, WELL, federated, told_without_scripts

FRONTEND = "spiffe://example.org/frontend"
HOSTILE = "<img src=x onerror=alert(1)>"
OLD = "not told by agent protocol 1"
# What the page lists at most (actors/src/admin/status, and bundles that cannot be read: actors/src/trust).
DOMAINS, BARREN, UNREADABLE, POLICIES, DENIALS = 64, 8, 16, 8, 40


def missing(world):
    """SPIRE delivers what the policy names, but for one trust domain."""
    policy = f'allowlist {{ exact "{FRONTEND}"; trust-domains "elsewhere.test" }}\n{QUIET}\n'
    with federated(world, "elsewhere.test") as partner:
        with world.beside("missing", world.strict.socket, policy=policy) as seen:
            said = seen.appears("Bundles missing", "names elsewhere.test, and SPIRE delivers no bundle", "warn")
            check("UNKNOWN_TRUST_DOMAIN" in said, said)
            remedy = seen.appears("To do for those missing", "-federatesWith")
            seen.summary(WELL)
            told_without_scripts(seen, said, remedy)
            # As the page advises.
            partner.federate()
            seen.vanishes("Bundles missing")
            seen.vanishes("To do for those missing")


def refused_before(world):
    """SPIRE refuses the agent, and is gone after that: that it is back will not do."""
    address = world.root / "refusing.sock"
    address.symlink_to(world.strict.socket)
    entry = world.register()
    policy = f"spire {{ withdrawal-grace-ms 1000 }}\nallowlist {{ any #true }}\n{QUIET}\n"
    with world.beside("refused", address, policy=policy) as seen:
        seen.summary(WELL)
        world.server.forget(entry)
        seen.appears("To do", "entry create")
        seen.appears("SPIRE", "Withdrawn for ", "bad")
        same(seen.term("Refused before"), "", "refused before it was gone")
        address.unlink()
        said = seen.appears("Refused before", "SPIRE refused this agent before that", "bad")
        remedy = seen.appears("To do for the refusal", "entry create")
        seen.appears("Away because", "SPIRE's socket is not there")
        told_without_scripts(seen, said, remedy)
        # As the page advises.
        address.symlink_to(world.strict.socket)
        seen.vanishes("Refused before")
        entry = world.register()
        seen.summary(WELL)
        seen.vanishes("To do for the refusal")
    world.server.forget(entry)


def many_bundles(world):
    """A SPIRE with more of everything than the page lists."""
    names = [f"d{number:02}.test" for number in range(DOMAINS + 2)]
    with Server(world.root / "many-server", ca_ttl="72h") as server:
        with Agent(world.root / "many-node", server) as node:
            pem = world.root / "many.pem"
            pem.write_text(server.bundle_pem())
            put(server, names, pem)
            federate_all(world, server, node, names)
            with world.beside("many", node.socket) as seen:
                # With its own there are three more.
                seen.page.until("more domains", more_than("domains", "and 3 more"))
                told = seen.page.run("document.querySelectorAll('#domain-list h3').length")
                same(told, DOMAINS, "trust domains listed")
                many_barren(seen, len(names) + 1)
                pem.write_text(certs.pem(certs.unreadable(certs.pem_to_der(pem.read_text())[0])))
                put(server, names[:UNREADABLE + 2], pem)
                said = seen.appears("Bundles of 2 more", "cannot be read", "warn")
                told_without_scripts(seen, f"bundles of 2 more {said}")


def put(server, names, pem):
    for name in names:
        server.command("bundle", "set", "-id", f"spiffe://{name}", "-path", pem)


def federate_all(world, server, node, names):
    selector = f"unix:path:{pathlib.Path(world.agent.command[0]).resolve()}"
    federates = [word for name in names for word in ("-federatesWith", f"spiffe://{name}")]
    server.command("entry", "create", "-spiffeID", "spiffe://example.org/spiffe-agent", "-parentID", node.id,
                   "-selector", selector, *federates)


def many_barren(seen, count):
    """Every authority ends, and is there again."""
    seen.agent.order(f"wall {10 * A_DAY_MS}")
    said = seen.appears(f"Nobody of {count - BARREN} more", "is verified", "bad")
    told_without_scripts(seen, f"nobody of {count - BARREN} more {said}")
    seen.agent.order(f"wall {-10 * A_DAY_MS}")
    seen.vanishes(f"Nobody of {count - BARREN} more")


def more_than(what, text):
    return f"document.querySelector('#{what}-more').textContent === {json.dumps(text)} && !document.querySelector('#{what}-more').hidden"


def many_policies(world):
    """Each proxy pushes another; the file's is one, too."""
    page = world.page
    with contextlib.ExitStack() as stack:
        for number in range(POLICIES + 1):
            client = stack.enter_context(Client(world.agent.socket))
            client.configure({"allowlist": {"exact": f"spiffe://example.org/{number}"}})
        page.until("more policies", more_than("policies", "and 2 more"))
        same(page.run("document.querySelectorAll('#policy-list dl').length"), POLICIES, "policies listed")
    page.until("one policy", "document.querySelector('#policies-more').hidden")


def many_denials(world):
    """The page is given more than it lists: so many reasons cannot be had in a moment."""
    page = world.page
    check(not world.agent.ask(None).allowed, "nobody is allowed")
    page.until("a denial", "document.querySelector('#denial-list li') !== null")
    count = DENIALS + 5
    text = page.run(f"""(() => {{
        const [one] = latest.denials;
        denials({{ ...latest, denials: new Array({count}).fill(one) }});
        return document.querySelector('#denials-more').textContent;
    }})()""")
    same(text, "and 5 more", "denials beyond those listed")
    page.until("as many as there are", "document.querySelector('#denials-more').hidden")


class Named(Client):
    """A proxy of this name and version."""

    def __init__(self, path, name, version):
        self.said = {"proxy_id": name, "proxy_version": version}
        super().__init__(path)

    def _send(self, kind, body):
        super()._send(kind, {**body, **self.said} if "proxy_id" in body else body)


def proxies(world):
    with world.beside("proxies", answers=False) as seen:
        page = seen.page
        seen.summary(WELL)
        page.until("nobody", "!document.querySelector('#proxies-none').hidden")
        with Client(seen.agent.socket), Client(seen.agent.socket):
            seen.until("two connections", lambda: row_of(seen, "peers") == ["1", "2", "2"])
            check(page.run("document.querySelector('#proxies-none').hidden"), "it still says that nobody came")
        seen.until("none is open", lambda: row_of(seen, "peers") == ["1", "0", "2"])
        with Named(seen.agent.socket, HOSTILE, "9.9") as client:
            seen.until("a hostile name", lambda: row_of(seen, HOSTILE) == ["9.9", "1", "1"])
            check(not client.ask({}).allowed, "nobody is allowed")
        same(page.run("document.querySelectorAll('main img').length"), 0, "elements made of a hostile name")
        with version_1(seen.agent.socket):
            seen.until("an old one", lambda: row_of(seen, "unsaid") == [OLD, "1", "1"])
            told_without_scripts(seen, f"proxy unsaid, version {OLD}: 1 open, 1 in all")
        seen.until("it went", lambda: row_of(seen, "unsaid") == [OLD, "0", "1"])


def full_door(world):
    """Every place is taken, and somebody waits for one."""
    policy = f"allowlist {{ any #true }}\n{QUIET}\nagent {{ limits {{ connections 1 }} }}\n"
    with world.beside("door", policy=policy, answers=False) as seen:
        seen.summary(WELL)
        with Client(seen.agent.socket), socket.socket(socket.AF_UNIX) as waiting:
            waiting.connect(str(seen.agent.socket))
            said = seen.appears("Door sentinel", "", "bad")
            check("connections" in said, said)
            told_without_scripts(seen, said.split(";")[0])
        seen.vanishes("Door sentinel")


def refused_pushes(world):
    """A mistake in the proxy's config block, and its mend."""
    with world.beside("pushes", answers=False) as seen:
        seen.summary(WELL)
        with Named(seen.agent.socket, HOSTILE, "1.0") as client:
            refuses(client, {"allowlist": {"exact": "nobody's"}})
            said = seen.appears("Pushes", "1 refused, the last from uid:", "bad")
            check(HOSTILE in said and "nobody's" in said, said)
            remedy = seen.appears("To do for pushes", "correct the config block")
            same(seen.page.run("document.querySelectorAll('main img').length"), 0, "elements made of a hostile name")
            told_without_scripts(seen, remedy)
            # As the page advises.
            client.configure({"allowlist": {"exact": FRONTEND}})
            seen.vanishes("Pushes")
            seen.vanishes("To do for pushes")


def refuses(client, config):
    try:
        client.configure(config)
    except ProtocolError:
        return
    check(False, "the push was taken")


def no_collector(world):
    """The variables are in order, and nobody takes what is sent."""
    nowhere = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_METRIC_EXPORT_INTERVAL": "100",
               "OTEL_TRACES_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}
    with world.beside("collector", environment=nowhere) as seen:
        said = seen.appears("Telemetry lost", "metrics do not reach http://127.0.0.1:9/v1/metrics (http/protobuf)", "warn")
        check("4317 is usually grpc" in said, said)


def row_of(seen, name):
    return [seen.cell("proxy-list", name, column) for column in (1, 2, 3)]


@contextlib.contextmanager
def version_1(path):
    """A proxy that asks in version 1 of the protocol, which has no handshake."""
    request = {"version": 1, "event_type": "request_complete", "payload": {"correlation_id": "old"}}
    payload = json.dumps(request).encode()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(path))
        connection.sendall(struct.pack(">I", len(payload)) + payload)
        check(connection.recv(4), "no answer")
        yield


CASES = [
    ("a bundle that the policy names and SPIRE lacks", missing),
    ("SPIRE refuses, and is gone after that", refused_before),
    ("more bundles than are listed", many_bundles),
    ("more policies than are listed", many_policies),
    ("more denials than are listed", many_denials),
    ("who is connected", proxies),
    ("every place of a door is taken", full_door),
    ("pushes that are refused", refused_pushes),
    ("a collector that is not there", no_collector),
]
