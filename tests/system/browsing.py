"""The page as a person has it: Chromium at the width of a desk or of a phone, and what is measured meanwhile."""

import contextlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

LOCALE = "de-DE"
ELSEWHERE = "elsewhere.test"
"""A name of this machine which to a browser is another one: over plain http it lacks what it has at home."""
WIDTHS = {"desktop": (1280, 860), "phone": (360, 740)}
_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")

# Taken down before anything is shown: how far things jumped that nobody touched, and every event that a job took.
_WATCH = """
window.shifted = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shifted += entry.value;
}).observe({ type: "layout-shift", buffered: true });
window.taken = {};
window.states = [];
new MutationObserver((records) => {
  for (const { target, attributeName, oldValue } of records) {
    if (attributeName === "data-state") window.states.push(target.dataset.state);
    else if (oldValue !== null) (window.taken[target.id] ??= []).push(Number(oldValue));
  }
}).observe(document, { subtree: true, attributeOldValue: true, attributeFilter: ["data-seq", "data-state"] });
"""


def chromium_path() -> str | None:
    """Where Chromium is, if it is."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


@dataclass
class Browser:
    """One tab. `frames` holds what its sockets sent, `complaints` what console and scripts complained of."""

    tab: object
    frames: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def open(self, url: str) -> None:
        self.tab.goto(url)

    def sign_in(self, email: str, password: str) -> None:
        self.tab.get_by_label("Email").fill(email)
        self.tab.get_by_label("Password").fill(password)
        self.tab.get_by_role("button", name="Sign in").click()
        self.live()

    def live(self) -> None:
        """Wait until the connection is there."""
        self.tab.locator("#connection[data-state=live]").wait_for()

    def start(self, project: str) -> object:
        """Start an export as the form stands; returns its row."""
        if not self.tab.get_by_label("Project").is_visible():
            self.tab.get_by_text("New export").click()
        option = self.tab.locator("#project option").filter(has_text=project)
        self.tab.get_by_label("Project").select_option(value=option.get_attribute("value"))
        with self.tab.expect_response("**/api/projects/*/export") as answer:
            self.tab.get_by_role("button", name="Start export").click()
        row = self.row(answer.value.json()["jobId"])
        row.wait_for()
        return row

    def row(self, job: str) -> object:
        return self.tab.locator(f"[id='job-{job}']")

    def ended(self, row: object, status: str) -> None:
        """Wait until a job's row shows this end; one that does not says what it shows."""
        from playwright.sync_api import Error  # noqa: PLC0415 - of the tests with a browser only

        try:
            self.tab.locator(f"[id='{row.get_attribute('id')}'][data-status={status}]").wait_for()
        except Error as error:
            error.add_note(f"shown: {row.inner_text()!r}, complaints: {self.complaints}")
            raise

    def taken(self, row: object) -> list[int]:
        """Say which events of a job the page has taken since it was shown, in the order in which it took them."""
        before = self.tab.evaluate("(id) => window.taken[id] ?? []", row.get_attribute("id"))
        return [*before, int(row.get_attribute("data-seq"))]

    def asked(self, job: str) -> list[int]:
        """Say behind which events of a job the page asked for the rest, over all its sockets."""
        calls = [json.loads(frame[frame.index("[") :]) for frame in self.frames if '"export:subscribe"' in frame]
        return [data["after"] for _name, data in calls if data["jobId"] == job]

    def connection(self) -> list[str]:
        """Say what was shown of the connection so far."""
        return self.tab.evaluate("() => window.states")

    def said(self) -> str:
        """What a screen reader was told last."""
        return self.tab.locator("#said").inner_text()

    def check(self) -> None:
        """Hold the page as it stands against the rules of axe, in light and in dark, and against the width."""
        from axe_playwright_python.sync_playwright import Axe  # noqa: PLC0415 - of the tests with a browser only

        for scheme in ("light", "dark"):
            self.tab.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            found = Axe().run(self.tab).response["violations"]
            assert not found, [(one["id"], [node["html"] for node in one["nodes"]]) for one in found]
        wide = self.tab.evaluate("() => [document.documentElement.scrollWidth, window.innerWidth]")
        assert wide[0] <= wide[1], "it scrolls sideways"
        assert not self.complaints


@contextlib.contextmanager
def browsing(width: str) -> Iterator[Browser]:
    """Open a browser; ended with the block. A loop of Playwright's runs in this thread until then."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed here")
    path = chromium_path()
    if path is None:
        pytest.skip("Chromium is not installed here")
    with playwright.sync_playwright() as driver:
        # No sandbox: root, as in containers, may have none; the pages are our own.
        arguments = ["--no-sandbox", f"--host-resolver-rules=MAP {ELSEWHERE} 127.0.0.1"]
        chromium = driver.chromium.launch(executable_path=path, args=arguments)
        size = dict(zip(("width", "height"), WIDTHS[width], strict=True))
        is_phone = width == "phone"
        context = chromium.new_context(viewport=size, has_touch=is_phone, accept_downloads=True, locale=LOCALE)
        context.set_default_timeout(60_000)
        context.add_init_script(_WATCH)
        tab = context.new_page()
        browser = Browser(tab)
        tab.on("console", lambda message: browser.complaints.append(message.text) if message.type == "error" else None)
        tab.on("pageerror", lambda error: browser.complaints.append(str(error)))
        tab.on("websocket", lambda socket: socket.on("framesent", lambda frame: browser.frames.append(str(frame))))
        try:
            yield browser
        finally:
            chromium.close()
