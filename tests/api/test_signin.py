"""Being signed in: one renewal for everybody, cookies to nobody else, and words when it is over."""

import asyncio
import threading
import time
from dataclasses import replace

import httpx
import pytest

from exportctl.client import authority
from exportctl.client.api import Api
from exportctl.client.authority import Credentials
from exportctl.client.follow import Follower
from exportctl.client.http import Server, open_client
from exportctl.client.jar import Jar
from exportctl.client.signin import SignIn, cookie_jar, kept_session
from exportctl.client.socket import open_socket
from exportctl.model.errors import NotAllowed, Rejected, Unreachable
from people_server import EMAIL, PASSWORD, serving
from waiting import until

ANA = Credentials(email=EMAIL, password=PASSWORD)
PROFILE = "/api/auth/profile"


@pytest.fixture
def people():
    with serving() as found:
        yield found


class Command:
    """One command's client, its sign-in and its API."""

    def __init__(self, people, path=None, credentials=None):
        self.server = Server(url=people.url, correlation_id="c")
        self.http = open_client(self.server)
        self.warnings = []
        self.signin = SignIn(
            http=self.http,
            url=people.url,
            jar=None if path is None else Jar(path=path, url=people.url),
            credentials=credentials,
            hint="exportctl login",
            tell=lambda code, message: self.warnings.append((code, message)),
        )
        self.signin.use()
        self.api = Api(http=self.http, server=self.server, renew=self.signin.renew)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.signin.close()
        await self.http.aclose()

    async def profile(self):
        return await self.api.ask("GET", PROFILE, what="the profile")


async def log_in(people, path):
    async with Command(people) as command:
        email = await authority.sign_in(command.http, people.url, ANA, remember=True)
        jar = Jar(path=path, url=people.url)
        async with jar.locked():
            await jar.write(kept_session(command.http, email, in_keyring=False))


@pytest.fixture
async def path(people, tmp_path):
    """A jar in which Ana is signed in."""
    place = tmp_path / "sessions" / "default.json"
    await log_in(people, place)
    return place


async def test_a_kept_session_is_used_without_asking_for_another(people, path):
    async with Command(people, path) as command:
        await command.profile()
    assert (people.asked["login"], people.asked["refresh"], people.asked[PROFILE]) == (1, 0, 1)


async def test_an_access_token_that_ended_is_renewed_and_the_request_sent_again(people, path):
    people.end_access()
    async with Command(people, path) as command:
        await command.profile()
        await command.profile()
    assert (people.rotations, people.asked[PROFILE]) == (1, 3)
    async with Command(people, path) as next_one:
        await next_one.profile()
    assert people.rotations == 1, "the new session was kept"


async def test_an_access_token_whose_cookie_ended_is_renewed_before_the_request(people, path):
    jar = Jar(path=path, url=people.url)
    kept = await jar.read()
    for cookie in kept.cookies:
        if cookie.name == "access_token":
            cookie.expires = 1
    async with jar.locked():
        await jar.write(kept)
    async with Command(people, path) as command:
        await command.profile()
    assert (people.rotations, people.asked[PROFILE]) == (1, 1)


async def test_many_requests_of_one_command_share_one_renewal(people, path):
    people.end_access()
    async with Command(people, path) as command:
        await asyncio.gather(*(command.profile() for _ in range(50)))
    assert (people.rotations, people.reused) == (1, 0)


async def test_many_commands_share_one_renewal(people, path):
    people.end_access()
    commands = [Command(people, path) for _ in range(20)]
    await asyncio.gather(*(command.profile() for command in commands))
    for command in commands:
        await command.__aexit__()
    assert (people.rotations, people.reused) == (1, 0)


async def test_a_command_that_was_idle_takes_the_session_that_others_renewed_twice(people, path):
    async with Command(people, path) as idle, Command(people, path) as busy:
        await idle.profile()
        for _ in range(2):
            people.end_access()
            await busy.profile()
        await idle.profile()
        people.end_access()
        await idle.profile()
        await busy.profile()
    assert (people.rotations, people.reused) == (3, 0)


async def test_a_renewal_goes_on_when_the_one_who_asked_gives_up(people, path):
    people.end_access()
    people.hold_refresh = threading.Event()
    async with Command(people, path) as command:
        asking = asyncio.create_task(command.profile())
        await until(lambda: people.asked["held"])
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        people.hold_refresh.set()
    async with Command(people, path) as next_one:
        await next_one.profile()
    assert (people.rotations, people.reused) == (1, 0)


