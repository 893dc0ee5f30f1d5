"""What goes wrong around the agent: each is broken for real, seen on the page, mended, and seen to go."""

import contextlib
import ctypes
import os
import pathlib
import signal
import socket
import subprocess
import time

import certs
import places
from rows import check, same
from sentinel_v2 import Client
from spire import Agent, Server

WELL = "healthy; SPIRE Live; ready"
NOBODY = "spiffe://elsewhere.test/nobody"
NOBODY_YET = "spiffe://example.org/yet-unseen"
QUIET = "audit { log-success #false; log-failure #false }"
ELSEWHERE = f'allowlist {{ exact "{NOBODY}" }}\n{QUIET}\n'
# A name that SPIRE takes, and that the standard does not: 255 bytes are the most.
TOO_LONG = "a" * 256
# From this age on, what lies on disk makes a start; younger it makes an interruption.
OLD_MS = 2000
# What a part may be restarted within a minute.
RESTARTS_MAX = 10
A_DAY_MS = 24 * 3600 * 1000


def told_without_scripts(seen, *parts):
    snapshot = seen.snapshot()
    for part in parts:
        check(part in snapshot, f"{part!r} is not told without scripts:\n{snapshot}")


def socket_gone(world):
    with world.beside("socket") as seen:
        path = seen.agent.socket
        seen.summary(WELL)
        same(seen.term("Socket path", "build"), str(path), "where proxies connect")
        with Client(path) as connected:
            aside = path.with_suffix(".aside")
            path.rename(aside)
            said = seen.appears("Socket file", "gone from its path", "bad")
            seen.summary("degraded; SPIRE Live; ready")
            told_without_scripts(seen, said)
            check(connected.ask(world.frontend.header()).allowed, "who is connected is not served")
            aside.rename(path)
            seen.vanishes("Socket file")
            seen.summary(WELL)
            path.unlink()
            seen.appears("Socket file", "gone from its path", "bad")
        # As the page advises.
        seen.agent.stop()
        seen.agent.start()
        seen.vanishes("Socket file")
        seen.summary(WELL)


def refused_with_a_broken_disk(world):
    """SPIRE refuses the agent, and the disk takes nothing: a file lies where the directory was."""
    state = world.root / "state"
    aside = state.with_suffix(".aside")
    entry = world.register()
    policy = f"spire {{ withdrawal-grace-ms 1000 }}\nallowlist {{ any #true }}\n{QUIET}\n"
    with world.beside("disk", world.strict.socket, policy=policy, flags=["--state-dir", state]) as seen:
        page = seen.page
        seen.summary(WELL)
        page.until("bundles", "document.querySelector('#domains-none').hidden")
        world.until("bundles on the disk", (state / "x509-bundles").exists)
        state.rename(aside)
        state.write_text("")
        world.server.forget(entry)
        said = seen.appears("Disk", "SPIRE refuses this agent, and ", "bad")
        remedy = seen.appears("To do for the disk", "do not restart the agent before it is")
        told_without_scripts(seen, said.split("; for ")[0], remedy.split("; ")[0])
        page.until("Withdrawn", "document.querySelector('#bars rect[data-state=Withdrawn]') !== null")
        page.until("the summary", "document.querySelector('#summary').textContent.startsWith('unhealthy; SPIRE Withdrawn')")
        page.until("no bundles", "!document.querySelector('#domains-none').hidden")
        seen.appears("To do", "entry create")
        check("SPIRE is Withdrawn" in page.text("#news"), page.text("#news"))
        entry = world.register()
        seen.appears("Disk", "bundles cannot be written", "warn")
        check("restart" not in seen.term("To do for the disk"), seen.term("To do for the disk"))
        seen.summary("degraded; SPIRE Live; ready")
        seen.vanishes("Away because")
        seen.vanishes("To do")
        state.unlink()
        aside.rename(state)
        seen.vanishes("Disk")
        seen.vanishes("To do for the disk")
        seen.summary(WELL)
    world.server.forget(entry)


