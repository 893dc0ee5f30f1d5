#!/usr/bin/env python3
"""The status page in a real browser: things are broken, and each element is seen to change.

    suite.py                   the cases
    suite.py picture DIR       writes page-light.png and page-dark.png

HOOKED_AGENT_BIN is an agent built with its chaos hooks.
"""

import contextlib
import datetime
import html
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "lib")]

# pylint: disable=wrong-import-position
import places
from browser import Browser
from processes import Late, free_port, wait_for
from rows import Suite, check, same
from sentinel_v2 import Client, ProtocolError
from spire import Agent, Server

FRONTEND = "spiffe://example.org/frontend"
STRANGER = "spiffe://example.org/stranger"
OURS = "spiffe://example.org/spiffe-agent"
HOSTILE = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
POLICY = f"""
spire {{ unavailable-after-ms 2000 }}
allowlist {{ exact "{FRONTEND}" }}
audit {{ log-success #false; log-failure #false }}
agent {{ accept-pushed-config #true; limits {{ decision-deadline-ms 20000 }} }}
"""
A_DAY_MS = 24 * 3600 * 1000


class Hooked:
    """A running agent that obeys orders on standard input."""

    def __init__(self, directory, spire_socket, policy=POLICY, flags=(), environment=None, answers=True):
        binary = os.environ.get("HOOKED_AGENT_BIN")
        if not binary:
            raise places.Absent("HOOKED_AGENT_BIN names no agent with chaos hooks")
        self.directory = pathlib.Path(directory)
        self.directory.mkdir()
        self.socket, self.port = self.directory / "agent.sock", free_port()
        self.command = [binary, "--socket", self.socket, "--spire-socket", spire_socket,
                        "--admin-address", f"127.0.0.1:{self.port}", *flags]
        if policy is not None:
            (self.directory / "agent.kdl").write_text(policy)
            self.command += ["--config", self.directory / "agent.kdl"]
        self.environment, self.answers = environment or {}, answers
        self.child = None

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/"

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def start(self):
        log = (self.directory / "agent.log").open("ab")
        self.child = subprocess.Popen(  # pylint: disable=consider-using-with
            self.command, stdin=subprocess.PIPE, stdout=log, stderr=log,
            env={**os.environ, "CHAOS_CLOCK": "driven", **self.environment})
        wait_for("the agent listens", self._listens)

    def _listens(self):
        check(self.child.poll() is None, f"the agent ended with {self.child.poll()}")
        try:
            if self.answers:
                Client(self.socket).close()
            with urllib.request.urlopen(self.url, timeout=10):
                return True
        except (OSError, ProtocolError):
            return False

    def stop(self):
        if self.child and self.child.poll() is None:
            self.child.terminate()
            self.child.wait(40)

    def order(self, line):
        self.child.stdin.write(line.encode() + b"\n")
        self.child.stdin.flush()

    def ask(self, svid=None, request_id=None):
        with Client(self.socket) as client:
            return client.ask(svid.header() if svid else {}, request_id=request_id)


class Sight:
    """An agent, and somebody who looks at its page."""

    def __init__(self, agent, page):
        self.agent, self.page = agent, page
        page.size(1100, 900)
        page.open(agent.url)

    def cell(self, body, row, column):
        """The text of a cell, its row known by its header."""
        return self.page.run(f"""(() => {{
            const rows = [...document.querySelectorAll('#{body} tr')];
            const row = rows.find((row) => row.children[0].textContent === {json.dumps(row)});
            return row ? row.children[{column}].textContent : '';
        }})()""")

    def term(self, name, within="now-list", what="textContent"):
        """The value beside a term."""
        return self.page.run(f"""(() => {{
            const dt = [...document.querySelectorAll('#{within} dt')].find((dt) => dt.textContent === {json.dumps(name)});
            return dt ? dt.nextElementSibling.{what} ?? '' : '';
        }})()""")

    def level(self, name, within="now-list"):
        return self.term(name, within, "dataset.level")

    def appears(self, name, text, level=None):
        """Waits for a term of the first list whose value holds the text, at this level; returns the value."""
        def probe():
            said = self.term(name)
            return said if said and text in said else None
        try:
            said = self.until(f"{name}: {text}", probe)
        except Late as late:
            raise Late(f"{late}; it says {self.term(name)!r}") from late
        if level:
            same(self.level(name), level, name)
        return said

    def vanishes(self, name):
        self.until(f"no {name}", lambda: self.term(name) == "")

    def summary(self, text):
        self.page.until(text, f"document.querySelector('#summary').textContent === {json.dumps(text)}")

    def snapshot(self):
        """What somebody without scripts is told now."""
        with urllib.request.urlopen(self.agent.url, timeout=10) as answer:
            document = answer.read().decode()
        return html.unescape(document.split("<pre>", 1)[1].split("</pre>", 1)[0])

    def until(self, what, probe):
        return wait_for(what, probe, every_s=0.05)


