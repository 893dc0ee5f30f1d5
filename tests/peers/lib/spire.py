"""Real SPIRE servers and agents on loopback, in temporary directories."""

import base64
import json
import pathlib
import signal
import time

import certs
import places
from processes import Process, free_port, run, wait_for


class Svid:
    """An X509-SVID as the Workload API or `x509 mint` gave it."""

    def __init__(self, spiffe_id, chain, key):
        self.spiffe_id, self.chain, self.key = spiffe_id, chain, key

    def header(self, with_chain=True):
        return {"x-forwarded-client-cert": [certs.xfcc(self.chain, self.spiffe_id, with_chain)]}


class Server:
    """A SPIRE server; nested under another if `upstream` is that one's Agent."""

    def __init__(self, directory, trust_domain="example.org", upstream=None, ca_ttl="24h"):
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(parents=True)
        self.trust_domain, self.upstream = trust_domain, upstream
        self.binary = places.peer("spire")
        self.port = free_port()
        self.socket = self.directory / "server.sock"
        self.config = self.directory / "server.conf"
        self.config.write_text(self._configuration(ca_ttl))
        self.process = None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        self.process = Process("spire-server", [self.binary, "run", "-config", self.config],
                               self.directory / "server.log")
        wait_for("spire-server healthy", self._healthy, every_s=0.1)

    def stop(self):
        if self.process:
            self.process.stop()
            self.process = None

    def _healthy(self):
        self.process.alive()
        try:
            self.command("healthcheck", deadline_s=10)
            return True
        except RuntimeError:
            return False

    def command(self, *words, deadline_s=30.0):
        return run([self.binary, *words, "-socketPath", self.socket], deadline_s)

    def ask(self, *words):
        """A command's answer in its JSON form."""
        return json.loads(self.command(*words, "-output", "json"))

    def join_token(self, agent_id):
        return self.ask("token", "generate", "-spiffeID", agent_id)["value"]

    def register(self, spiffe_id, parent, *selectors, downstream=False, federates_with=None):
        words = ["entry", "create", "-spiffeID", spiffe_id, "-parentID", parent]
        for selector in selectors:
            words += ["-selector", selector]
        if downstream:
            words.append("-downstream")
        if federates_with:
            words += ["-federatesWith", federates_with]
        return self.ask(*words)["results"][0]["entry"]["id"]

    def forget(self, entry_id):
        self.command("entry", "delete", "-entryID", entry_id)

    def mint(self, spiffe_id, ttl="10m"):
        """An SVID signed by the authority active now."""
        answer = self.ask("x509", "mint", "-spiffeID", spiffe_id, "-ttl", ttl)
        chain = [base64.b64decode(der) for der in answer["x509_svid"]]
        return Svid(spiffe_id, chain, base64.b64decode(answer["private_key"]))

    def authorities(self):
        """SHA-256 of every X.509 authority in the server's own bundle."""
        bundle = self.ask("bundle", "show")
        return [certs.sha256_hex(base64.b64decode(a["asn1"])) for a in bundle["x509_authorities"]]

    def bundle_pem(self):
        return self.command("bundle", "show")

    def federate(self, other):
        """Takes another server's bundle in; entries name whose they want."""
        path = self.directory / f"{other.trust_domain}.pem"
        path.write_text(other.bundle_pem())
        self.command("bundle", "set", "-id", f"spiffe://{other.trust_domain}", "-path", path)

    def part_from(self, trust_domain):
        self.command("bundle", "delete", "-id", f"spiffe://{trust_domain}", "-mode", "dissociate")

    def prepare(self):
        return self.ask("localauthority", "x509", "prepare")["prepared_authority"]["authority_id"]

    def activate(self, authority_id):
        self.ask("localauthority", "x509", "activate", "-authorityID", authority_id)

    def old_authority(self):
        return self.ask("localauthority", "x509", "show")["old"]["authority_id"]

    def taint(self, authority_id):
        self.ask("localauthority", "x509", "taint", "-authorityID", authority_id)

    def revoke(self, authority_id):
        self.ask("localauthority", "x509", "revoke", "-authorityID", authority_id)

    def _configuration(self, ca_ttl):
        nested = "" if self.upstream is None else f'''
    UpstreamAuthority "spire" {{
        plugin_data {{
            server_address = "127.0.0.1"
            server_port = "{self.upstream.server.port}"
            workload_api_socket = "{self.upstream.socket}"
        }}
    }}'''
        return f'''
server {{
    bind_address = "127.0.0.1"
    bind_port = "{self.port}"
    socket_path = "{self.socket}"
    trust_domain = "{self.trust_domain}"
    data_dir = "{self.directory}"
    log_level = "INFO"
    ca_ttl = "{ca_ttl}"
    default_x509_svid_ttl = "1h"
}}
plugins {{
    DataStore "sql" {{
        plugin_data {{
            database_type = "sqlite3"
            connection_string = "{self.directory}/datastore.sqlite3"
        }}
    }}
    NodeAttestor "join_token" {{ plugin_data {{}} }}
    KeyManager "memory" {{ plugin_data {{}} }}{nested}
}}
'''


