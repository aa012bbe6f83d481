"""Cookies go to their own server only, and secure ones over TLS and loopback only."""

import httpx
import pytest

from exportctl.client.signin import cookie_jar
from exportctl.client.socket import open_socket
from exportctl.model.errors import NotAllowed
from people_server import serving
from signed_in import PROFILE, Command, log_in


async def test_a_cookie_goes_to_no_other_server(path):
    with serving() as other:
        async with Command(other, path) as command:
            with pytest.raises(NotAllowed):
                await command.profile()
        assert other.cookies_seen == [(PROFILE, "")]


@pytest.mark.parametrize(
    ("url", "is_carried"),
    [
        ("https://export.example.org", True),
        ("http://export.example.org", False),
        ("http://127.0.0.1:8080", True),
        ("http://[::1]:8080", True),
        ("http://localhost:8080", True),
    ],
)
def test_a_secure_cookie_goes_over_tls_and_loopback_only(url, is_carried):
    cookies = httpx.Cookies(cookie_jar(url))
    request = httpx.Request("POST", f"{url}/api/auth/login")
    response = httpx.Response(200, headers={"Set-Cookie": "access_token=geheim; Path=/; Secure"}, request=request)
    cookies.extract_cookies(response)
    request = httpx.Request("GET", f"{url}/api/projects")
    cookies.set_cookie_header(request)
    assert ("cookie" in request.headers) is is_carried


async def test_secure_cookies_of_a_server_on_loopback_are_renewed_too(tmp_path):
    with serving(is_secure=True) as people:
        await log_in(people, tmp_path / "jar.json")
        people.end_access()
        async with Command(people, tmp_path / "jar.json") as command:
            await command.profile()
            async with open_socket(command.http, command.server):
                pass
    assert (people.rotations, people.asked["socket connected"]) == (1, 1)
