"""A session that ended is renewed once for everybody who uses it, or said to be over."""

import asyncio
import threading

import pytest

from exportctl.client.jar import Jar
from exportctl.model.errors import NotAllowed, Unreachable
from signed_in import PROFILE, Command
from waiting import until


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


@pytest.mark.parametrize("status", [301, 308])
async def test_a_redirected_renewal_does_not_end_the_session(people, path, status):
    people.end_access()
    people.refresh_answer = (status, {})
    async with Command(people, path) as command:
        with pytest.raises(Unreachable):
            await command.api.ask("GET", PROFILE, what="the profile", attempts=1)
