#!/usr/bin/env python3
"""The agent under test against a real SPIRE.

Every case states what it asks and what must come back; the harness around it
(`../lib`) starts real servers and agents on loopback and ends them.
"""

import contextlib
import pathlib
import shutil
import signal
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "lib"))

# pylint: disable=wrong-import-position
import places
import under_test as ut
from processes import wait_for
from rows import Suite, check, same
from spire import Agent, Server, Watch
from under_test import Load, UnderTest

DOMAIN = "example.org"
FRONTEND = f"spiffe://{DOMAIN}/frontend"
UNLISTED = f"spiffe://{DOMAIN}/unlisted"
MODES = ("fail_closed", "fail_open", "cache")
# What decisions.md allows for following an update: the design's own aim.
FOLLOW_S = 1.0
FIRST_DECISION_MS = 1000
# In the outage cases: short, so that a stop becomes an outage soon.
UNAVAILABLE_AFTER_MS = 1500


class World:
    """One SPIRE server and agent, shared by the cases of one variant."""

    def __init__(self, stack, root, variant):
        self.directory = pathlib.Path(root) / variant
        unauthenticated = variant == "unauthenticated"
        self.server = stack.enter_context(Server(self.directory / "server"))
        self.spire = stack.enter_context(Agent(self.directory / "node", self.server, unauthenticated))
        self.stack, self.count = stack, 0
        for spiffe_id in (FRONTEND, UNLISTED):
            self.server.register(spiffe_id, self.spire.id, self.spire.fetcher())
        watcher = f"unix:path:{places.peer('judge')}"
        self.server.register(f"spiffe://{DOMAIN}/watch", self.spire.id, watcher)
        if not unauthenticated:
            # The agent under test as an operator registers it.
            path = f"unix:path:{places.agent_binary()}"
            self.server.register(f"spiffe://{DOMAIN}/spiffe-agent", self.spire.id, path)
        self.frontend, self.unlisted = self.spire.svid(FRONTEND), self.spire.svid(UNLISTED)

    def place(self, name):
        self.count += 1
        return self.directory / f"{self.count}-{name}"

    def under_test(self, **settings):
        """An agent that has verified somebody already."""
        agent = self.stack.enter_context(UnderTest(self.place("agent"), self.spire.socket, **settings))
        agent.until_allowed(self.frontend)
        return agent

    @contextlib.contextmanager
    def agents(self, **settings):
        """One agent under test per mode, for one case."""
        with contextlib.ExitStack() as stack:
            started = {}
            for mode in MODES:
                agent = UnderTest(self.place(mode), self.spire.socket, mode=mode, **settings)
                started[mode] = stack.enter_context(agent)
            for agent in started.values():
                agent.until_allowed(self.frontend)
            yield started


def refused(agent, headers, status, what):
    reply = agent.ask(headers)
    same(reply.status, status, what)
    return reply


# Who is calling, and may they?

def listed_is_allowed(world, agent):
    spoofed = {**world.frontend.header(), ut.ID: ["spiffe://example.org/admin"], "X_SPIFFE_ID": ["x"]}
    reply = agent.ask(spoofed)
    same(reply.status, 200, "listed workload")
    upstream = reply.upstream(spoofed)
    same(upstream.get(ut.ID), [FRONTEND], ut.ID)
    same(upstream.get(ut.DOMAIN), [DOMAIN], ut.DOMAIN)
    same(upstream.get(ut.WORKLOAD), ["/frontend"], ut.WORKLOAD)
    same(upstream.get(ut.METHOD), ["spiffe"], ut.METHOD)
    check(abs(int(upstream[ut.TIMESTAMP][0]) - time.time()) < 5, "timestamp is now")
    check("x_spiffe_id" not in upstream, "the other spelling is gone")


def unlisted_is_403(world, agent):
    refused(agent, world.unlisted.header(), 403, "registered, not listed")


def other_server_is_401(world, agent):
    """Another server calling itself by our trust domain, and one by its own."""
    with Server(world.place("impostor")) as impostor:
        refused(agent, impostor.mint(FRONTEND).header(), 401, "same domain, other authority")
    with Server(world.place("foreign"), trust_domain="partner.test") as foreign:
        refused(agent, foreign.mint("spiffe://partner.test/frontend").header(), 401, "other domain")