class World(Sight):
    """SPIRE, the agent, a browser; and more agents, each for one thing that is broken."""

    def __init__(self, stack, root):
        self.root = root = pathlib.Path(root)
        self.server = stack.enter_context(Server(root / "server", ca_ttl="72h"))
        self.node = stack.enter_context(Agent(root / "node", self.server, allow_unauthenticated=True))
        # Asks who wants its bundles: only who has an entry gets some.
        self.strict = stack.enter_context(Agent(root / "strict", self.server))
        agent = stack.enter_context(Hooked(root / "agent", self.node.socket))
        self.browser = stack.enter_context(Browser(root))
        self.frontend = self.server.mint(FRONTEND, "2h")
        self.stranger = self.server.mint(STRANGER, "2h")
        super().__init__(agent, self.browser.page())

    @contextlib.contextmanager
    def beside(self, name, spire_socket=None, **options):
        """One more agent and its page."""
        with Hooked(self.root / name, spire_socket or self.node.socket, **options) as agent:
            seen = Sight(agent, self.browser.page())
            try:
                yield seen
                same(real(seen), [], "the browser's complaints")
            finally:
                seen.page.close()

    def register(self, federates_with=None):
        """An entry for the agents at `strict`; returns its id."""
        selector = f"unix:path:{pathlib.Path(self.agent.command[0]).resolve()}"
        return self.server.register(OURS, self.strict.id, selector, federates_with=federates_with)


def it_loads(world):
    page = world.page
    page.until("healthy", "document.querySelector('#summary').textContent === 'healthy; SPIRE Live; ready'")
    same(page.text("#link"), "following", "the stream")
    loaded = page.run("performance.getEntriesByType('resource').map((r) => r.name)")
    same([name for name in loaded if name != f"{world.agent.url}events"], [], "what was loaded besides the page")
    for name, value in (("Health", "healthy"), ("Ready", "ready"), ("Alive", "yes")):
        same((world.term(name), world.level(name)), (value, "good"), name)
    check(world.term("SPIRE").startswith("Live for "), world.term("SPIRE"))
    check(world.term("Bundles confirmed").endswith(" ago"), world.term("Bundles confirmed"))
    same(world.term("Fault"), "none of ours", "fault")
    up = world.term("Up for")
    world.until("time", lambda: world.term("Up for") != up)
    same(page.complaints(), [], "the browser's complaints")


def decisions_are_counted(world):
    before = int(world.cell("answers", "verified", 1) or 0)
    for _ in range(3):
        check(world.agent.ask(world.frontend).allowed, "a listed caller is denied")
    world.until("the count", lambda: world.cell("answers", "verified", 1) == str(before + 3))
    world.until("the peak", lambda: int(world.cell("answers", "verified", 3)) >= 1)
    curve = "document.querySelector('#answers polyline').getAttribute('points').split(' ')"
    world.page.until("the curve", f"{curve}.some((point) => Number(point.split(',')[1]) < 22)")
    check(world.term("Remembered", "counters").endswith("credentials"), world.term("Remembered", "counters"))


def denials_are_explained(world):
    page = world.page
    page.until("nobody was denied", "!document.querySelector('#denials-none').hidden")
    check(not world.agent.ask(world.stranger, request_id=HOSTILE).allowed, "a stranger is allowed")
    item = "document.querySelector('#denial-list li')"
    page.until("the denial", f"{item}?.textContent.includes('NOT_ALLOWED 403')")
    check(page.run("document.querySelector('#denials-none').hidden"), "it still says that nobody was denied")
    text = page.run(f"{item}.textContent")
    for part in (STRANGER, "Do: add the ID", HOSTILE):
        check(part in text, f"{part!r} is not in {text!r}")
    same(page.run("document.querySelectorAll('img, main script').length"), 0, "elements made of a hostile text")
    check(page.run("document.title") != "owned", "a hostile text was run")
    # Opened, it stays open while the page goes on.
    page.run(f"{item}.querySelector('summary').focus()")
    page.press("Enter")
    page.until("opened", f"{item}.querySelector('details').open")
    world.agent.ask(None)
    page.until("the next denial", "document.querySelectorAll('#denial-list li').length === 2")
    check(page.run("document.querySelectorAll('#denial-list li')[1].querySelector('details').open"), "it closed")
    check(page.run("document.activeElement.tagName") == "SUMMARY", "the focus was lost")
    world.until("counted", lambda: world.cell("answers", "NO_CREDENTIAL", 1) == "1")