async def test_a_session_that_cannot_be_renewed_is_status_4_with_the_words_to_sign_in(people, path):
    people.end_everything()
    async with Command(people, path) as command:
        for _ in range(3):
            with pytest.raises(NotAllowed, match="has ended") as caught:
                await command.profile()
    assert (caught.value.exit_status, caught.value.hint) == (4, "exportctl login")
    assert people.asked["refresh"] == 1, "what is over is not asked for again and again"


async def test_without_any_session_the_words_are_to_sign_in(people, tmp_path):
    async with Command(people, tmp_path / "none.json") as command:
        with pytest.raises(NotAllowed, match="not signed in") as caught:
            await command.profile()
    assert caught.value.hint == "exportctl login"
    assert not list(tmp_path.iterdir())


async def test_email_and_password_sign_in_once_and_keep_nothing(people, tmp_path):
    async with Command(people, tmp_path / "jar.json", ANA) as command:
        await asyncio.gather(*(command.profile() for _ in range(5)))
    assert people.asked["login"] == 1
    assert not list(tmp_path.iterdir())


async def test_email_and_password_sign_in_anew_where_the_kept_session_is_over_and_keep_that(people, path):
    people.end_everything()
    async with Command(people, path, ANA) as command:
        await command.profile()
    assert people.asked["login"] == 2
    async with Command(people, path) as without:
        await without.profile()


async def test_many_commands_with_email_and_password_sign_in_once_where_a_session_is_kept(people, path):
    people.end_everything()
    commands = [Command(people, path, replace(ANA, email=EMAIL.upper())) for _ in range(10)]
    await asyncio.gather(*(command.profile() for command in commands))
    for command in commands:
        await command.__aexit__()
    assert (people.asked["login"], people.reused) == (2, 1)


async def test_a_session_whose_cookies_are_all_over_has_ended(people, path):
    jar = Jar(path=path, url=people.url)
    kept = await jar.read()
    for cookie in kept.cookies:
        cookie.expires = 1
    async with jar.locked():
        await jar.write(kept)
    async with Command(people, path) as command:
        with pytest.raises(NotAllowed, match="has ended"):
            await command.profile()
    assert people.asked["refresh"] == 0


async def test_another_persons_kept_session_is_neither_used_nor_replaced(people, path):
    before = path.read_bytes()
    async with Command(people, path, replace(ANA, email="bara@example.com")) as command:
        with pytest.raises(NotAllowed, match="wrong email or password"):
            await command.profile()
    assert path.read_bytes() == before


async def test_who_signs_in_as_somebody_else_meanwhile_is_not_signed_out_and_the_command_goes_on(people, path):
    async with Command(people, path) as command:
        await command.profile()
        jar = Jar(path=path, url=people.url)
        async with jar.locked():
            await jar.write(replace(await jar.read(), email="bara@example.com", cookies=()))
        before = path.read_bytes()
        people.end_access()
        await command.profile()
    assert path.read_bytes() == before


async def test_a_session_that_is_kept_nowhere_is_renewed_once_for_those_who_still_carried_the_old_one(people):
    async with Command(people, credentials=ANA) as command:
        async with open_socket(command.http, command.server):
            pass
        people.end_access()
        await command.profile()
        assert await command.signin.renew(), "the last handshake carried the old one"
    assert (people.asked["login"], people.rotations) == (1, 1)


async def test_a_session_that_was_ended_by_a_logout_meanwhile_does_not_come_back(people, path):
    async with Command(people, path) as command:
        await command.profile()
        path.unlink()
        people.end_everything()
        with pytest.raises(NotAllowed, match="has ended"):
            await command.profile()
    assert not path.exists()


async def test_a_server_that_fails_at_the_renewal_is_asked_again_and_nobody_is_signed_out(people, path):
    people.end_access()
    people.refresh_answer = (503, {"success": False})
    async with Command(people, path) as command:
        with pytest.raises(Unreachable, match="could not renew"):
            await command.api.ask("GET", PROFILE, what="the profile", attempts=1)
        people.refresh_answer = None
        await command.profile()
    assert people.rotations == 1


async def test_the_socket_carries_the_cookie(people, path):
    async with Command(people, path) as command, open_socket(command.http, command.server):
        pass
    assert people.asked["socket connected"] == 1


async def test_a_socket_that_is_refused_is_renewed_once(people, path):
    people.end_access()
    async with Command(people, path) as command:
        with pytest.raises(NotAllowed):
            async with open_socket(command.http, command.server):
                pass
        assert await command.signin.renew()
        async with open_socket(command.http, command.server):
            pass
        people.end_everything()
        with pytest.raises(NotAllowed):
            async with open_socket(command.http, command.server):
                pass
        with pytest.raises(NotAllowed, match="has ended") as caught:
            await command.signin.renew()
    assert (people.rotations, caught.value.hint) == (1, "exportctl login")


