"""A headless Chromium, driven over the DevTools protocol by a pair of pipes: no library, no port."""

import base64
import contextlib
import fcntl
import json
import os
import pathlib
import select
import shutil
import subprocess
import time

import places

# Longer than a page takes on a busy machine with two cores.
DEADLINE_S = 60.0
KEYS = {"Tab": 9, "Enter": 13}


class Browser:
    """A browser with a profile of its own; a context manager that ends it."""

    def __init__(self, directory):
        binary = os.environ.get("CHROMIUM") or shutil.which("chromium")
        if binary is None:
            raise places.Absent("no chromium: apt-get install chromium, or set CHROMIUM")
        to_us, from_it = os.pipe()
        from_us, to_it = os.pipe()
        # It reads from descriptor 3 and writes to descriptor 4.
        ends = [fcntl.fcntl(fd, fcntl.F_DUPFD, 32) for fd in (from_us, from_it)]
        log = (pathlib.Path(directory) / "chromium.log").open("wb")
        self.child = subprocess.Popen(  # pylint: disable=consider-using-with
            [binary, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
             "--remote-debugging-pipe", "--no-first-run", f"--user-data-dir={directory}/profile", "about:blank"],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=(3, 4),
            preexec_fn=lambda: (os.dup2(ends[0], 3), os.dup2(ends[1], 4)),  # pylint: disable=subprocess-popen-preexec-fn
        )
        for fd in (*ends, from_us, from_it):
            os.close(fd)
        self.reading, self.writing = to_us, to_it
        self.unread, self.count, self.events = b"", 0, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(OSError):
            os.close(self.writing)
        self.child.terminate()
        try:
            self.child.wait(15)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        os.close(self.reading)

    def page(self):
        """A new tab."""
        target = self.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self.call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        return Page(self, session, target)

    def call(self, method, params=None, session=None):
        """One command and its result."""
        self.count += 1
        message = {"id": self.count, "method": method, "params": params or {}}
        if session:
            message["sessionId"] = session
        os.write(self.writing, json.dumps(message).encode() + b"\0")
        until = time.monotonic() + DEADLINE_S
        while True:
            answer = self._receive(until)
            if answer.get("id") != self.count:
                self.events.append(answer)
                continue
            if "error" in answer:
                raise RuntimeError(f"{method}: {answer['error']}")
            return answer["result"]

    def _receive(self, until):
        while b"\0" not in self.unread:
            ready, _, _ = select.select([self.reading], [], [], max(0.0, until - time.monotonic()))
            part = os.read(self.reading, 1 << 20) if ready else b""
            if not part:
                raise TimeoutError(f"the browser said nothing (exit code {self.child.poll()})")
            self.unread += part
        message, self.unread = self.unread.split(b"\0", 1)
        return json.loads(message)


class Page:
    """One tab."""

    def __init__(self, browser, session, target):
        self.browser, self.session, self.target = browser, session, target
        for domain in ("Page", "Runtime", "Log", "Accessibility"):
            self.call(f"{domain}.enable")

    def call(self, method, params=None):
        return self.browser.call(method, params, self.session)

    def close(self):
        self.browser.call("Target.closeTarget", {"targetId": self.target})

    def open(self, url, scripts=True):
        self.call("Emulation.setScriptExecutionDisabled", {"value": not scripts})
        self.call("Page.navigate", {"url": url})
        self.until("the page", f"document.readyState === 'complete' && location.href === {json.dumps(url)}")

    def run(self, expression):
        """The value of an expression of JavaScript."""
        answer = self.call("Runtime.evaluate", {"expression": expression, "returnByValue": True, "awaitPromise": True})
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def text(self, selector):
        """What stands there now, or an empty text."""
        return self.run(f"(document.querySelector({json.dumps(selector)})?.textContent ?? '').trim()")

    def until(self, what, expression, deadline_s=DEADLINE_S):
        """Asks until the expression is true; returns its value."""
        end = time.monotonic() + deadline_s
        while True:
            value = self.run(expression)
            if value:
                return value
            if time.monotonic() > end:
                raise TimeoutError(f"{what}: not within {deadline_s:.0f} s; the page says {self.text('#summary')!r}")
            time.sleep(0.05)

    def scheme(self, scheme):
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", {"features": features})

    def size(self, width, height, mobile=False):
        self.call("Emulation.setDeviceMetricsOverride",
                  {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile})

    def press(self, key):
        for kind in ("keyDown", "keyUp"):
            event = {"type": kind, "key": key, "code": key, "windowsVirtualKeyCode": KEYS[key]}
            if key == "Enter":
                event["text"] = "\r"
            self.call("Input.dispatchKeyEvent", event)

    def picture(self, path):
        data = self.call("Page.captureScreenshot", {"format": "png"})["data"]
        pathlib.Path(path).write_bytes(base64.b64decode(data))

    def complaints(self):
        """What the browser has logged as wrong: refused by the policy, thrown by the script."""
        self.run("0")
        wrong = []
        for event in self.browser.events:
            if event.get("sessionId") != self.session:
                continue
            if event["method"] == "Runtime.exceptionThrown":
                wrong.append(event["params"]["exceptionDetails"]["text"])
            if event["method"] == "Log.entryAdded" and event["params"]["entry"]["level"] in ("error", "warning"):
                wrong.append(event["params"]["entry"]["text"])
        return wrong

    def named_roles(self):
        """(role, name) of everything that assistive technology is told of."""
        nodes = self.call("Accessibility.getFullAXTree")["nodes"]
        seen = [node for node in nodes if not node.get("ignored")]
        return [(node.get("role", {}).get("value", ""), node.get("name", {}).get("value", "").strip()) for node in seen]