def restarts_are_shown(world):
    same(world.cell("places", "bundles", 3), "0", "restarts")
    world.agent.order("kill bundles")
    world.until("a restart", lambda: world.cell("places", "bundles", 3) == "1")
    check(world.cell("places", "bundles", 4).startswith("was killed, "), world.cell("places", "bundles", 4))
    world.until("running", lambda: world.cell("places", "bundles", 1) == "running")
    world.agent.order("kill admin")
    world.until("its own restart", lambda: world.cell("places", "admin", 3) == "1")


def an_outage_is_followed(world):
    page = world.page
    world.node.stop()
    for state in ("Interrupted", "Outage"):
        page.until(state, f"document.querySelector('#bars rect[data-state={state}]') !== null")
    page.until("the summary", "document.querySelector('#summary').textContent.startsWith('unhealthy; SPIRE Outage')")
    same(world.term("Ready"), "ready", "readiness in an outage")
    same(world.level("Health"), "bad", "an outage's level")
    world.appears("Away because", "", "warn")
    world.appears("To do", "SPIRE")
    check("refused" in world.term("Requests"), world.term("Requests"))
    same(page.run("document.querySelectorAll('#lanes div').length"), 5, "lanes")
    check(page.text("#axis-from").endswith(" ago"), page.text("#axis-from"))
    rows = page.run("[...document.querySelectorAll('#changes tr')].slice(0, 2).map((row) => row.children[1].textContent).join()")
    same(rows, "Outage,Interrupted", "the newest changes")
    same(page.run("document.querySelector('#changes tr').children[3].textContent"), "time", "the cause of the outage")
    check("Outage for" in page.run("document.querySelector('#bars').getAttribute('aria-label')"), "not told")
    check("SPIRE is Outage" in page.text("#news"), page.text("#news"))
    check(not world.agent.ask(world.frontend).allowed, "fail_closed let somebody pass")
    world.until("its reason", lambda: world.cell("answers", "TRUST_UNAVAILABLE", 1) == "1")
    world.node.start()
    page.until("Live again", "document.querySelector('#summary').textContent === 'healthy; SPIRE Live; ready'")
    check("SPIRE is Live" in page.text("#news"), page.text("#news"))
    world.vanishes("Away because")
    world.vanishes("To do")


def authorities_count_down(world):
    page = world.page
    left = "document.querySelector('#domain-list td.left')"
    same(page.text("#domain-list h3"), "example.org", "the trust domain")
    same(page.run(f"{left}.dataset.level"), "good", "an authority of three days")
    check(world.page.text("#domain-list caption").startswith("Generation 1, confirmed"), page.text("#domain-list caption"))
    left_ms = ends_in_ms(world)
    world.agent.order(f"wall {left_ms - A_DAY_MS // 2}")
    page.until("less than a day left", f"{left}.dataset.level === 'warn'")
    world.agent.order(f"wall {A_DAY_MS // 2 - 60_000}")
    page.until("less than an hour left", f"{left}.dataset.level === 'bad' && {left}.textContent.startsWith('ends in')")
    before = page.text("#domain-list td.left")
    page.until("counting down", f"{left}.textContent !== {json.dumps(before)}")
    world.agent.order(f"wall {A_DAY_MS}")
    page.until("ended", f"{left}.textContent.startsWith('ended')")
    check(not world.agent.ask(world.frontend).allowed, "an authority that has ended verifies")
    world.appears("Nobody of example.org", "is verified: ", "bad")
    world.appears("To do for example.org", "")
    world.agent.order(f"wall {-left_ms - A_DAY_MS + 60_000}")
    world.vanishes("Nobody of example.org")


def ends_in_ms(world):
    """Until the end of the first authority, by the agent's clock."""
    with urllib.request.urlopen(f"{world.agent.url}status", timeout=10) as answer:
        status = json.load(answer)
    now = datetime.datetime.fromisoformat(status["time"].replace("Z", "+00:00"))
    return int(1000 * (status["trust"]["domains"][0]["authorities"][0]["not_after"] - now.timestamp()))