def none_is_401(_world, agent):
    for headers in ({}, {"x-forwarded-client-cert": [""]}, {ut.ID: [FRONTEND]}):
        refused(agent, headers, 401, f"no credential: {headers}")


def expired_is_401(world, agent):
    svid = world.server.mint(FRONTEND, ttl="2s")
    refused(agent, svid.header(), 200, "before it expires")
    agent.until(svid.header(), lambda reply: reply.status == 401, "401 once expired", 15)


def first_decision(world):
    """From the start of the process to the first verified answer, SPIRE up."""
    with UnderTest(world.place("first"), world.spire.socket) as agent:
        agent.until_allowed(world.frontend)
        taken_ms = (time.monotonic() - agent.started) * 1000
    # The aim is 100 ms on a quiet machine; what is checked leaves room for a busy one.
    check(taken_ms <= FIRST_DECISION_MS, f"{taken_ms:.0f} ms")
    return f"{taken_ms:.0f} ms"


def unregistered_learns_nothing(world):
    """Neither an entry nor allow_unauthenticated_verifiers: no material, so no verdict but 503."""
    with Agent(world.place("strict"), world.server) as strict:
        world.server.register(FRONTEND, strict.id, strict.fetcher())
        svid = strict.svid(FRONTEND)
        with UnderTest(world.place("unregistered"), strict.socket, mode="fail_open") as agent:
            for _ in range(20):
                same(agent.ask(svid.header()).status, 503, "without material")
            world.server.register(f"spiffe://{DOMAIN}/spiffe-agent", strict.id, f"unix:path:{places.agent_binary()}")
            agent.until_allowed(svid)


# Rotation.

def rotation_is_followed(world, agent):
    """Prepare, activate, taint and revoke; each step counts from SPIRE's own delivery."""
    old = set(world.server.authorities())
    before = world.frontend
    with Watch(world.spire.socket, world.place("watch.log")) as watch:
        watch.delivered_at(DOMAIN, lambda anchors: anchors == old)
        world.server.activate(world.server.prepare())
        after = world.server.mint(FRONTEND)
        minted = time.time()
        _, allowed = agent.until_allowed(after)
        delivered = watch.delivered_at(DOMAIN, lambda anchors: anchors > old)
        added = allowed - max(minted, delivered)
        same(agent.ask(before.header()).status, 200, "an SVID of the old authority meanwhile")

        retired, rotations = world.server.old_authority(), world.spire.own_rotations()
        world.server.taint(retired)
        wait_for("SPIRE's agent leaves the old authority", lambda: world.spire.own_rotations() > rotations)
        world.frontend = wait_for_new_svid(world, before)
        world.server.revoke(retired)
        _, denied = agent.until(before.header(), lambda reply: reply.status == 401, "401 once revoked")
        delivered = watch.delivered_at(DOMAIN, lambda anchors: anchors and anchors.isdisjoint(old))
        removed = denied - delivered
    world.unlisted = world.spire.svid(UNLISTED)
    same(agent.ask(world.frontend.header()).status, 200, "an SVID of the new authority")
    check(added <= FOLLOW_S and removed <= FOLLOW_S, f"added after {added:.3f} s, removed after {removed:.3f} s")
    return f"added after {added * 1000:.0f} ms, removed after {removed * 1000:.0f} ms"


def wait_for_new_svid(world, before):
    def probe():
        svid = world.spire.svid(FRONTEND)
        return svid if svid.chain[0] != before.chain[0] else None
    return wait_for("a new SVID after taint", probe, every_s=0.2)


# Federation.