def bundles_from_disk(world):
    """At a start SPIRE's agent is mute, then gone: what was kept counts, and is told as such."""
    address = world.root / "moved.sock"
    address.symlink_to(world.node.socket)
    timing = f"spire {{ unavailable-after-ms {OLD_MS}; api-timeout-ms 20000 }}"
    policy = f'{timing}\nfailure {{ spire-unavailable "cache" }}\n{QUIET}\n'
    kept = world.root / "kept" / "x509-bundles"
    with world.beside("kept-on-disk", address, policy=policy, flags=["--state-dir", kept.parent]) as seen:
        seen.summary(WELL)
        world.until("bundles on the disk", kept.exists)
        seen.agent.stop()
        address.unlink()
        world.until("old bundles", lambda: 1000 * (time.time() - kept.stat().st_mtime) > OLD_MS)
        with socket.socket(socket.AF_UNIX) as mute:
            mute.bind(str(address))
            mute.listen()
            seen.agent.start()
            seen.appears("Bundles confirmed", " ago, and kept on disk")
            check(seen.term("SPIRE").startswith("Starting for "), seen.term("SPIRE"))
            same(seen.level("SPIRE"), "wait", "a start's level")
            same(seen.level("Ready"), "warn", "readiness while nothing is known")
            address.unlink()
        seen.appears("Away because", "SPIRE's socket is not there", "warn")
        seen.appears("SPIRE", "Outage for ", "bad")
        seen.appears("To do", "is the SPIRE agent up")
        check("kept on disk" not in seen.term("Bundles confirmed"), seen.term("Bundles confirmed"))
        same(seen.term("Ready"), "ready", "readiness by what was kept")
        check(seen.agent.ask(world.frontend).status == 403, "nobody is listed, and all are verified")
        address.symlink_to(world.node.socket)
        seen.summary(WELL)
        seen.vanishes("Away because")


def another_spire(world):
    with federated(world, "elsewhere.test") as partner:
        with world.beside("foreign", world.strict.socket, policy=ELSEWHERE) as seen:
            said = seen.appears("Nobody whom the policy allows", "can be verified: SPIRE delivers no bundle", "bad")
            for name in ("elsewhere.test", "example.org"):
                check(name in said, f"{name} is not in {said!r}")
            remedy = seen.appears("To do for the policy", "federate it with elsewhere.test")
            seen.summary("degraded; SPIRE Live; ready")
            seen.appears("Requests", "nobody whom a policy in force allows")
            told_without_scripts(seen, said.removeprefix("can be verified: "), remedy)
            # As the page advises.
            partner.federate()
            seen.vanishes("Nobody whom the policy allows")
            seen.vanishes("To do for the policy")
            seen.summary(WELL)
            same(seen.page.run("[...document.querySelectorAll('#domain-list h3')].map((h) => h.textContent).join()"),
                 "elsewhere.test,example.org", "trust domains")


class Partner:
    """A trust domain whose bundle SPIRE has; once federated, the agents at `strict` get it too."""

    def __init__(self, world, name):
        self.world, self.id = world, f"spiffe://{name}"
        self.path = world.root / "partner.pem"
        self.set(world.server.bundle_pem())
        self.entry = world.register()

    def set(self, pem):
        self.path.write_text(pem)
        self.world.server.command("bundle", "set", "-id", self.id, "-path", self.path)

    def federate(self):
        self.world.server.forget(self.entry)
        self.entry = self.world.register(federates_with=self.id)


@contextlib.contextmanager
def federated(world, name):
    partner = Partner(world, name)
    try:
        yield partner
    finally:
        world.server.forget(partner.entry)
        world.server.command("bundle", "delete", "-id", partner.id, "-mode", "dissociate")


def variables_unfit(world):
    bad = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/json",
           "OTEL_TRACES_SAMPLER": "sometimes"}
    with world.beside("telemetry", environment=bad) as seen:
        seen.summary(WELL)
        said = [seen.appears("Telemetry", "OTEL_EXPORTER_OTLP_PROTOCOL is http/json, not grpc", "warn"),
                seen.appears("Telemetry 2", "OTEL_TRACES_SAMPLER is sometimes", "warn")]
        same(seen.term("Telemetry 3"), "", "one more complaint of two variables")
        told_without_scripts(seen, *said)
        seen.agent.stop()
        seen.agent.environment = {}
        seen.agent.start()
        for row in ("Telemetry", "Telemetry 2"):
            seen.vanishes(row)


