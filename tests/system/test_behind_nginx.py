"""The lines for proxies in `docs/serving.md`, as they stand there, in front of a server at a unix socket."""

import contextlib
import os
import re
import shutil
import socket
import subprocess
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import pytest

from system.browsing import browsing
from system.processes import SHARED, until

DOCUMENT = Path(__file__).parents[2] / "docs" / "serving.md"
NUCLEI = SHARED / "data" / "nuclei"
TOKEN = "a-token-of-the-tests"
pytestmark = [
    pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not installed here"),
    pytest.mark.skipif(not NUCLEI.is_dir(), reason="the nuclei are not beside the checkout"),
]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]


def configuration(folder, server):
    """Return a whole configuration around the documented lines, that writes into `folder` alone."""
    places = "".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""  # its worker would be nobody, who may not reach the socket
    return (
        f"{user} daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;"
        f"events {{}} http {{ access_log off; {places}\n{server} }}"
    )


@pytest.fixture
def at_socket(exportctl, tmp_path):
    """The path of the socket of a server of the nuclei."""
    path = tmp_path / "socket"
    arguments = ["serve", NUCLEI, "--token", TOKEN, "--state", exportctl.home / "served", "--unix-socket", path]
    with exportctl.start(*arguments) as process, contextlib.ExitStack() as end:
        end.callback(process.terminate)
        assert until(process.stdout.readline, "the server's address").decode().strip() == f"unix:{path}"
        yield path
    assert not path.exists()


@pytest.fixture
def url(at_socket, tmp_path):
    """Where nginx stands in front of it."""
    port, folder = free_port(), tmp_path / "nginx"
    folder.mkdir()
    changes = {"/run/exportctl/socket": str(at_socket), "listen 8080": f"listen 127.0.0.1:{port}"}
    documented = documented_lines("nginx", changes)
    (folder / "nginx.conf").write_text(configuration(folder, documented))
    with (
        subprocess.Popen(["nginx", "-c", folder / "nginx.conf", "-p", folder]) as process,
        contextlib.ExitStack() as end,
    ):
        end.callback(process.terminate)
        until(lambda: answers(f"http://127.0.0.1:{port}/exports/api/health"), "nginx and the server to answer")
        yield f"http://127.0.0.1:{port}/exports"


def documented_lines(kind, changes):
    """Return the lines for a proxy, with the places of this test."""
    (documented,) = re.findall(rf"```{kind}\n(.*?)```", DOCUMENT.read_text("utf-8"), re.DOTALL)
    for old, new in changes.items():
        assert documented.count(old) == 1
        documented = documented.replace(old, new)
    return documented


def answers(url):
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status == 200
    except urllib.error.URLError:
        return False


def caddy(folder, port, at_socket):
    changes = {"export.example.org {": f"http://127.0.0.1:{port} {{", "/run/exportctl/socket": str(at_socket)}
    (folder / "Caddyfile").write_text(f"{{\nadmin off\n}}\n{documented_lines('caddyfile', changes)}")
    return ["caddy", "run", "--config", folder / "Caddyfile", "--adapter", "caddyfile"]


def apache2(folder, port, at_socket):
    modules = ["mpm_event", "authz_core", "alias", "proxy", "proxy_http", "headers"]
    loaded = "".join(f"LoadModule {one}_module /usr/lib/apache2/modules/mod_{one}.so\n" for one in modules)
    lines = documented_lines("apache", {"/run/exportctl/socket": str(at_socket)})
    places = f"PidFile {folder}/pid\nErrorLog {folder}/error\nListen 127.0.0.1:{port}\nServerName localhost\n"
    (folder / "apache.conf").write_text(places + loaded + lines)
    return ["apache2", "-f", folder / "apache.conf", "-DFOREGROUND"]


@pytest.mark.parametrize("proxy", [caddy, apache2])
def test_an_export_goes_through_other_proxies_too_and_their_cookies_are_for_the_path(
    exportctl, at_socket, tmp_path, proxy
):
    if shutil.which(proxy.__name__) is None:
        pytest.skip(f"{proxy.__name__} is not installed here")
    port, folder = free_port(), tmp_path / "proxy"
    folder.mkdir()
    own = os.environ | {"XDG_CONFIG_HOME": str(folder), "XDG_DATA_HOME": str(folder)}
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with (
        subprocess.Popen(proxy(folder, port, at_socket), env=own, **quiet) as process,
        contextlib.ExitStack() as end,
    ):
        end.callback(process.terminate)
        url = f"http://127.0.0.1:{port}/exports"
        until(lambda: answers(f"{url}/api/health"), f"{proxy.__name__} and the server to answer")
        ended = exportctl.run("run", "nuclei", "-o", "x.zip", "--ndjson", "--server", url, "--token", TOKEN)
        assert (ended.status, ended.result["verified"]) == (0, True), ended.stderr
        assert next(line["state"] for line in ended.lines if line["event"] == "connection:changed") == "connected"
        check_cookies(url)


@pytest.mark.parametrize("transport", ["socket", "polling"])
def test_an_export_goes_through_below_a_path_by_socket_and_by_long_poll(exportctl, url, transport):
    options = ["--server", url, "--token", TOKEN, "--transport", transport]
    ended = exportctl.run("run", "nuclei", "-o", "x.zip", "--ndjson", *options)
    assert (ended.status, ended.result["verified"]) == (0, True), ended.stderr
    states = [line["state"] for line in ended.lines if line["event"] == "connection:changed"]
    assert states[0] == ("connected" if transport == "socket" else "polling")
    told = [line["serverSeq"] for line in ended.lines if "serverSeq" in line]
    assert told == list(range(1, len(told) + 1))


def test_the_cookies_of_a_session_are_for_where_the_browser_sees_the_server(url):
    check_cookies(url)


def check_cookies(url):
    asked = urllib.request.Request(f"{url}/api/auth/logout", method="POST")
    with urllib.request.urlopen(asked, timeout=30) as answer:
        given = answer.headers.get_all("Set-Cookie")
    paths = {re.match(r"\w+", cookie)[0]: re.search(r"Path=([^;]*)", cookie)[1] for cookie in given}
    assert paths == {"access_token": "/exports/", "refresh_token": "/exports/api/auth", "authenticated": "/exports/"}


def test_the_page_works_below_a_path_and_fetches_its_archive_there(url):
    with browsing("phone") as browser:
        browser.open(f"{url}/#token={TOKEN}")
        browser.live()
        row = browser.start("nuclei")
        browser.ended(row, "completed")
        with browser.tab.expect_download() as download:
            row.get_by_role("link", name="Download").click()
        assert download.value.url.startswith(f"{url}/api/")
        assert zipfile.is_zipfile(download.value.path())
        assert not browser.complaints


def test_a_socket_that_a_killed_server_left_is_taken_over_and_a_living_ones_is_not(exportctl, at_socket):
    arguments = ["serve", NUCLEI, "--token", TOKEN, "--state", exportctl.home / "other", "--unix-socket"]
    with exportctl.start(*arguments, at_socket) as process:
        stderr = process.communicate(timeout=60)[1].decode()
    assert process.returncode != 0
    assert f"{at_socket} is there already" in stderr
    left = at_socket.with_name("left")
    with socket.socket(socket.AF_UNIX) as once:
        once.bind(str(left))
    with exportctl.start(*arguments, left) as process, contextlib.ExitStack() as end:
        end.callback(process.terminate)
        assert until(process.stdout.readline, "the server's address").decode().strip() == f"unix:{left}"
