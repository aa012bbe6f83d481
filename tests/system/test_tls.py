"""Exports over TLS: the socket too, whatever is wrong with a certificate in words, and servers that lead there."""

import ssl

import pytest

from authority import found_authority
from system.hostile import JOB, PROJECT, TOKEN, Peer, check_good, response, run
from system.processes import end_of
from system.telling import check_form, story


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return found_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def good(authority):
    return authority.context("good")


@pytest.fixture(scope="module")
def bad(authority, tmp_path_factory):
    """What may be wrong with a certificate, by the words for it."""
    unknown = found_authority(tmp_path_factory.mktemp("unknown"))
    lone = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    lone.load_cert_chain(unknown.bundle, unknown.folder / "authority.key")
    return {
        "certificate has expired": authority.context("expired", days=-1),
        "self-signed certificate": lone,
        "not valid for '127.0.0.1'": authority.context("other", names="DNS:other.example,IP:127.0.0.2"),
    }


@pytest.mark.parametrize("transport", ["auto", "socket", "polling"])
def test_an_export_goes_over_tls_by_whatever_transport(command, authority, good, transport):
    with Peer(good) as peer:
        ended = run(command, peer, "--transport", transport, "--ca-bundle", authority.bundle)
    check_good(ended, command)
    assert bool(peer.sockets) is (transport != "polling")


def ask(command, *arguments, **environment):
    command.environment |= environment
    ended = end_of(command.start(*arguments, "--ndjson", "--progress", "none"), 40, arguments)
    check_form(ended, command)
    return ended


@pytest.mark.parametrize(
    ("words", "verb", "target"),
    [
        ("certificate has expired", "run", "plates"),
        ("self-signed certificate", "follow", f"{PROJECT}/{JOB}"),
        ("not valid for '127.0.0.1'", "download", f"{PROJECT}/{JOB}"),
    ],
)
def test_a_certificate_that_is_not_trusted_is_status_7_at_once_with_its_problem_in_words(
    command, authority, bad, *, words, verb, target
):
    with Peer(bad[words]) as peer:
        ended = ask(command, verb, target, "--server", peer.url, "--token", TOKEN, "--ca-bundle", authority.bundle)
    assert (ended.status, ended.result["error"]["code"]) == (7, "TLS")
    assert words in ended.stderr
    assert [line["event"] for line in ended.lines] == ["hello", "result"]
    assert peer.requests == []
    assert list(command.folder.iterdir()) == []


class Changes(Peer):
    """Is given another certificate in the middle; what is connected is hung up."""

    def __init__(self, context, another, *, when):
        super().__init__(context)
        self.another, self.when = another, when

    def change(self):
        self.tls.load_cert_chain(self.another.bundle, self.another.folder / "authority.key")
        for web in self.sockets:
            web.writer.close()

    async def subscribe(self, web, data, ack):
        if self.when == "following":
            await self.tell_first(web)
            self.change()
        else:
            await super().subscribe(web, data, ack)
            self.change()

    async def tell_first(self, web):
        self.log, log = self.log[:2], self.log
        await self.tell(web)
        self.log = log

    async def events(self, request):
        if self.when == "following":
            return b""
        return await super().events(request)


@pytest.mark.parametrize(("transport", "when"), [("auto", "following"), ("socket", "following"), ("auto", "fetching")])
def test_a_certificate_that_goes_bad_on_the_way_ends_the_command(command, authority, tmp_path_factory, transport, when):
    another = found_authority(tmp_path_factory.mktemp("another"))
    with Changes(authority.context("changing"), another, when=when) as peer:
        ended = run(command, peer, "--transport", transport, "--ca-bundle", authority.bundle)
    assert (ended.status, ended.result["error"]["code"]) == (7, "TLS"), ended.stderr
    assert "self-signed certificate" in ended.stderr
    assert [line["serverSeq"] for line in story(ended)] == list(range(1, 3 if when == "following" else 9))
    assert not list(command.folder.glob("*.zip"))


def test_a_bundle_that_is_none_is_a_usage_error_for_a_plain_server_too(command):
    path = command.home / "text.pem"
    path.write_text("no certificate")
    ended = ask(command, "run", "plates", "--server", "http://127.0.0.1:9", "--token", TOKEN, "--ca-bundle", path)
    assert (ended.status, ended.result["error"]["code"]) == (2, "USAGE")
    assert f"--ca-bundle {path}: it holds no certificate" in ended.stderr