def policies_are_shown(world):
    page = world.page
    check(FRONTEND in page.text("#policy-list"), page.text("#policy-list"))
    same(page.run("document.querySelectorAll('#policy-list dl').length"), 1, "policies")
    with Client(world.agent.socket) as client:
        client.configure({"allowlist": {"prefix": "spiffe://example.org/pushed/"}, "failure": {"enforce": False}})
        page.until("the pushed one", "document.querySelectorAll('#policy-list dl').length === 2")
        check("no: decided and recorded only" in page.text("#policy-list"), "a roll-out is not told")
        check(client.ask(world.stranger.header()).allowed, "a roll-out refuses")
        first = "document.querySelector('#denial-list li h3')"
        page.until("let pass", f"{first}?.textContent === 'NOT_ALLOWED let pass' && {first}.dataset.level === 'warn'")
        world.until("counted", lambda: world.cell("answers", "unverified-not-enforced", 1) == "1")
    page.until("gone with its connection", "document.querySelectorAll('#policy-list dl').length === 1")
    same(world.cell("settings", "agent.admin-address", 2), "--admin-address", "the source of a setting")
    same(world.cell("settings", "spire.unavailable-after-ms", 1), "2000", "a setting")
    build = {"Process": str(world.agent.child.pid), "Build": "debug", "Socket path": str(world.agent.socket),
             "File": str(world.agent.directory / "agent.kdl"), "SPIRE's socket": str(world.node.socket)}
    same({name: world.term(name, "build") for name in build}, build, "the process")


def updates_can_be_paused(world):
    page = world.page
    page.run("document.querySelector('#pause').focus()")
    page.press("Enter")
    page.until("paused", "document.querySelector('#pause').getAttribute('aria-pressed') === 'true'")
    before = world.cell("answers", "verified", 1)
    check(world.agent.ask(world.frontend).allowed, "denied")
    seen = page.run("""new Promise((done) => {
        const events = new EventSource('/events');
        let count = 0;
        events.addEventListener('status', () => { count += 1; if (count === 3) { events.close(); done(count); } });
    })""")
    same(seen, 3, "events meanwhile")
    same(world.cell("answers", "verified", 1), before, "a count while paused")
    page.press("Enter")
    world.until("following again", lambda: world.cell("answers", "verified", 1) == str(int(before) + 1))


def its_end_is_shown(world):
    page = world.page
    world.agent.stop()
    page.until("lost", "document.querySelector('#link').textContent === 'the agent does not answer'")
    same(page.run("document.querySelector('#link').dataset.level"), "bad", "level")
    world.agent.start()
    page.until("found again", "document.querySelector('#link').textContent === 'following'")
    page.until("ready", "document.querySelector('#summary').textContent === 'healthy; SPIRE Live; ready'")


def without_scripts(world):
    page = world.browser.page()
    page.open(world.agent.url, scripts=False)
    wait_for("the snapshot", lambda: "|- audit" in page.text("noscript pre"))
    check("healthy, ready; SPIRE Live" in page.text("noscript pre"), page.text("noscript pre"))


def main():
    if sys.argv[1:2] == ["picture"]:
        pictures(pathlib.Path(sys.argv[2]))
        return
    # pylint: disable=import-outside-toplevel
    import looks
    import more
    import troubles
    suite, worlds = Suite("page"), []
    with tempfile.TemporaryDirectory(prefix="peers-") as root, contextlib.ExitStack() as stack:
        if suite.must("SPIRE, agent and browser start", lambda: worlds.append(World(stack, root))):
            cases = [
                ("it loads, and nothing from elsewhere", it_loads),
                ("decisions are counted", decisions_are_counted),
                ("denials are explained, hostile texts are texts", denials_are_explained),
                ("restarts are shown", restarts_are_shown),
                ("an outage is followed", an_outage_is_followed),
                ("policies and settings are shown", policies_are_shown),
                ("updates can be paused", updates_can_be_paused),
                *looks.CASES,
                ("without scripts", without_scripts),
                *troubles.CASES,
                *more.CASES,
                ("authorities count down to their end", authorities_count_down),
                ("the agent's end is shown", its_end_is_shown),
                ("the browser complained of nothing", lambda world: same(real(world), [], "complaints")),
            ]
            for name, body in cases:
                suite.case(name, body, *worlds)
    sys.exit(1 if suite.failed else 0)


def real(world):
    """Complaints but those of a stream that broke off because the agent was stopped."""
    return [text for text in world.page.complaints() if "ERR_" not in text]


def pictures(directory):
    """For the README: a page with something on it."""
    with tempfile.TemporaryDirectory(prefix="peers-") as root, contextlib.ExitStack() as stack:
        world = World(stack, root)
        it_loads(world)
        for _ in range(40):
            world.agent.ask(world.frontend)
        world.agent.ask(world.stranger)
        world.agent.ask(None)
        an_outage_is_followed(world)
        for _ in range(40):
            world.agent.ask(world.frontend)
        restarts_are_shown(world)
        world.until("counted", lambda: int(world.cell("answers", "verified", 1)) >= 80)
        for scheme in ("light", "dark"):
            world.page.scheme(scheme)
            world.page.picture(directory / f"page-{scheme}.png")


if __name__ == "__main__":
    main()