def federation_is_followed(world, agent):
    """A partner's bundle comes and goes with the agent's own entry; nobody else may sign for us meanwhile."""
    with Server(world.place("partner"), trust_domain="partner.test") as partner, \
            Server(world.place("third"), trust_domain="third.test") as third, \
            Watch(world.spire.socket, world.place("watch.log")) as watch:
        caller = partner.mint("spiffe://partner.test/cli")
        refused(agent, caller.header(), 401, "a partner before federation")
        world.server.federate(partner)
        for path in (places.agent_binary(), places.peer("judge")):
            world.server.register(f"spiffe://{DOMAIN}/federated", world.spire.id, f"unix:path:{path}",
                                  federates_with="spiffe://partner.test")
        _, allowed = agent.until_allowed(caller)
        added = allowed - watch.delivered_at("partner.test", bool)
        refused(agent, partner.mint("spiffe://partner.test/other").header(), 403, "a partner's, not listed")
        refused(agent, third.mint("spiffe://third.test/cli").header(), 401, "nobody's partner")

        world.server.part_from("partner.test")
        _, denied = agent.until(caller.header(), lambda reply: reply.status == 401, "401 once parted")
        removed = denied - watch.gone_at("partner.test")
    same(agent.ask(world.frontend.header()).status, 200, "our own caller")
    check(added <= FOLLOW_S and removed <= FOLLOW_S, f"added after {added:.3f} s, removed after {removed:.3f} s")
    return f"added after {added * 1000:.0f} ms, removed after {removed * 1000:.0f} ms"


# SPIRE's absence, under load, in each mode.

def callers(world, impostor):
    return [("listed", world.frontend.header()), ("unlisted", world.unlisted.header()),
            ("impostor", impostor.header()), ("none", {})]


VERIFIED = f"allow spiffe {FRONTEND}"
UNVERIFIED = "allow unverified-fail-open"
# What a caller may ever be answered, whatever SPIRE does.
MAY_HEAR = {
    "fail_closed": {"listed": {VERIFIED, "503"}, "unlisted": {"403", "503"}, "impostor": {"401", "503"}, "none": {"401"}},
    "cache": {"listed": {VERIFIED}, "unlisted": {"403"}, "impostor": {"401"}, "none": {"401"}},
    "fail_open": {"listed": {VERIFIED}, "unlisted": {"403"}, "impostor": {"401", UNVERIFIED}, "none": {"401"}},
}
# What it must hear while SPIRE is away.
AWAY = {
    "fail_closed": {"listed": "503", "impostor": "503"},
    "cache": {"listed": VERIFIED, "impostor": "401"},
    "fail_open": {"listed": VERIFIED, "impostor": UNVERIFIED},
}


