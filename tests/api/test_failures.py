"""What goes wrong between us and a server, in words that a user can act on, without a token or a path of the server."""

import asyncio
import inspect
import ssl
import subprocess
from contextlib import asynccontextmanager

import httpx
import pytest

from exportctl.client import failures
from exportctl.client.http import Server, open_client
from exportctl.model.errors import Busy, ExportctlError, NotAllowed, NotFound, Rejected, Unreachable

URL = "https://export.example.org"
TOKEN = "secret-of-ana"


def every_kind(of=httpx.HTTPError):
    found = {of}
    for kind in of.__subclasses__():
        found |= every_kind(kind)
    return found


KINDS = sorted((kind for kind in every_kind() if kind.__module__.startswith("httpx")), key=lambda kind: kind.__name__)


def made(kind, words="it says so"):
    request = httpx.Request("GET", URL, headers={"Authorization": f"Bearer {TOKEN}"})
    if "response" in inspect.signature(kind).parameters:
        return kind(words, request=request, response=httpx.Response(500, request=request))
    return kind(words)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("words", ["it says so", "", "one line\nand another"])
def test_every_error_of_httpx_is_one_of_ours_with_words(kind, words):
    error = failures.from_transport(made(kind, words), URL)
    assert isinstance(error, Unreachable)
    assert error.message.startswith(f"no answer from {URL}: ")
    assert len(error.message) > len(f"no answer from {URL}: ")
    assert "\n" not in error.message
    assert error.hint


def test_every_public_exception_of_httpx_is_known_here():
    """One that is neither an HTTPError nor listed here would pass as a bug of ours: look at it when it appears."""
    public = {
        name: thing
        for name, thing in vars(httpx).items()
        if inspect.isclass(thing) and issubclass(thing, Exception) and not issubclass(thing, httpx.HTTPError)
    }
    assert set(public) == {
        "InvalidURL",  # parse_url asks before any request
        "CookieConflict",  # no code of ours reads one cookie by name
        "StreamError",  # a stream used wrongly: our bug
        "StreamConsumed",
        "StreamClosed",
        "ResponseNotRead",
        "RequestNotRead",
    }


def test_an_illegal_header_is_not_quoted():
    """h11 quotes the value, and the value is the token."""
    error = failures.from_transport(httpx.LocalProtocolError(f"Illegal header value b'Bearer {TOKEN}\\n'"), URL)
    assert TOKEN not in error.message


@pytest.mark.parametrize(
    ("status", "kind", "exit_status"),
    [
        (400, Rejected, 2),
        (413, Rejected, 2),
        (422, Rejected, 2),
        (401, NotAllowed, 4),
        (403, NotAllowed, 4),
        (404, NotFound, 5),
        (410, NotFound, 5),
        (409, Busy, 9),
        (429, Busy, 9),
        (500, Unreachable, 7),
        (502, Unreachable, 7),
        (503, Unreachable, 7),
        (302, Unreachable, 7),
        (418, Unreachable, 7),
    ],
)
@pytest.mark.parametrize("body", [None, [], "text", {}, {"error": 7}, {"error": ""}, {"error": "no", "code": "C"}])
def test_a_refusal_has_the_exit_status_of_its_row(status, kind, exit_status, body):
    error = failures.from_answer(status, body, what="project nuclei")
    assert type(error) is kind
    assert error.exit_status == exit_status
    assert error.message
    assert error.code


def test_the_servers_words_code_and_hint_are_passed_on():
    error = failures.from_answer(
        404, {"error": "No such project", "code": "PROJECT_NOT_FOUND", "hint": "look"}, what="p"
    )
    assert (error.message, error.code, error.hint) == ("p: No such project", "PROJECT_NOT_FOUND", "look")


def test_who_is_not_signed_in_is_told_of_options_and_commands_not_of_requests():
    hint = "Sign in (POST /api/auth/login), or send a token: Authorization: Bearer TOKEN"
    error = failures.from_answer(401, {"error": "Authentication failed", "hint": hint}, what="p")
    assert error.message == "not signed in: Authentication failed"
    assert error.hint == "is the token right (--token-file, EXPORTCTL_TOKEN)? exportctl login signs in without one"


