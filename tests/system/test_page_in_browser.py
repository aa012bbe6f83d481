"""The server's page in Chromium: one export from signing in to its file, by mouse and keyboard, at both widths."""

import contextlib
import os
import pty
import re
import signal
import zipfile
from pathlib import Path

import pytest

from server.conftest import write_images
from system.browsing import ELSEWHERE, WIDTHS, browsing
from system.processes import descendants_in, until
from system.proxy import After, Cut, Fault, Leave, Proxy

EMAIL, PASSWORD = "ana@example.org", "a long password"
HARMLESS = "<img src=x onerror=alert(1)> \u202egpj.sllec"
"""A folder's name, in which mark-up does nothing and which turns nothing around that stands beside it."""


BLOCKED = "window.WebSocket = class { constructor() { setTimeout(() => this.onerror?.()); } close() {} }"
"""What a web proxy makes of a websocket that lets none through."""


@pytest.fixture
def folder(tmp_path):
    return write_images(tmp_path / HARMLESS, 60)


@pytest.fixture
def many(tmp_path):
    return write_images(tmp_path / "many", 600)


@pytest.fixture
def served(exportctl, folder, many):
    """A server of two projects that knows one user: its address, and its process."""
    state = exportctl.home / "served"
    added = exportctl.start("serve", "--add-user", EMAIL, "--password-stdin", "--state", state, stdin=-1)
    with added:
        added.communicate(PASSWORD.encode(), timeout=60)
    with (
        exportctl.start("serve", folder, many, "--port", 0, "--state", state) as process,
        contextlib.ExitStack() as end,
    ):
        end.callback(process.terminate)
        yield until(process.stdout.readline, "the server's address").decode().strip(), process.pid


@pytest.fixture
def url(served):
    return served[0]


@pytest.fixture
def still(served, exportctl):
    """Its workers stand still, which it does not know: no export ends but by being cancelled."""

    def parent_of(pid):
        return int((Path("/proc") / str(pid) / "stat").read_text().rpartition(") ")[2].split()[1])

    def workers():
        parents = {pid: parent_of(pid) for pid in descendants_in(exportctl.home)}
        return [pid for pid, parent in parents.items() if parents.get(parent) == served[1]]

    for pid in until(workers, "the workers"):
        os.kill(pid, signal.SIGSTOP)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_person_signs_in_starts_an_export_watches_it_and_has_its_file(url, folder, width, tmp_path):
    with browsing(width) as browser:
        tab = browser.tab
        browser.open(url)
        tab.get_by_label("Email").wait_for()
        browser.check()
        tab.get_by_label("Email").fill(EMAIL)
        tab.get_by_label("Password").fill("a wrong password")
        tab.get_by_role("button", name="Sign in").click()
        tab.get_by_role("alert").filter(has_text="Wrong email or password").wait_for()
        assert [words for words in browser.complaints if "401" not in words] == []
        browser.complaints.clear()
        browser.sign_in(EMAIL, PASSWORD)
        tab.get_by_text("No exports yet").wait_for()
        row = browser.start(folder.name)
        assert row.get_by_role("heading").inner_text() == folder.name
        bar = row.locator("progress").get_attribute("aria-label")
        assert bar == f"Progress of the export of \u2068{folder.name}\u2069"
        browser.ended(row, "completed")
        seen = browser.taken(row)
        assert seen == list(range(seen[0], seen[-1] + 1))
        assert seen[-1] > 5
        end = row.locator("time").first
        assert re.fullmatch(r"\d+\. \w+\.?, \d\d:\d\d", end.inner_text()), "as the reader writes it"
        assert end.get_attribute("datetime").endswith("Z")
        until(lambda: "can be downloaded" in browser.said(), "the end to be said aloud")
        with tab.expect_download() as download:
            row.get_by_role("link", name="Download").click()
        download.value.save_as(tmp_path / "x.zip")
        with zipfile.ZipFile(tmp_path / "x.zip") as archive:
            assert archive.testzip() is None
            assert sum(name.startswith("images/") for name in archive.namelist()) == 60
        row.get_by_text("Details").click()
        browser.check()
        assert tab.evaluate("() => window.shifted") < 0.1, "what is read must not jump"
        tab.reload()
        browser.ended(row, "completed")
        tab.get_by_role("button", name="Sign out").click()
        tab.get_by_label("Email").wait_for()
        assert tab.locator(".job").count() == 0


