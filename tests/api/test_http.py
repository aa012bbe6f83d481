"""The one HTTP client: what is a server's address, who we say we are, and which proxies we take."""

import httpx
import pytest

from exportctl import __version__
from exportctl.client.http import ANSWER_SECONDS, CONNECT_SECONDS, Server, open_client, parse_url, proxy_of
from exportctl.client.wire import Wire
from exportctl.model.errors import Usage


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://export.example.org", "https://export.example.org"),
        ("https://export.example.org/", "https://export.example.org"),
        ("HTTPS://Export.Example.org", "https://export.example.org"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("https://example.org/export/", "https://example.org/export"),
        ("https://example.org/?token=x#part", "https://example.org"),
        ("http://[::1]:8080", "http://[::1]:8080"),
        ("https://größe.example", "https://xn--gre-6ka8i.example"),
    ],
)
def test_a_servers_address_is_kept_without_what_is_not_address(text, url):
    assert parse_url(text) == url


@pytest.mark.parametrize(
    "text",
    [
        *("", "export.example.org", "localhost:8080", "ftp://example.org", "https://", "http://:80", "//example.org"),
        *("https://exa mple.org", "http://example.org:port", "http://[::1", "http://a\x00b", "http://" + "a" * 70000),
        "http://example.org:99999",
    ],
)
def test_what_is_no_address_is_a_usage_error_with_an_example(text):
    with pytest.raises(Usage) as caught:
        parse_url(text)
    assert caught.value.hint
    assert caught.value.exit_status == 2


def test_an_address_with_a_password_is_refused_and_not_repeated():
    with pytest.raises(Usage) as caught:
        parse_url("https://ana:geheim@example.org")
    assert "geheim" not in f"{caught.value.message}{caught.value.hint}"


async def test_every_request_says_who_we_are_and_which_run_it_is():
    server = Server(url="http://127.0.0.1:1", correlation_id="run-1", token="secret")
    async with open_client(server) as http:
        headers = http.build_request("GET", "/api/projects").headers
    assert headers["user-agent"] == f"exportctl/{__version__}"
    assert headers["x-correlation-id"] == "run-1"
    assert headers["authorization"] == "Bearer secret"
    assert headers["accept"] == "application/json"


async def test_without_a_token_nobody_signs_in():
    async with open_client(Server(url="http://127.0.0.1:1", correlation_id="c")) as http:
        assert "authorization" not in http.headers


async def test_a_server_below_a_path_is_asked_below_it():
    async with open_client(Server(url="http://127.0.0.1:1/export", correlation_id="c")) as http:
        assert str(http.build_request("GET", "/api/x").url) == "http://127.0.0.1:1/export/api/x"


async def test_patience_is_longer_for_an_answer_than_for_a_connection():
    async with open_client(Server(url="http://127.0.0.1:1", correlation_id="c")) as http:
        assert (http.timeout.connect, http.timeout.read) == (CONNECT_SECONDS, ANSWER_SECONDS)
        assert not http.follow_redirects


@pytest.mark.parametrize(
    ("url", "is_proxied"),
    [
        ("http://127.0.0.1:8080", False),
        ("http://127.8.8.8", False),
        ("http://[::1]:8080", False),
        ("http://localhost", False),
        ("http://app.localhost", False),
        ("http://127.evil.example", True),
        ("http://export.example.org", True),
    ],
)
async def test_loopback_is_never_proxied_and_all_else_is(monkeypatch, url, is_proxied):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://proxy.example:3128")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    async with open_client(Server(url=url, correlation_id="c")) as http:
        assert isinstance(http._transport_for_url(httpx.URL(url)), Wire) is not is_proxied


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_bundle_that_cannot_be_read_is_a_usage_error(tmp_path, scheme):
    (tmp_path / "empty.pem").touch()
    for bundle in (tmp_path / "missing.pem", tmp_path / "empty.pem", tmp_path):
        with pytest.raises(Usage, match="--ca-bundle"):
            open_client(Server(url=f"{scheme}://example.org", correlation_id="c", ca_bundle=str(bundle)))


@pytest.mark.parametrize("proxy", ["http://[::1", "ftp://proxy.example", "socks5://proxy.example:1080", "http://a:b:c"])
def test_a_proxy_that_makes_no_sense_is_a_usage_error_that_names_the_variable(monkeypatch, proxy):
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(Usage, match="HTTPS_PROXY") as caught:
        open_client(Server(url="https://export.example.org", correlation_id="c"))
    assert caught.value.hint


@pytest.mark.parametrize(
    ("url", "excepted", "proxy"),
    [
        ("https://export.example.org", "", "http://proxy.example:3128"),
        ("https://export.example.org", "example.org", None),
        ("https://export.example.org", "*", None),
        ("http://export.example.org", "", None),
        ("https://127.0.0.1:8443", "", None),
    ],
)
def test_the_proxy_on_the_way_is_named_without_what_signs_in_to_it(monkeypatch, url, excepted, proxy):
    for name in ("HTTP_PROXY", "http_proxy", "https_proxy", "ALL_PROXY", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://ana:secret@proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", excepted)
    assert proxy_of(url) == proxy
