"""Email and password sign in anew where a session is over, once for all commands, and never for somebody else."""

import asyncio
from dataclasses import replace

import pytest

from exportctl.client.jar import Jar
from exportctl.client.socket import open_socket
from exportctl.model.errors import NotAllowed
from people_server import EMAIL
from signed_in import ANA, Command


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