@pytest.mark.usefixtures("still")
def test_an_export_is_cancelled_by_keyboard_alone_and_the_focus_is_never_lost(url):
    with browsing("desktop") as browser:
        tab, press = browser.tab, browser.tab.keyboard.press
        browser.open(url)
        tab.get_by_label("Email").wait_for()
        tab.keyboard.type(EMAIL)
        press("Tab")
        tab.keyboard.type(PASSWORD)
        press("Enter")
        browser.live()
        reach(tab, "Skip to exports")
        tab.get_by_label("Project").focus()
        tab.keyboard.type("many")
        reach(tab, "Start export")
        press("Enter")
        row = tab.locator(".job")
        row.wait_for()
        reach(tab, "Cancel the export of")
        press("Enter")
        asking = tab.get_by_role("dialog", name="Cancel this export?")
        assert asking.get_by_role("button", name="Let it run").evaluate("(button) => button.matches(':focus-visible')")
        browser.check()
        press("Escape")
        asking.wait_for(state="hidden")
        assert "Cancel the export of" in focused(tab), "the focus is where it was"
        tab.context.set_offline(True)
        press("Enter")
        press("Tab")
        press("Enter")
        sorry = row.get_by_text("It could not be cancelled. The server cannot be reached.")
        sorry.wait_for()
        assert "Cancel the export of" in focused(tab), "it can be tried again"
        tab.context.set_offline(False)
        browser.live()
        browser.complaints.clear()
        press("Enter")
        press("Tab")
        press("Enter")
        browser.ended(row, "cancelled")
        sorry.wait_for(state="hidden")
        until(lambda: "is cancelled" in browser.said(), "the end to be said aloud")
        until(lambda: "many" in focused(tab), "the focus at the export, since the button is gone")
        browser.check()


def test_over_a_lost_connection_no_event_is_lost_and_none_taken_twice(url, folder, many):
    lost = Fault(After(6, "events"), Leave(0.3))
    with Proxy(url, (lost,)) as proxy, browsing("phone") as browser:
        browser.open(proxy.url)
        browser.sign_in(EMAIL, PASSWORD)
        row = browser.start(many.name)  # more than can end while the connection is lost
        until(lambda: "lost" in browser.connection(), "the loss to be shown")
        browser.live()
        browser.ended(row, "completed")
        assert proxy.happened
        seen = browser.taken(row)
        assert seen == list(range(seen[0], seen[-1] + 1))
        first, *again = browser.asked(row.get_attribute("data-job"))
        assert first == 0
        assert again
        assert min(again) > 0, "it asks for what it has not, from where it was"
        # The session's quarter of an hour is over while the connection is lost: it is renewed without a word.
        browser.tab.context.clear_cookies(name="access_token")
        before = browser.connection().count("live")
        proxy.do(Cut("reset"))
        until(lambda: browser.connection().count("live") > before, "the connection, of a session that was renewed")
        browser.ended(browser.start(folder.name), "completed")


LIGHT = {"includeOriginalImages": False, "includeVisualizations": False, "metricsFormats": [], "annotationFormats": []}
START = """async ([count, options]) => {
  const [project] = (await (await fetch("api/projects")).json()).data;
  const body = JSON.stringify({ options });
  const headers = { "Content-Type": "application/json" };
  for (let made = 0; made < count; made += 1) {
    await fetch(`api/projects/${project.id}/export`, { method: "POST", body, headers });
  }
}"""


def test_of_many_past_exports_the_latest_are_shown_and_older_ones_get_the_focus(url):
    with browsing("phone") as browser:
        browser.open(url)
        browser.sign_in(EMAIL, PASSWORD)
        browser.tab.evaluate(START, [23, LIGHT])
        ended = browser.tab.locator(".job[data-status=completed]:visible")
        until(lambda: ended.count() == 23, "those that were started here stay")
        browser.tab.reload()
        until(lambda: ended.count() == 20, "the latest")
        latest = ended.evaluate_all("(rows) => rows.map((row) => row.dataset.job)")
        browser.tab.get_by_role("button", name="Show older exports").click()
        until(lambda: ended.count() == 23, "all")
        shown = ended.evaluate_all("(rows) => rows.map((row) => row.dataset.job)")
        assert shown[:20] == latest
        focus = browser.tab.evaluate("() => document.activeElement.closest('.job')?.dataset.job")
        assert focus == shown[20], "the button may be gone"
        assert browser.tab.evaluate("() => window.shifted") < 0.1


RENEW = "() => { import('./page/session.js').then(({ renew }) => renew()).then((is) => (window.renewed = is)); }"


@pytest.mark.usefixtures("still")
def test_two_tabs_show_one_queue_and_renew_their_session_one_after_the_other_without_web_locks_too(url):
    asked = []

    def hold(route):
        asked.append(route)

    with browsing("desktop") as browser:
        tab = browser.tab
        browser.open(url.replace("127.0.0.1", ELSEWHERE))
        browser.sign_in(EMAIL, PASSWORD)
        assert tab.evaluate("() => navigator.locks === undefined")
        other = tab.context.new_page()
        other.goto(tab.url)
        other.locator("#connection[data-state=live]").wait_for()
        tab.evaluate(START, [4, LIGHT])
        for words in ("In the queue behind 1 of yours", "Next in your queue"):
            other.locator(".job[data-status=pending]").get_by_text(words).wait_for()
        tab.context.route("**/api/auth/refresh", hold)
        tab.context.clear_cookies(name="access_token")
        tab.evaluate(RENEW)
        other.evaluate(RENEW)
        tab.wait_for_function("() => indexedDB.databases().then((known) => known.length > 0)")
        until(lambda: pump(tab) and asked, "one of them to ask")
        other.evaluate("() => fetch('api/auth/profile')")
        [first] = asked
        first.continue_()
        for one in (tab, other):
            one.wait_for_function("() => window.renewed === true")
        assert len(asked) == 1
        tab.reload()
        browser.live()