class LeadsTo(Peer):
    """Answers everything with a redirect."""

    def __init__(self, target, *, status=301):
        super().__init__()
        self.target, self.status_of_all = target, status

    def location(self, request):
        query = "&".join(f"{name}={value}" for name, value in request.query.items())
        return self.target + request.path + (f"?{query}" if query else "")

    async def handle(self, request):
        return response(self.status_of_all, b"<html>moved", Location=self.location(request), Content_Type="text/html")

    async def upgrade(self, request, web):
        await web.raw(await self.handle(request))


@pytest.mark.parametrize("status", [302, 308])
def test_a_server_that_leads_to_tls_on_its_own_host_is_spoken_to_there(command, authority, good, status):
    """From the first answer on everything goes there: the socket, the start, the archive."""
    with Peer(good) as peer, LeadsTo(peer.url, status=status) as plain:
        ended = run(command, plain, "--ca-bundle", authority.bundle)
    check_good(ended, command)
    assert [line["code"] for line in ended.lines if line["event"] == "log"] == ["redirected"]
    assert [request.path for request in plain.requests] == ["/api/projects"]
    assert {request.path for request in peer.requests} >= {"/api/projects", "/socket.io/"}
    assert len(peer.sockets) == 1
    assert all(request.headers["host"] == peer.url.removeprefix("https://") for request in peer.requests)


class SignsIn(Peer):
    """Takes an email and a password, and gives a session that may go over TLS only."""

    async def handle(self, request):
        if request.path == "/api/auth/login":
            if request.method != "POST":
                return response(404, {})
            return response(200, {"success": True}, Set_Cookie="access_token=ours; Path=/; HttpOnly; Secure")
        if "access_token=ours" not in request.headers.get("cookie", ""):
            return response(401, {"success": False, "error": "not signed in"})
        return await super().handle(request)


def test_a_sign_in_that_is_the_first_of_all_requests_is_led_there_as_what_it_is(command, authority, good):
    words = {"EXPORTCTL_EMAIL": "ana@example.com", "EXPORTCTL_PASSWORD": "secret of ana"}
    with SignsIn(good) as peer, LeadsTo(peer.url) as plain:
        ended = ask(command, "run", "plates", "--server", plain.url, "--ca-bundle", authority.bundle, **words)
    check_good(ended, command)
    assert [request.method for request in peer.requests if request.path == "/api/auth/login"] == ["POST"]


class LeadsElsewhere(LeadsTo):
    def location(self, request):
        return f"{self.target}/welcome?to={request.path}"


@pytest.mark.parametrize(("kind", "status"), [(LeadsTo, 301), (LeadsTo, 303), (LeadsElsewhere, 307)])
def test_no_other_redirect_is_followed_and_no_token_carried_on(command, authority, good, kind, status):
    with Peer(good) as peer:
        target = peer.url if kind is LeadsElsewhere or status == 303 else peer.url.replace("127.0.0.1", "localhost")
        with kind(target, status=status) as plain:
            ended = run(command, plain, "--ca-bundle", authority.bundle)
    assert (ended.status, ended.result["error"]["code"]) == (7, "REDIRECTED")
    assert f"sends us on to {target}" in ended.stderr
    assert peer.requests == []
    assert TOKEN not in ended.stderr


def test_nobody_is_led_from_tls_to_plain_http(command, authority, good):
    class LeadsBack(LeadsTo):
        def __init__(self, target):
            super().__init__(target)
            self.tls = good

    with Peer() as peer, LeadsBack(peer.url) as secure:
        ended = run(command, secure, "--ca-bundle", authority.bundle)
    assert (ended.status, ended.result["error"]["code"]) == (7, "REDIRECTED")
    assert f"--server {peer.url}" not in ended.stderr
    assert peer.requests == []


def test_a_server_that_leads_to_tls_with_a_bad_certificate_is_not_trusted_there(command, authority, bad):
    with Peer(bad["self-signed certificate"]) as peer, LeadsTo(peer.url) as plain:
        ended = run(command, plain, "--ca-bundle", authority.bundle)
    assert (ended.status, ended.result["error"]["code"]) == (7, "TLS")
    assert peer.requests == []
