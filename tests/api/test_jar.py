"""The jar: whole or not there, its user's alone, one entry per server, one holder of its lock."""

import asyncio
import errno
import os
import stat
import sys
from http.cookiejar import Cookie

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exportctl.client import jar as module
from exportctl.client import keychain
from exportctl.client.jar import Jar, Kept, LockHeldError
from exportctl.model.errors import CannotWrite, NotAllowed, Usage

URL = "https://export.example.org"


def cookie(value="geheim", *, name="access_token", expires=4102444800, domain="export.example.org"):
    return Cookie(
        version=0, name=name, value=value, port=None, port_specified=False, domain=domain, domain_specified=False,
        domain_initial_dot=False, path="/", path_specified=True, secure=True, expires=expires, discard=False,
        comment=None, comment_url=None, rest={},
    )  # fmt: skip


def kept(*values, email="ana@example.com"):
    return Kept(email=email, cookies=tuple(cookie(value, name=f"c{n}") for n, value in enumerate(values)))


@pytest.fixture
def jar(tmp_path):
    return Jar(path=tmp_path / "sessions" / "default.json", url=URL)


async def write(jar, session):
    async with jar.locked():
        await jar.write(session)


async def test_what_was_kept_is_read_again(jar):
    assert await jar.read() is None
    await write(jar, kept("one", "two"))
    found = await jar.read()
    assert (found.email, found.in_keyring) == ("ana@example.com", False)
    assert [(one.name, one.value, one.domain, one.path, one.secure, one.expires) for one in found.cookies] == [
        ("c0", "one", "export.example.org", "/", True, 4102444800),
        ("c1", "two", "export.example.org", "/", True, 4102444800),
    ]


async def test_only_its_user_can_read_it_whatever_the_umask(jar):
    before = os.umask(0)
    try:
        await write(jar, kept("one"))
    finally:
        os.umask(before)
    assert stat.S_IMODE(jar.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(jar.path.parent.stat().st_mode) == 0o700


async def test_every_server_has_an_entry_of_its_own_down_to_the_port(jar):
    other = Jar(path=jar.path, url=f"{URL}:8443")
    await write(jar, kept("one"))
    assert await other.read() is None
    await write(other, kept("two"))
    async with jar.locked():
        await jar.remove()
    assert await jar.read() is None
    assert [one.value for one in (await other.read()).cookies] == ["two"]


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o620, 0o601, 0o660])
async def test_a_jar_that_others_could_read_or_write_is_refused(jar, mode):
    await write(jar, kept("one"))
    jar.path.chmod(mode)
    with pytest.raises(NotAllowed, match="others can read") as caught:
        await jar.read()
    assert caught.value.hint == f"chmod 600 {jar.path}"


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b"null", b'{"v": 2, "servers": {}}', b'{"v": 1, "servers": []}', b"\xff", b"[" * 100_000],
)
async def test_a_damaged_jar_is_told_and_can_be_written_over(jar, text):
    jar.path.parent.mkdir(mode=0o700)
    jar.path.touch(0o600)
    jar.path.write_bytes(text)
    with pytest.raises(NotAllowed, match="damaged"):
        await jar.read()
    await write(jar, kept("one"))
    assert (await jar.read()).email == "ana@example.com"


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=3),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["email", "cookies", "keyring", "name", "value", "domain", "path"]), inner
            )
        ),
    )
)
def test_whatever_an_entry_holds_it_is_a_session_or_none(tmp_path_factory, entry):
    path = tmp_path_factory.mktemp("jar") / "jar.json"
    path.touch(0o600)
    path.write_bytes(orjson.dumps({"v": 1, "servers": {URL: entry}}))
    if isinstance(entry, dict) and entry.get("keyring") is True:
        return
    found = asyncio.run(Jar(path=path, url=URL).read())
    assert found is None or all(isinstance(one, Cookie) for one in found.cookies)


async def test_a_folder_or_a_pipe_in_its_place_is_told_and_not_waited_for(jar):
    jar.path.mkdir(parents=True)
    with pytest.raises(NotAllowed):
        await jar.read()
    jar.path.rmdir()
    os.mkfifo(jar.path, 0o600)
    with pytest.raises(NotAllowed, match="is no file"):
        await jar.read()


async def test_where_nothing_can_be_written_that_is_status_11(jar, monkeypatch):
    def refuse(*_arguments):
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(module.os, "open", refuse)
    with pytest.raises(CannotWrite, match="Read-only") as caught:
        async with jar.locked():
            pass
    assert caught.value.exit_status == 11


async def test_a_full_disk_leaves_the_jar_as_it_was(jar, monkeypatch):
    await write(jar, kept("one"))

    def refuse(_descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module.os, "fsync", refuse)
    with pytest.raises(CannotWrite, match="No space"):
        await write(jar, kept("two"))
    assert [one.value for one in (await jar.read()).cookies] == ["one"]
    assert {path.name for path in jar.path.parent.iterdir()} == {"default.json", "default.lock"}


async def test_the_lock_has_one_holder_and_goes_with_its_end(jar, monkeypatch):
    monkeypatch.setattr(module, "_LOCK_SECONDS", 0.05)
    async with jar.locked():
        with pytest.raises(LockHeldError):
            async with jar.locked():
                pass
    async with jar.locked():
        pass


async def test_what_a_killed_command_left_behind_is_written_over(jar):
    await write(jar, kept("one"))
    jar.path.with_suffix(".new").write_bytes(b"half")
    await write(jar, kept("two"))
    assert [one.value for one in (await jar.read()).cookies] == ["two"]
    assert not jar.path.with_suffix(".new").exists()


def test_no_secret_is_in_a_repr():
    assert "geheim" not in repr(kept("geheim"))


class TestKeyring:
    def test_without_the_extra_its_install_is_named(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "keyring", None)
        with pytest.raises(Usage, match="extra 'keyring'") as caught:
            keychain.check()
        assert caught.value.hint == "pip install 'exportctl[keyring]'"

    async def test_a_session_in_it_cannot_be_read_without_the_extra_and_that_is_said(self, jar, monkeypatch):
        monkeypatch.setitem(sys.modules, "keyring", None)
        jar.path.parent.mkdir(mode=0o700)
        jar.path.touch(0o600)
        jar.path.write_bytes(orjson.dumps({"v": 1, "servers": {URL: {"email": "a", "keyring": True}}}))
        with pytest.raises(NotAllowed, match="not installed") as caught:
            await jar.read()
        assert caught.value.exit_status == 4

    def test_the_words_of_a_back_end_are_not_repeated(self, monkeypatch):
        keyring = pytest.importorskip("keyring")

        def fail(*_arguments):
            raise RuntimeError("geheim")

        for name in ("get_password", "set_password"):
            monkeypatch.setattr(keyring, name, fail)
        for act in (keychain.read, keychain.remove, lambda name: keychain.write(name, "geheim")):
            with pytest.raises(NotAllowed, match="does not open") as caught:
                act("name")
            assert "geheim" not in f"{caught.value.message}{caught.value.hint}"
