"""A real browser without a window, spoken to over a pipe: pages are opened, clicked, read and photographed."""

import base64
import glob
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
CACHES = ("~/.cache/ms-playwright/chromium*/chrome-linux*/*", "~/.cache/puppeteer/chrome*/*/chrome-linux*/*")
KEYS = {"Enter": ("\r", 13), "Tab": ("\t", 9), "/": ("/", 191)}
# The browser reads commands from file descriptor 3 and answers on 4.
START = (
    "import os, sys, fcntl; r, w = (fcntl.fcntl(int(fd), fcntl.F_DUPFD, 10) for fd in sys.argv[1:3]);"
    "os.dup2(r, 3); os.dup2(w, 4); os.execv(sys.argv[3], sys.argv[3:])"
)


def executable():
    """The path of a browser of the Chromium family, or None."""
    for name in NAMES:
        if path := shutil.which(name):
            return path
    cached = [path for pattern in CACHES for path in glob.glob(os.path.expanduser(pattern))]
    named = (path for path in cached if Path(path).name in (*NAMES, "headless_shell"))
    return next((path for path in named if os.access(path, os.X_OK)), None)


class Browser:
    """One page. `faults` gathers console errors, uncaught exceptions and requests that leave the machine."""

    def __init__(self, folder, width=1280, height=900, dark=False):
        theirs, self.out = os.pipe()
        self.back, answers = os.pipe()
        flags = (
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--hide-scrollbars",
            "--remote-debugging-pipe",
        )
        quiet = (
            "--no-first-run",
            "--disable-extensions",
            "--disable-background-networking",
            "--disable-sync",
        )
        launch = [sys.executable, "-c", START, str(theirs), str(answers), executable(), *flags, *quiet]
        self.process = subprocess.Popen(
            [*launch, f"--user-data-dir={folder}", "about:blank"],
            pass_fds=(theirs, answers),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(theirs)
        os.close(answers)
        self.number, self.session, self.buffer, self.faults, self.loaded = 0, None, b"", [], 0
        (page,) = [each for each in self.ask("Target.getTargets")["targetInfos"] if each["type"] == "page"]
        attached = self.ask("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        self.session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")
        self.resize(width, height)
        if dark:
            scheme = {"name": "prefers-color-scheme", "value": "dark"}
            self.ask("Emulation.setEmulatedMedia", features=[scheme])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.session = None
        self.ask("Browser.close")
        self.process.wait(20)
        os.close(self.out)
        os.close(self.back)

    def ask(self, method, **parameters):
        """The answer to a command; what happens meanwhile is noted."""
        self.number += 1
        asked = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            asked["sessionId"] = self.session
        os.write(self.out, json.dumps(asked).encode() + b"\0")
        while True:
            told = self.message()
            if told.get("id") == self.number:
                assert "error" not in told, told["error"]
                return told["result"]
            self.note(told.get("method"), told.get("params", {}))

    def message(self):
        while b"\0" not in self.buffer:
            read = os.read(self.back, 1 << 20)
            assert read, "the browser has gone"
            self.buffer += read
        first, _, self.buffer = self.buffer.partition(b"\0")
        return json.loads(first)

    def note(self, event, facts):
        if event == "Page.loadEventFired":
            self.loaded += 1
        elif event == "Runtime.exceptionThrown":
            self.faults.append(facts["exceptionDetails"])
        elif event == "Runtime.consoleAPICalled" and facts["type"] in ("error", "warning", "assert"):
            self.faults.append(facts["args"])
        elif event == "Log.entryAdded" and facts["entry"]["level"] in ("error", "warning"):
            self.faults.append(facts["entry"])
        elif event == "Network.requestWillBeSent" and facts["request"]["url"].startswith(
            ("http", "ws", "ftp")
        ):
            self.faults.append(facts["request"]["url"])

    def open(self, path):
        loaded = self.loaded
        self.ask("Page.navigate", url=path.as_uri())
        while self.loaded == loaded:
            told = self.message()
            self.note(told.get("method"), told.get("params", {}))

    def run(self, script):
        """The value of an expression in the page."""
        answer = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key):
        text, code = KEYS[key]
        shared = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.ask("Input.dispatchKeyEvent", type="keyDown", text="" if key == "Tab" else text, **shared)
        self.ask("Input.dispatchKeyEvent", type="keyUp", **shared)

    def resize(self, width, height):
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.ask("Emulation.setDeviceMetricsOverride", **size)

    def photograph(self, path):
        path.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"]))
