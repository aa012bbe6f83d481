"""Sockets and followers carry the session, and have it renewed once when it is refused."""

import asyncio
import time

import pytest

from exportctl.client.follow import Follower
from exportctl.client.socket import open_socket
from exportctl.model.errors import NotAllowed, Unreachable
from signed_in import Command
from waiting import until


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