def pump(tab):
    """Let Playwright hand over what happened meanwhile."""
    return tab.evaluate("() => true")


@pytest.fixture
def offered(exportctl, tmp_path):
    """The address that a server with a token of its own making shows on a terminal."""
    folder = write_images(tmp_path / "cells", 2)
    ours, theirs = pty.openpty()
    arguments = ["serve", folder, "--port", 0, "--state", exportctl.home / "served"]
    with exportctl.start(*arguments, stderr=theirs) as process, contextlib.ExitStack() as end:
        end.callback(os.close, ours)
        end.callback(process.terminate)
        os.close(theirs)
        shown = ""
        while (found := re.search(r"In a browser: (\S+)\s", shown)) is None:
            shown += os.read(ours, 4096).decode()
        yield found[1]


def test_the_token_of_an_address_signs_in_and_leaves_it_and_where_sockets_are_blocked_it_is_polled(offered):
    url, token = offered.split("#token=")
    with browsing("desktop") as browser:
        browser.tab.add_init_script(BLOCKED)
        browser.open(offered)
        browser.live()
        assert browser.tab.url == url
        row = browser.start("cells")
        browser.ended(row, "completed")
        with browser.tab.expect_download() as download:
            row.get_by_role("link", name="Download").click()
        assert zipfile.is_zipfile(download.value.path())
        assert token not in download.value.url
        stops = {"success": False, "error": "The server is being stopped", "code": "SERVER_STOPPING"}
        browser.tab.route(
            "**/api/projects/*/export",
            lambda route: route.fulfill(status=503, json=stops, headers={"Retry-After": "1"}),
            times=1,
        )
        browser.tab.get_by_role("button", name="Start export").click()
        browser.tab.locator(".job[data-status=completed]").nth(1).wait_for()  # it asked again by itself
        browser.tab.reload()
        browser.live()
        browser.tab.get_by_role("button", name="Sign out").click()
        browser.tab.get_by_label("Token").fill("another")
        browser.tab.get_by_role("button", name="Sign in").click()
        browser.tab.get_by_role("alert").filter(has_text="This token is not valid").wait_for()
        browser.tab.get_by_role("button", name="Use email and password").click()
        browser.tab.get_by_label("Email").fill("ana@example.org")
        browser.tab.get_by_label("Password").fill("a long password")
        browser.tab.get_by_role("button", name="Sign in").click()
        words = re.compile("^This server knows no users, only tokens.$")
        browser.tab.get_by_role("alert").filter(has_text=words).wait_for()


def test_who_signs_out_is_told_of_no_connection_that_is_lost(url):
    with browsing("desktop") as browser:
        browser.tab.clock.install()
        browser.open(url)
        browser.sign_in(EMAIL, PASSWORD)
        browser.tab.get_by_role("button", name="Sign out").click()
        browser.tab.get_by_role("heading", name="Sign in").wait_for()
        for _ in range(2):
            browser.tab.clock.fast_forward(10_000)
        assert browser.said() == ""


def test_a_socket_that_is_refused_for_another_reason_than_the_session_is_asked_for_now_and_then(url):
    asked = []

    def refuse(socket):
        asked.append(socket)
        socket.send('0{"sid":"x","upgrades":[],"pingInterval":25000,"pingTimeout":20000}')
        socket.on_message(lambda _: socket.send('44{"message":"Too many sockets of one user"}'))

    with browsing("desktop") as browser:
        tab = browser.tab
        tab.route_web_socket(re.compile("/socket.io/"), refuse)
        tab.clock.install()
        browser.open(url)
        tab.clock.pause_at(tab.evaluate("Date.now()") + 60_000)
        tab.get_by_label("Email").fill(EMAIL)
        tab.get_by_label("Password").fill(PASSWORD)
        tab.get_by_role("button", name="Sign in").click()
        for times in (1, 2, 3):
            tab.locator("#connection[data-state=lost]").wait_for()
            for _ in range(20):  # round trips, in each of which it could ask again
                tab.evaluate("fetch('api/health').then(() => 1)")
            assert len(asked) == times
            tab.clock.run_for(5000)
        assert tab.get_by_role("heading", name="New export").is_visible()


def reach(tab, name):
    """Press Tab until what is focused has this name, a visible ring around it all the while."""
    for _ in range(60):
        tab.keyboard.press("Tab")
        assert tab.evaluate("() => document.activeElement.matches(':focus-visible, body')")  # body: round the window
        if name in focused(tab):
            return
    pytest.fail(f"{name} is not reached by Tab")


def focused(tab):
    return tab.evaluate("() => document.activeElement.getAttribute('aria-label') ?? document.activeElement.innerText")