@pytest.mark.parametrize(
    ("errors", "words"),
    [
        (
            [{"type": "field", "value": "x", "msg": "Invalid value", "path": "id", "location": "params"}],
            "id: Invalid value",
        ),
        ([{"msg": "a", "path": "x"}, {"msg": "b", "path": "y"}], "x: a; y: b"),
        ([{"msg": "only words"}], "only words"),
        ([{"msg": 7, "path": None}, "rubbish", None], "project nuclei"),
        ("rubbish", "project nuclei"),
    ],
)
def test_validation_errors_of_protocol_1_are_said_field_by_field(errors, words):
    error = failures.from_answer(400, {"errors": errors}, what="project nuclei")
    assert error.message == f"the server refused the request: {words}"


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("ENOENT: no such file, open '/srv/app/exports/j/n.zip'", "ENOENT: no such file, open '…/n.zip'"),
        ("/srv/app/x.py failed", "…/x.py failed"),
        ("C:\\exports\\n.zip is gone", "…/n.zip is gone"),
        ("first line\r\nat Object.<anonymous> (/app/server.js:1:2)", "first line"),
        ("image a/b.png is damaged", "image a/b.png is damaged"),
        ("see https://docs.example.org/a/b/c", "see https://docs.example.org/a/b/c"),
        ("1/2 of /tmp", "1/2 of /tmp"),
        ("x" * 5000, "x" * 300),
    ],
)
def test_the_servers_words_are_one_line_of_bounded_length_without_its_folders(said, shown):
    assert failures.from_answer(500, {"error": said}, what="job 1").message == f"the server failed (500): {shown}"


@pytest.mark.parametrize(
    ("error", "heals"),
    [
        (Unreachable("x"), True),
        (Unreachable("x", code="NOT_JSON"), True),
        (Unreachable("x", code="TLS"), False),
        (NotAllowed("x"), False),
        (NotFound("x"), False),
        (Busy("x"), False),
        (Rejected("x"), False),
    ],
)
def test_waiting_cures_what_is_passing_only(error, heals):
    assert failures.is_passing(error) is heals


async def ask(url, **options):
    server = Server(url=url, correlation_id="c", token=TOKEN, **options)
    async with open_client(server) as http:
        try:
            await http.get("/api/projects")
        except httpx.HTTPError as error:
            raised = failures.from_transport(error, url)
        else:
            return None
    assert isinstance(raised, ExportctlError)
    assert TOKEN not in f"{raised.message} {raised.hint}"
    return raised


@asynccontextmanager
async def listening(serve, **options):
    server = await asyncio.start_server(serve, "127.0.0.1", 0, **options)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_a_port_where_nobody_listens():
    async with listening(lambda _r, w: w.close()) as port:
        pass
    error = await ask(f"http://127.0.0.1:{port}")
    assert error.message == f"no answer from http://127.0.0.1:{port}: connection refused"


async def test_a_name_that_nobody_knows():
    error = await ask("http://no-such-host.invalid")
    assert error.message == "no answer from http://no-such-host.invalid: its name is not known"


async def test_a_server_that_hangs_up_without_a_word():
    async def hang_up(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async with listening(hang_up) as port:
        error = await ask(f"http://127.0.0.1:{port}")
    assert error.message.endswith(": the connection broke")


async def test_a_server_that_speaks_another_protocol():
    async def greet(_reader, writer):
        writer.write(b"220 smtp.example.org ESMTP\r\n")
        await writer.drain()
        writer.close()

    async with listening(greet) as port:
        error = await ask(f"http://127.0.0.1:{port}")
    assert error.message.endswith(": the connection broke")


async def test_tls_to_a_server_without_tls_is_no_mystery_of_numbers():
    async def greet(reader, writer):
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    async with listening(greet) as port:
        error = await ask(f"https://127.0.0.1:{port}")
    assert error.message.endswith(": it speaks no TLS that is known here")


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    command = [
        *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"),
        *("-addext", "subjectAltName=DNS:localhost", "-keyout", folder / "key.pem", "-out", folder / "cert.pem"),
    ]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl is not on PATH: no certificate can be made")
    return folder


@pytest.fixture
async def tls_port(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")

    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        await writer.drain()
        writer.close()

    async with listening(answer, ssl=context) as port:
        yield port


async def test_a_certificate_that_nobody_signed_is_refused_with_the_option_that_trusts_it(tls_port):
    error = await ask(f"https://localhost:{tls_port}")
    assert "is not trusted: self-signed certificate" in error.message
    assert "--ca-bundle" in error.hint
    assert (error.code, error.exit_status, failures.is_passing(error)) == ("TLS", 7, False)


async def test_a_certificate_of_another_name_is_refused(tls_port, certificate):
    error = await ask(f"https://127.0.0.1:{tls_port}", ca_bundle=str(certificate / "cert.pem"))
    assert "is not trusted" in error.message
    assert error.code == "TLS"


async def test_a_named_authority_and_insecure_are_let_through(tls_port, certificate):
    assert await ask(f"https://localhost:{tls_port}", ca_bundle=str(certificate / "cert.pem")) is None
    assert await ask(f"https://127.0.0.1:{tls_port}", insecure=True) is None


async def test_plain_http_led_to_tls_trusts_nobody(tls_port):
    """The context of a plain server is empty, so that nothing that leads to TLS is ever taken on trust."""
    server = Server(url="http://localhost", correlation_id="c")
    async with open_client(server) as http:
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await http.get(f"https://localhost:{tls_port}/")