def under_load(world, act, expect_away, **settings):
    """Loads an agent of each mode while `act(loads)` does something to SPIRE."""
    with Server(world.place("impostor")) as other:
        impostor = other.mint(FRONTEND)
    with world.agents(**settings) as agents, contextlib.ExitStack() as stack:
        loads = {}
        for mode, agent in agents.items():
            loads[mode] = stack.enter_context(Load(agent, callers(world, impostor)))
        for load in loads.values():
            load.wait("listed", lambda answer: answer == VERIFIED, "allowed before")
        note = act(loads)
        for load in loads.values():
            load.wait("listed", lambda answer: answer == VERIFIED, "allowed after")
            load.wait("impostor", lambda answer: answer == "401", "impostor refused after")
    for mode, load in loads.items():
        same(load.lost, [], f"{mode}: connections lost")
        for name in load.runs:
            heard = set(load.answers(name)) - {ut.OVERLOADED}
            may = MAY_HEAR[mode][name] if expect_away else {VERIFIED if name == "listed" else
                                                            {"unlisted": "403"}.get(name, "401")}
            check(heard <= may, f"{mode}: {name} heard {load.runs[name]}, may hear {sorted(may)}")
    answers = sum(load.count() for load in loads.values())
    overloaded = sum(load.count(ut.OVERLOADED) for load in loads.values())
    # A refusal for want of time is no wrong answer, as long as it is rare.
    check(overloaded <= answers // 100, f"{overloaded} of {answers} answers were OVERLOADED")
    return f"{note}; {answers} answers, {overloaded} overloaded"


def stopped(world, with_signal):
    def act(loads):
        world.spire.stop(with_signal)
        for mode, load in loads.items():
            for name, answer in AWAY[mode].items():
                load.wait(name, lambda heard, answer=answer: heard == answer, f"{mode}: {name} in the outage")
        if loads["fail_closed"].runs["listed"][0][1] != VERIFIED:
            raise AssertionError("the load began too late")
        world.spire.start()
        back = time.time()
        for load in loads.values():
            load.wait("listed", lambda answer: answer == VERIFIED, "allowed again")
        return f"allowed again {(time.time() - back) * 1000:.0f} ms after SPIRE was healthy"
    return under_load(world, act, True, unavailable_after_ms=UNAVAILABLE_AFTER_MS)


def restarted(world):
    """Shorter away than unavailable-after-ms: nobody hears anything of it, in any mode."""
    def act(_loads):
        world.spire.stop()
        return f"SPIRE back after {world.spire.start():.1f} s"
    return under_load(world, act, False)


def upgraded(world):
    """Another binary takes over the data directory and the socket, as a package upgrade does it."""
    this, other = places.peer("spire-agent"), world.place("spire-agent")
    shutil.copy(this, other)
    world.server.register(FRONTEND, world.spire.id, f"unix:path:{other}")
    world.spire.stop()
    world.spire.start(other)

    def act(_loads):
        world.spire.stop()
        return f"SPIRE back after {world.spire.start(this):.1f} s"
    try:
        return under_load(world, act, False)
    finally:
        if world.spire.binary != this:
            world.spire.stop()
            world.spire.start(this)


# Nested SPIRE.

def nested(world, agent):
    """A server below ours: its chains carry an intermediate, its bundle is ours."""
    world.server.register(f"spiffe://{DOMAIN}/nested-server", world.spire.id,
                          f"unix:path:{places.peer('spire')}", downstream=True)
    # Registered later, so when the node knows this one it knows the other: a
    # nested server that finds no entry for itself does not start.
    later = f"spiffe://{DOMAIN}/later"
    world.server.register(later, world.spire.id, world.spire.fetcher())
    world.spire.svid(later)
    with Server(world.place("nested-server"), upstream=world.spire) as server, \
            Agent(world.place("nested-node"), server) as below:
        server.register(FRONTEND, below.id, below.fetcher())
        server.register(f"spiffe://{DOMAIN}/spiffe-agent", below.id, f"unix:path:{places.agent_binary()}")
        svid = below.svid(FRONTEND)
        check(len(svid.chain) > 1, "the chain carries an intermediate")
        same(agent.ask(svid.header()).status, 200, "leaf and intermediate")
        same(agent.ask(svid.header(with_chain=False)).status, 401, "leaf without its intermediate")
        with UnderTest(world.place("below"), below.socket) as at_the_bottom:
            at_the_bottom.until_allowed(svid)
            same(at_the_bottom.ask(world.frontend.header()).status, 200, "an SVID of the server above")
        return f"chain of {len(svid.chain)}"


def identity_cases(suite, world, variant):
    agent = world.under_test()
    suite.case(f"{variant}: listed, allowed with its headers", listed_is_allowed, world, agent)
    suite.case(f"{variant}: registered, not listed: 403", unlisted_is_403, world, agent)
    suite.case(f"{variant}: another SPIRE server's: 401", other_server_is_401, world, agent)
    suite.case(f"{variant}: none: 401", none_is_401, world, agent)
    suite.case(f"{variant}: rotation followed", rotation_is_followed, world, agent)
    return agent


def registered_cases(suite, world):
    agent = identity_cases(suite, world, "registered")
    suite.case("expired: 401", expired_is_401, world, agent)
    suite.case("first verified decision", first_decision, world)
    suite.case("federation followed", federation_is_followed, world, agent)
    suite.case("nested SPIRE", nested, world, agent)
    suite.case("SPIRE agent stopped and back", stopped, world, signal.SIGTERM)
    suite.case("SPIRE agent killed and back", stopped, world, signal.SIGKILL)
    suite.case("SPIRE agent restarted", restarted, world)
    suite.case("SPIRE agent upgraded", upgraded, world)
    suite.case("agent itself not registered", unregistered_learns_nothing, world)


def variant_of(suite, cases, variant):
    """Sets the world of a variant up (a row of its own) and runs its cases."""
    with tempfile.TemporaryDirectory(prefix="peers-") as root, contextlib.ExitStack() as stack:
        worlds = []
        if suite.must(f"{variant}: SPIRE starts", lambda: worlds.append(World(stack, root, variant))):
            try:
                cases(suite, *worlds)
            except Exception as error:  # pylint: disable=broad-except
                suite.must(f"{variant}: agent starts", raiser(error))


def raiser(error):
    def body():
        raise error
    return body


def main():
    suite = Suite("spire")
    variant_of(suite, registered_cases, "registered")
    variant_of(suite, lambda s, world: identity_cases(s, world, "unauthenticated"), "unauthenticated")
    sys.exit(1 if suite.failed else 0)


if __name__ == "__main__":
    main()