def records_lost(world):
    """The disk of the records is full: requests are answered, records are lost and counted."""
    with small_disk(world.root / "lost") as disk, world.beside("drop", policy=recorded(disk, "drop")) as seen:
        seen.summary(WELL)
        fill(disk)
        ask_until(seen, world, lambda: "records are lost" in seen.term("Records"))
        said = seen.appears("Records", "No space left on device", "warn")
        told_without_scripts(seen, said.split(", for ")[0])
        check(seen.agent.ask(world.frontend).allowed, "refused for the want of a record")
        seen.until("counted", lambda: int(seen.term("Audit records lost", "counters")) > 0)
        same(seen.level("Audit records lost", "counters"), "bad", "level")
        empty(disk)
        ask_until(seen, world, lambda: seen.term("Records") == "")


def records_required(world):
    """The same where no request is answered without its record."""
    with small_disk(world.root / "required") as disk, world.beside("deny", policy=recorded(disk, "deny")) as seen:
        seen.summary(WELL)
        fill(disk)
        ask_until(seen, world, lambda: "requests are refused" in seen.term("Records"))
        seen.appears("Records", "No space left on device", "bad")
        seen.page.until("unhealthy", "document.querySelector('#summary').textContent.startsWith('unhealthy; SPIRE Live')")
        check(not seen.agent.ask(world.frontend).allowed, "answered without its record")
        seen.until("its reason", lambda: seen.cell("answers", "OVERLOADED", 1) != "")
        empty(disk)
        ask_until(seen, world, lambda: seen.term("Records") == "")
        seen.summary(WELL)


def recorded(disk, on_full):
    return f'''allowlist {{ any #true }}
audit {{ on-full "{on_full}"; sink "file" path="{disk}/audit.jsonl" }}
'''


@contextlib.contextmanager
def small_disk(directory):
    directory.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "none", directory],
                          capture_output=True, text=True, check=False)
    if made.returncode != 0:
        raise places.Absent(f"no right to mount a disk that can be full: {made.stderr.strip()}")
    try:
        yield directory
    finally:
        subprocess.run(["umount", "--lazy", directory], check=True)


def fill(disk):
    filler = os.open(disk / "filler", os.O_WRONLY | os.O_CREAT)
    with contextlib.suppress(OSError):
        while True:
            os.write(filler, bytes(512))
    os.close(filler)


def empty(disk):
    (disk / "filler").unlink()


def ask_until(seen, world, probe):
    """Asks again and again, for only a record that is written tells how the disk is."""
    def asked():
        seen.agent.ask(world.frontend)
        return probe()
    seen.until("a change", asked)


def the_wrong_socket(world):
    """The socket of SPIRE's server in place of its agent's; and no policy, and no proxy that may ask."""
    flags = ["--trusted-proxy", f"uid:{os.getuid() + 1}"]
    with world.beside("wrong", world.server.socket, policy=None, flags=flags, answers=False) as seen:
        page = seen.page
        seen.appears("Fault", "SPIRE says that we call it wrongly", "bad")
        seen.appears("Away because", "", "warn")
        seen.appears("To do", "Workload API")
        seen.appears("Bundles confirmed", "never")
        seen.page.until("not ready", "document.querySelector('#summary').textContent.includes('; SPIRE Starting; ')")
        same(seen.level("Ready"), "warn", "readiness")
        for none in ("#domains-none", "#policies-none", "#proxies-none"):
            page.until(none, f"!document.querySelector('{none}').hidden")
        same(seen.term("Untrusted proxies turned away", "counters"), "0", "nobody asked yet")
        with contextlib.suppress(OSError):
            Client(seen.agent.socket).close()
        seen.until("one turned away", lambda: seen.term("Untrusted proxies turned away", "counters") == "1")