async def test_a_socket_refused_for_an_old_session_is_tried_with_the_new_one_without_another_renewal(people, path):
    people.end_access()
    async with Command(people, path) as command:
        with pytest.raises(NotAllowed):
            async with open_socket(command.http, command.server):
                pass
        await command.profile()
        assert await command.signin.renew()
    assert people.rotations == 1


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


async def test_a_session_that_may_not_be_sent_over_http_is_explained():
    def answer(_request):
        cookie = "access_token=geheim; Path=/; HttpOnly; Secure"
        return httpx.Response(200, json={"success": True, "data": {}}, headers={"Set-Cookie": cookie})

    async with httpx.AsyncClient(base_url="http://export.example.org", transport=httpx.MockTransport(answer)) as http:
        http.cookies = cookie_jar("http://export.example.org")
        with pytest.raises(NotAllowed, match="https only") as caught:
            await authority.sign_in(http, "http://export.example.org", ANA, remember=True)
    assert "https://export.example.org" in caught.value.hint


@pytest.mark.parametrize(
    ("answer", "kind", "words", "hint"),
    [
        ((401, {"error": "Neplatné přihlašovací údaje"}, {}), NotAllowed, "wrong email or password", "login"),
        ((429, {"error": "x"}, {"Retry-After": "420"}), NotAllowed, "too many attempts", "in 7 minutes"),
        ((429, {"error": "x"}, {"Retry-After": "5"}), NotAllowed, "too many attempts", "in 5 s"),
        ((429, {"error": "x"}, {"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}), NotAllowed, "too many", "in 0 s"),
        ((429, {}, {"Retry-After": "soon"}), NotAllowed, "too many attempts", "later"),
        ((404, {}, {}), NotAllowed, "knows no sign-in", "--token-file"),
        ((403, {"error": f"no: {PASSWORD}"}, {}), NotAllowed, "in words that hold the password", None),
        ((302, {}, {"Location": "https://x.example/"}), Unreachable, "sends us on", "--server https://x.example"),
        ((200, {"success": True}, {}), NotAllowed, "gave no session", "--token-file"),
        (
            (400, {"error": "Validation error", "details": {"email": ["Neplatná"]}}, {}),
            Rejected,
            "email: Neplatná",
            None,
        ),
        ((500, {"error": "Interní chyba serveru"}, {}), httpx.HTTPError, "500", None),
    ],
)
async def test_every_refusal_of_a_sign_in_has_its_words_and_no_password(people, answer, kind, words, hint):
    people.sign_in_answer = answer
    async with Command(people) as command:
        with pytest.raises(kind, match=words) as caught:
            await authority.sign_in(command.http, people.url, ANA, remember=False)
    assert PASSWORD not in f"{caught.value} {getattr(caught.value, 'hint', '')} {ANA}"
    assert hint is None or hint in caught.value.hint


async def test_a_follower_whose_session_ends_for_good_ends_with_the_words_to_sign_in(people, path):
    people.end_everything()
    told = []
    async with Command(people, path) as command:
        follower = Follower(
            api=command.api,
            tell=told.append,
            sleep=asyncio.sleep,
            jitter=lambda: 0.0,
            monotonic=time.monotonic,
            transport="socket",
        )
        async with follower:
            with pytest.raises(NotAllowed, match="has ended") as caught:
                await follower.connected()
    assert caught.value.hint == "exportctl login"


async def test_a_follower_whose_session_ended_connects_with_a_renewed_one(people, path):
    people.end_access()
    async with Command(people, path) as command:
        follower = Follower(
            api=command.api,
            tell=lambda _line: None,
            sleep=asyncio.sleep,
            jitter=lambda: 0.0,
            monotonic=time.monotonic,
            transport="socket",
        )
        async with follower:
            await follower.connected()
            await until(lambda: people.asked["socket connected"])
    assert (people.asked["socket"], people.rotations) == (2, 1)


async def test_a_server_that_is_away_at_a_renewal_for_a_socket_is_status_7_and_not_the_end(people, path):
    async with Command(people, path) as command:
        await command.profile()
        people.refresh_answer = (502, {})
        with pytest.raises(Unreachable):
            await command.signin.renew()
        people.refresh_answer = None
        assert await command.signin.renew()


@pytest.mark.parametrize("status", [301, 308])
async def test_a_redirected_renewal_does_not_end_the_session(people, path, status):
    people.end_access()
    people.refresh_answer = (status, {})
    async with Command(people, path) as command:
        with pytest.raises(Unreachable):
            await command.api.ask("GET", PROFILE, what="the profile", attempts=1)
