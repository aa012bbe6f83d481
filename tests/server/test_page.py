"""The page's files: shipped whole, referring to nothing elsewhere, and allowed by their own policy."""

import gzip
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from exportctl.server.people import people
from exportctl.server.people.users import Users
from server.conftest import serving

PAGE = Path(people.__file__).parents[1] / "page"
VENDORED = PAGE / "vendor" / "socket.io.esm.min.js"
NODE = Path(__file__).parents[1] / "wire" / "node"


class Elements(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))


async def test_the_page_and_all_it_refers_to_are_there_whoever_asks(server):
    async with server.client(token=None) as client:
        page = await client.get("/")
        assert (page.status_code, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert page.headers["Export-Protocol"] == "2"
        elements = Elements(page.text).found
        assert ("html", "en") in [(tag, attributes.get("lang")) for tag, attributes in elements]
        names = [attributes.get("src") or attributes.get("href", "") for _tag, attributes in elements]
        files = {name for name in names if name.startswith("page/")}
        modules = [name for name in files if name.endswith(".js")]
        assert len(modules) > 1
        for name in files:
            answer = await client.get(f"/{name}")
            kind = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}[name.rpartition(".")[2]]
            assert (answer.status_code, answer.headers["Content-Type"].partition(";")[0]) == (200, kind)
            again = await client.get(f"/{name}", headers={"If-None-Match": answer.headers["ETag"]})
            assert (again.status_code, again.content) == (304, b"")
        sources = [(PAGE.parent / name).read_text("utf-8") for name in modules]
        imported = {f"page/{name}" for source in sources for name in re.findall(r'from "\./(.+?)"', source)}
        assert imported <= files, "each module is fetched with the page, none behind another"


async def test_the_page_is_packed_for_whoever_takes_that_and_is_the_same(server):
    async with server.client(token=None) as client:
        weight = 0
        for name in ("", *(f"page/{path.relative_to(PAGE)}" for path in PAGE.rglob("*.*") if path.suffix != ".html")):
            plain = await client.get(f"/{name}", headers={"Accept-Encoding": "identity"})
            async with client.stream("GET", f"/{name}", headers={"Accept-Encoding": "gzip"}) as packed:
                sent = b"".join([chunk async for chunk in packed.aiter_raw()])
            assert (packed.headers["Content-Encoding"], packed.headers["Vary"]) == ("gzip", "Accept-Encoding")
            assert "Content-Encoding" not in plain.headers
            assert gzip.decompress(sent) == plain.content
            assert packed.headers["ETag"] != plain.headers["ETag"]
            weight += len(sent)
        assert weight < 50_000, "bytes of the whole page"


async def test_nothing_in_the_page_is_inline_or_from_elsewhere(server):
    async with server.client(token=None) as client:
        page = await client.get("/")
    assert page.headers["Content-Security-Policy"].startswith("default-src 'self';")
    for tag, attributes in Elements(page.text).found:
        assert tag != "style"
        assert tag != "script" or "src" in attributes
        assert not [name for name in attributes if name == "style" or name.startswith("on")]
    for path in PAGE.glob("*.*"):
        addresses = set(re.findall(r"https?://[^\s\"']+", path.read_text("utf-8")))
        assert addresses <= {"http://www.w3.org/2000/svg"}, path


@pytest.mark.parametrize(
    "name", ["nothing.js", "../app.py", "%2e%2e/app.py", "vendor", "page.html", "", "vendor/../../app.py"]
)
async def test_what_is_no_file_of_the_page_is_not_sent(server, name):
    async with server.client(token=None) as client:
        answer = await client.get(f"{server.url}/page/{name}")
    assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")


async def test_the_page_asks_for_a_password_only_where_there_are_users(settings_for, cells, monkeypatch):
    async with serving(settings_for(cells, people=True, workers=1)) as server, server.client(token=None) as client:
        assert 'data-asks="token"' in (await client.get("/")).text
        monkeypatch.setattr(Users, "are_there", lambda _self: True)
        assert 'data-asks="password"' in (await client.get("/")).text


def test_the_page_carries_the_official_client_of_the_version_that_is_pinned_with_its_licence():
    lock = json.loads((NODE / "package-lock.json").read_text())["packages"]["node_modules/socket.io-client"]
    assert f"Socket.IO v{lock['version']}\n" in VENDORED.read_text("utf-8")[:100]
    assert f"version {lock['version']}, unchanged" in VENDORED.with_name("README.txt").read_text()
    assert "MIT License" in VENDORED.with_name("socket.io-client.LICENSE.txt").read_text()
