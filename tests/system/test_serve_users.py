"""`exportctl serve` for people: who may sign in, over TLS, and what it refuses to do beyond this machine."""

import contextlib
import shutil
import subprocess

import pytest

from system.processes import SHARED, until

PASSWORD = "a long password"


@pytest.fixture
def users(exportctl):
    def run(*arguments, said=""):
        reader = subprocess.PIPE if said else subprocess.DEVNULL
        with exportctl.start("serve", *arguments, "--state", exportctl.home / "served", stdin=reader) as process:
            stdout, stderr = process.communicate(said.encode() or None, timeout=60)
        return process.returncode, stdout.decode(), stderr.decode()

    return run


def test_users_are_added_listed_and_removed(users):
    assert users("--add-user", "Ana@example.org", "--password-stdin", said=PASSWORD) == (0, "", "")
    assert users("--add-user", "ben@example.org", "--password-stdin", said=PASSWORD) == (0, "", "")
    assert users("--list-users") == (0, "ana@example.org\nben@example.org\n", "")
    assert users("--remove-user", "ANA@example.org") == (0, "", "")
    assert users("--list-users") == (0, "ben@example.org\n", "")


@pytest.mark.parametrize(
    ("arguments", "said", "status", "words"),
    [
        (["--add-user", "ana"], "", 2, "'ana': Not an email address"),
        (["--add-user", ""], "", 2, "'': Not an email address"),
        (["--add-user", "ana@example.org"], "", 2, "a password is needed"),
        (["--add-user", "ana@example.org", "--password-stdin"], "short", 2, "8 characters"),
        (["--add-user", "ana@example.org", "--list-users"], "", 2, "stand alone"),
        (["--add-user", "ana@example.org", "."], "", 2, "stand alone"),
        (["--remove-user", "ana@example.org"], "", 5, "no user ana@example.org"),
        ([], "", 2, "missing argument 'FOLDER...'"),
        ([".", "--host", "0.0.0.0"], "", 2, "in the clear"),
        ([".", "--host", "0.0.0.0", "--allow-plain-http"], "", 2, "no user or token is known"),
        ([".", "--host", "999.1.1.1"], "", 2, "--host '999.1.1.1' is no address"),
        ([".", "--host", ""], "", 2, "--host '' is no address"),
        ([".", "--host", "[::1]"], "", 2, "--host '[::1]' is no address"),
        ([".", "--host", "203.0.113.7", "--allow-plain-http", "--token", "t"], "", 7, "(--host)"),
        ([".", "--token", ""], "", 2, "token 1 is empty"),
        ([".", "--token", "one", "--token", "two words"], "", 2, "token 2 is empty, or no word"),
        ([".", "--token", "one", "--token", "one"], "", 2, "token 2 is there before"),
        ([".", "--archives-limit", "5X"], "", 2, "--archives-limit: '5X' is no amount"),
        ([".", "--tls-cert", "cert.pem"], "", 2, "belong together"),
        ([".", "--tls-cert", "cert.pem", "--tls-key", "key.pem"], "", 2, "The certificate cert.pem cannot be read"),
    ],
)
def test_what_is_refused_is_refused_in_words(users, arguments, said, status, words):
    ended, stdout, stderr = users(*arguments, said=said)
    assert (ended, stdout) == (status, "")
    assert words in stderr
    assert "Traceback" not in stderr


@pytest.fixture
def certificate(tmp_path):
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed here")
    key, made = tmp_path / "key.pem", tmp_path / "cert.pem"
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    name = ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    request = ["openssl", "req", "-x509", *curve, *name, "-keyout", key, "-out", made]
    subprocess.run(request, check=True, capture_output=True)
    return made, key


@pytest.fixture
def url(exportctl, users, certificate):
    """The URL of a server of the nuclei that speaks TLS and knows one user."""
    users("--add-user", "ana@example.org", "--password-stdin", said=PASSWORD)
    made, key = certificate
    folder = SHARED / "data" / "nuclei"
    arguments = ["serve", folder, "--port", 0, "--tls-cert", made, "--tls-key", key]
    with exportctl.start(*arguments, "--state", exportctl.home / "served") as process, contextlib.ExitStack() as end:
        end.callback(process.terminate)
        yield until(process.stdout.readline, "the server's address").decode().strip()


@pytest.mark.skipif(not (SHARED / "data" / "nuclei").is_dir(), reason="the nuclei are not beside the checkout")
def test_who_signed_in_exports_over_tls_and_a_wrong_password_does_not(exportctl, url, certificate):
    exportctl.environment = {"EXPORTCTL_SERVER": url, "SSL_CERT_FILE": str(certificate[0])}
    assert url.startswith("https://")
    given = {"EXPORTCTL_EMAIL": "ana@example.org"}
    exportctl.environment |= given | {"EXPORTCTL_PASSWORD": "a wrong password"}
    assert exportctl.run("projects").status == 4
    exportctl.environment |= {"EXPORTCTL_PASSWORD": PASSWORD}
    ended = exportctl.run("run", "nuclei", "-o", "x.zip", "--ndjson")
    assert (ended.status, ended.result["verified"]) == (0, True), ended.stderr
    connected = [line["state"] for line in ended.lines if line["event"] == "connection:changed"]
    assert connected[0] == "connected"


@pytest.mark.parametrize("arguments", [["--list-users"], ["."]])
def test_a_state_that_is_none_is_told_as_one_whatever_is_asked(users, exportctl, arguments):
    (exportctl.home / "served").write_text("a file")
    ended, stdout, stderr = users(*arguments)
    assert (ended, stdout) == (11, "")
    assert f"The state folder {exportctl.home / 'served'} cannot be used: " in stderr
    assert "--state" in stderr
