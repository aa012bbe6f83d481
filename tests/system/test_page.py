"""The server's page in Chromium: one export from signing in to its file, by mouse and keyboard, at both widths."""

import contextlib
import os
import pty
import re
import zipfile

import pytest

from server.conftest import write_images
from system.browsing import WIDTHS, browsing
from system.processes import until
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
def url(exportctl, folder, many):
    """A server of two projects that knows one user."""
    state = exportctl.home / "served"
    added = exportctl.start("serve", "--add-user", EMAIL, "--password-stdin", "--state", state, stdin=-1)
    with added:
        added.communicate(PASSWORD.encode(), timeout=60)
    with (
        exportctl.start("serve", folder, many, "--port", 0, "--state", state) as process,
        contextlib.ExitStack() as end,
    ):
        end.callback(process.terminate)
        yield until(process.stdout.readline, "the server's address").decode().strip()


def make_endless(folder):
    """Let no export of the folder end: reading one of its images waits for somebody who writes it."""
    image = folder / "cell 0600.png"
    image.unlink()
    os.mkfifo(image)


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


def test_an_export_is_cancelled_by_keyboard_alone_and_the_focus_is_never_lost(url, many):
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
        row.locator("xpath=self::*[number(@data-seq) > 0]").wait_for()
        make_endless(many)
        reach(tab, "Cancel the export of")
        press("Enter")
        asking = tab.get_by_role("dialog", name="Cancel this export?")
        assert asking.get_by_role("button", name="Let it run").evaluate("(button) => button.matches(':focus-visible')")
        browser.check()
        press("Escape")
        asking.wait_for(state="hidden")
        assert "Cancel the export of" in focused(tab), "the focus is where it was"
        press("Enter")
        press("Tab")
        press("Enter")
        browser.ended(row, "cancelled")
        until(lambda: "is cancelled" in browser.said(), "the end to be said aloud")
        until(lambda: "many" in focused(tab), "the focus at the export, since the button is gone")
        browser.check()


def test_over_a_lost_connection_no_event_is_lost_and_none_taken_twice(url, folder):
    lost = Fault(After(6, "events"), Leave(0.3))
    with Proxy(url, (lost,)) as proxy, browsing("phone") as browser:
        browser.open(proxy.url)
        browser.sign_in(EMAIL, PASSWORD)
        row = browser.start(folder.name)
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
        browser.tab.reload()
        browser.live()
        browser.tab.get_by_role("button", name="Sign out").click()
        browser.tab.get_by_label("Token").fill("another")
        browser.tab.get_by_role("button", name="Sign in").click()
        browser.tab.get_by_role("alert").filter(has_text="This token is not valid").wait_for()


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