class Agent:
    """A SPIRE agent of one server: join token, unix attestor, one-second sync."""

    def __init__(self, directory, server, allow_unauthenticated=False, binary=None):
        self.directory, self.server = pathlib.Path(directory), server
        self.directory.mkdir(parents=True)
        self.binary = binary or places.peer("spire-agent")
        self.id = f"spiffe://{server.trust_domain}/node/{self.directory.name}"
        self.socket = self.directory / "agent.sock"
        self.config = self.directory / "agent.conf"
        self.config.write_text(self._configuration(allow_unauthenticated))
        self.process, self.token = None, None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self, binary=None):
        """Starts it, with another binary for an upgrade. Returns the seconds until it was healthy."""
        self.binary = binary or self.binary
        begun = time.monotonic()
        command = [self.binary, "run", "-config", self.config]
        if self.token is None:
            self.token = self.server.join_token(self.id)
            (self.directory / "bootstrap.pem").write_text(self.server.bundle_pem())
            command += ["-joinToken", self.token]
        self.process = Process("spire-agent", command, self.directory / "agent.log")
        wait_for("spire-agent healthy", self._healthy, every_s=0.1)
        return time.monotonic() - begun

    def stop(self, with_signal=signal.SIGTERM):
        if self.process:
            self.process.stop(with_signal)
            self.process = None

    def _healthy(self):
        self.process.alive()
        try:
            run([self.binary, "healthcheck", "-socketPath", self.socket], 10)
            return True
        except RuntimeError:
            return False

    def svids(self):
        """What the Workload API gives to `spire-agent api fetch x509`, by SPIFFE ID."""
        output = run([self.binary, "api", "fetch", "x509", "-socketPath", self.socket,
                      "-timeout", "2s", "-output", "json"], 10)
        answer = json.loads(output)
        found = {}
        for svid in answer["svids"]:
            chain = certs.split_der(base64.b64decode(svid["x509_svid"]))
            found[svid["spiffe_id"]] = Svid(svid["spiffe_id"], chain, base64.b64decode(svid["x509_svid_key"]))
        return found

    def svid(self, spiffe_id):
        """One workload's SVID, waited for: registrations reach an agent by its sync."""
        def probe():
            try:
                return self.svids().get(spiffe_id)
            except RuntimeError:
                return None
        return wait_for(f"SVID of {spiffe_id}", probe, every_s=0.2)

    def own_rotations(self):
        """How often it has renewed its own SVID. An agent whose authority is revoked before that is lost."""
        return (self.directory / "agent.log").read_text().count("Successfully rotated agent SVID")

    def fetcher(self):
        """Selector of whoever fetches SVIDs by `svids`: this agent's own command line."""
        return f"unix:path:{self.binary}"

    def _configuration(self, allow_unauthenticated):
        return f'''
agent {{
    data_dir = "{self.directory}"
    log_level = "INFO"
    server_address = "127.0.0.1"
    server_port = "{self.server.port}"
    socket_path = "{self.socket}"
    trust_domain = "{self.server.trust_domain}"
    trust_bundle_path = "{self.directory}/bootstrap.pem"
    allow_unauthenticated_verifiers = {str(allow_unauthenticated).lower()}
    experimental {{ sync_interval = "1s" }}
}}
plugins {{
    NodeAttestor "join_token" {{ plugin_data {{}} }}
    KeyManager "disk" {{ plugin_data {{ directory = "{self.directory}" }} }}
    WorkloadAttestor "unix" {{
        plugin_data {{
            discover_workload_path = true
            workload_size_limit = -1
        }}
    }}
}}
'''


class Watch:
    """What a Workload API delivers and when, seen by go-spiffe beside the agent under test."""

    def __init__(self, socket, log):
        self.log = pathlib.Path(log)
        self.process = Process("judge watch", [places.peer("judge"), "watch", "-socket", f"unix://{socket}"], self.log)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stop()

    def updates(self):
        lines = [json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{")]
        return [line for line in lines if "bundles" in line]

    def gone_at(self, trust_domain):
        """Unix seconds of the first update without a domain that an earlier one had; waits for it."""
        def probe():
            self.process.alive()
            known = False
            for update in self.updates():
                if known and trust_domain not in update["bundles"]:
                    return update["at"]
                known = known or trust_domain in update["bundles"]
            return None
        return wait_for(f"bundle of {trust_domain} gone", probe)

    def delivered_at(self, trust_domain, wanted):
        """Unix seconds of the first update whose anchors satisfy `wanted`; waits for it."""
        def probe():
            self.process.alive()
            for update in self.updates():
                if wanted(set(update["bundles"].get(trust_domain, []))):
                    return update["at"]
            return None
        return wait_for(f"bundle of {trust_domain} as wanted", probe)