def bundles_unreadable(world):
    """A federated trust domain whose name is too long: it had no bundle before."""
    with federated(world, TOO_LONG) as partner:
        partner.federate()
        with world.beside("long", world.strict.socket) as seen:
            key = f"Bundle of spiffe://{TOO_LONG}"[:len("Bundle of ") + 80]
            said = seen.appears(key, "there is none before", "warn")
            told_without_scripts(seen, said.rsplit(": ", 1)[1])
            same(seen.page.text("#domain-list h3"), "example.org", "what can be read")


def bundle_kept(world):
    with federated(world, "elsewhere.test") as partner:
        partner.federate()
        with world.beside("large", world.strict.socket) as seen:
            heads = "[...document.querySelectorAll('#domain-list h3')].map((h) => h.textContent).join()"
            seen.page.until("both", f"{heads} === 'elsewhere.test,example.org'")
            own = certs.pem_to_der(world.server.bundle_pem())[0]
            partner.set(certs.pem(certs.unreadable(own)))
            seen.appears("Bundle of spiffe://elsewhere.test", "the one before counts until cache-ttl", "warn")
            caption = "document.querySelector('#domain-list caption').textContent"
            seen.page.until("kept", f"{caption}.endsWith('; the latest update held one that cannot be read')")
            partner.set("".join(certs.pem(certs.variant(own, number)) for number in range(20)))
            seen.vanishes("Bundle of spiffe://elsewhere.test")
            seen.page.until("a long bundle", f"{caption}.endsWith(', 20 in all')")
            partner.set(world.server.bundle_pem())
            seen.page.until("a short one", f"!{caption}.includes('in all')")


def updates_discarded(world):
    """A SPIRE of which nothing can be read: its own trust domain's name is too long."""
    address = world.root / "other.sock"
    with Server(world.root / "long-server", TOO_LONG) as server:
        with Agent(world.root / "long-node", server, allow_unauthenticated=True) as node:
            address.symlink_to(node.socket)
            with world.beside("discarded", address) as seen:
                said = seen.appears("Updates", "no bundle of the update can be read", "warn")
                check(said.startswith("discarded for "), said)
                told_without_scripts(seen, said.split(": ", 1)[1])
                node.stop()
                address.unlink()
                address.symlink_to(world.node.socket)
                seen.vanishes("Updates")
                seen.summary(WELL)


def stuck(world):
    """The threads that answer requests stand still, those of the page do not."""
    with world.beside("stuck") as seen:
        seen.summary(WELL)
        same(seen.term("Alive"), "yes", "a sign of life")
        with halted(seen.agent.child.pid, "agent"):
            said = seen.appears("Alive", "stuck: no sign of life", "bad")
            told_without_scripts(seen, said)
        seen.appears("Alive", "yes", "good")


@contextlib.contextmanager
def halted(pid, name):
    """Stops the threads of this name, and no other, as a debugger would (ptrace(2))."""
    attach, detach, every_kind_of_child = 16, 17, 0x40000000
    trace = ctypes.CDLL(None, use_errno=True).ptrace
    trace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
    tasks = [task for task in pathlib.Path(f"/proc/{pid}/task").iterdir() if (task / "comm").read_text().strip() == name]
    held = []
    try:
        for thread in [int(task.name) for task in tasks]:
            if trace(attach, thread, None, None) != 0:
                raise places.Absent(f"no right to trace: {os.strerror(ctypes.get_errno())}")
            os.waitpid(thread, every_kind_of_child)
            held.append(thread)
        check(held, f"no thread is called {name}")
        yield
    finally:
        for thread in held:
            trace(detach, thread, None, None)


def given_up(world):
    """What fails time and again is given up, and the agent with it: it answers what it has before it ends."""
    limits = "limits { validation-workers 2; decision-deadline-ms 20000 }"
    policy = f"allowlist {{ any #true }}\n{QUIET}\nagent {{ {limits} }}\n"
    with world.beside("giving-up", policy=policy) as seen, Client(seen.agent.socket, timeout_s=1) as client:
        seen.summary(WELL)
        for restarts in range(1, RESTARTS_MAX + 1):
            strike(seen, restarts)
        unanswered(world, seen.agent, client)
        seen.agent.order("kill audit")
        bad = "[...document.querySelectorAll('#places td[data-level=bad]')].map((cell) => cell.textContent).join()"
        seen.page.until("given up", f"{bad} === 'given up'")
        seen.page.until("draining", "document.querySelector('#summary').textContent.startsWith('draining; ')")
        same(seen.agent.child.wait(60), 70, "the exit code of giving up")


