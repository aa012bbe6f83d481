"""What signs in is in nothing that a command says or keeps, also where a server sends it back in its own words."""

import pytest

from system.hostile import TOKEN, Peer, response
from system.processes import end_of


class Echo(Peer):
    """Says in every refusal what it was sent. `status` None: it takes all, and fails the job with those words."""

    def __init__(self, status):
        super().__init__()
        self.refusal = status
        if status is None:
            name, data = self.log[-1]
            self.log[-1] = (name.replace("completed", "failed"), data | {"error": f"cannot write for {TOKEN}"})
            self.status = "failed"

    async def handle(self, request):
        said = f"Token '{TOKEN}' ({request.headers.get('authorization')}) is not wanted"
        if self.refusal is not None:
            return response(self.refusal, {"success": False, "error": said, "code": "NO", "hint": f"not {TOKEN}"})
        return await super().handle(request)

    async def talk(self, web):
        if self.refusal is None:
            await super().talk(web)
            return
        await web.send(b'0{"sid":"s","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}')
        said = await web.receive()
        await web.send(b'44{"message":"' + said.replace(b'"', b"'") + TOKEN.encode() + b' is not wanted"}')


REFUSALS = [("run", status) for status in (400, 401, 404, 409, None)] + [("doctor", status) for status in (401, 403)]


@pytest.mark.parametrize(("name", "status"), REFUSALS)
def test_a_token_is_in_no_line_no_error_and_no_file_whatever_a_server_says_of_it(command, name, status):
    words = {"run": ["run", "plates"], "doctor": ["doctor", "--transport", "socket"]}[name]
    with Echo(status) as peer:
        options = ["--server", peer.url, "-vv", "--ndjson", "--events", "log.ndjson", "--token-file", "token"]
        (command.folder / "token").write_text(TOKEN)
        ended = end_of(command.start(*words, *options, "--timeout", "20"), 60, peer)
    assert ended.status not in {0, 1}
    assert TOKEN not in ended.stdout.decode() + ended.stderr
    assert "***" in ended.stdout.decode() + ended.stderr
    (command.folder / "token").unlink()
    for path in [*command.folder.rglob("*"), *command.home.rglob("*")]:
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), path


@pytest.mark.parametrize(
    "url",
    [
        "http://ana:s3cret@host:99999",
        "http://ana:s3cret@host:port",
        "ftp://ana:s3cret@host",
        "http://ana:s3/cret@host",
        "http://ana:s3cret@host",
        "http://ana:s3cret@",
        "ana:s3cret@host",
    ],
)
def test_a_password_in_an_address_is_not_said_again_by_whoever_refuses_it(command, url):
    ended = command.run("whoami", "--server", url, "--ndjson")
    assert ended.status == 2
    assert "s3" not in ended.stdout.decode() + ended.stderr


@pytest.mark.parametrize("proxy", ["http://ana:s3cret@127.0.0.1:99999", "http://ana:s3cret@[::1", "x://ana:s3cret@h:1"])
def test_a_proxy_that_makes_no_sense_is_named_by_its_variable_alone(command, proxy):
    command.environment["HTTP_PROXY"] = proxy
    ended = command.run("whoami", "--server", "http://export.example", "--ndjson")
    assert (ended.status, "HTTP_PROXY" in ended.stderr) == (2, True)
    assert "s3cret" not in ended.stdout.decode() + ended.stderr


@pytest.mark.parametrize("words", [["login", "s3cret"], ["login", "--password", "s3cret"], ["whoami", "--tokn=s3cret"]])
def test_a_password_that_stands_where_none_is_taken_is_not_said_again(command, words):
    ended = command.run(*words, "--ndjson")
    assert ended.status == 2
    assert "s3cret" not in ended.stdout.decode() + ended.stderr