def strike(seen, restarts):
    """One more restart, seen; the later ones are waited for, and that is seen, too."""
    seen.agent.order("kill audit")
    if restarts > RESTARTS_MAX - 2:
        seen.until("restarting", lambda: seen.cell("places", "audit", 1) == "restarting")
    seen.until("a restart", lambda: seen.cell("places", "audit", 3) == str(restarts))
    seen.until("running", lambda: seen.cell("places", "audit", 1) == "running")


def unanswered(world, agent, client):
    """Leaves a request that waits for a checker of certificates."""
    for worker in ("worker-0", "worker-1"):
        agent.order(f"wedge {worker}")
    with contextlib.suppress(TimeoutError):
        # A certificate seen before needs no checker, and a wedge takes a moment.
        while True:
            client.ask(world.server.mint(NOBODY_YET, "1h").header())


def clock_set_back(world):
    with world.beside("clock") as seen:
        seen.summary(WELL)
        seen.agent.order(f"wall {-10 * A_DAY_MS}")
        seen.appears("Bundles confirmed", "in the future: was the clock set back?")
        left = "document.querySelector('#domain-list td.left')"
        seen.page.until("not yet valid", f"{left}.textContent.startsWith('unusable: ') && {left}.dataset.level === 'bad'")
        seen.agent.order(f"wall {10 * A_DAY_MS}")
        seen.page.until("valid", f"{left}.dataset.level === 'good'")


def silence(world):
    with world.beside("silence") as seen:
        seen.summary(WELL)
        seen.agent.child.send_signal(signal.SIGSTOP)
        try:
            seen.page.until("silence", "document.querySelector('#link').textContent.startsWith('nothing heard for ')")
            same(seen.page.run("document.querySelector('#link').dataset.level"), "bad", "level")
        finally:
            seen.agent.child.send_signal(signal.SIGCONT)
        seen.page.until("heard again", "document.querySelector('#link').textContent === 'following'")


def equal_denials(world):
    """A proxy that gives its requests one correlation id: a row each, and no more with every update."""
    with world.beside("equal") as seen, contextlib.ExitStack() as stack:
        clients = [stack.enter_context(Client(seen.agent.socket)) for _ in range(12)]
        for client in clients:
            client.send({}, correlation_id="the-same")
        seen.until("counted", lambda: seen.cell("answers", "NO_CREDENTIAL", 1) == "12")
        times = seen.page.run("latest.denials.map((denial) => denial.time)")
        check(len(times) > len(set(times)), f"no two at the same time: {times}")
        updates = seen.page.run("""new Promise((done) => {
            const events = new EventSource('/events');
            let count = 0;
            events.addEventListener('status', () => { count += 1; if (count === 4) { events.close(); done(count); } });
        })""")
        same(updates, 4, "updates")
        same(seen.page.run("document.querySelectorAll('#denial-list li').length"), len(times), "rows")


CASES = [
    ("the agent's socket is lost and found", socket_gone),
    ("SPIRE refuses, and the disk takes nothing", refused_with_a_broken_disk),
    ("bundles that were kept on disk", bundles_from_disk),
    ("another SPIRE than the policy's", another_spire),
    ("variables that cannot be followed", variables_unfit),
    ("records are lost on a full disk", records_lost),
    ("requests are refused on a full disk", records_required),
    ("the wrong socket, no policy, no trusted proxy", the_wrong_socket),
    ("a bundle that cannot be read", bundles_unreadable),
    ("a bundle that is kept", bundle_kept),
    ("updates that are discarded", updates_discarded),
    ("no sign of life", stuck),
    ("a part is given up", given_up),
    ("the clock is set back", clock_set_back),
    ("silence", silence),
    ("equal denials are as many rows", equal_denials),
]
