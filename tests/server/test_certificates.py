"""A server's certificate that is renewed while it runs: new connections see it, and a bad one changes nothing."""

import re
import ssl
import subprocess

import pytest

from authority import found_authority
from exportctl.server.certificates import Certificate
from exportctl.server.preconditions import StartError
from exportctl.server.settings import Tls


@pytest.fixture
def authority(tmp_path):
    return found_authority(tmp_path)


@pytest.fixture
def tls(authority):
    certificate, key = authority.certify("server")
    return Tls(certificate=certificate, key=key)


def serial_seen(certificate, authority, name):
    """Shake hands in memory; return the serial number of the certificate that a client is shown."""
    trust = ssl.create_default_context(cafile=authority.bundle)
    trust.check_hostname = name is not None
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = trust.wrap_bio(to_client, to_server, server_hostname=name)
    server = certificate.context.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(4):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
    return client.getpeercert()["serialNumber"]


@pytest.mark.parametrize("name", ["localhost", None], ids=["by name", "by none"])
def test_who_connects_after_a_renewal_sees_the_new_certificate(authority, tls, name):
    certificate = Certificate(tls)
    first = serial_seen(certificate, authority, name)
    certificate.renew()
    assert serial_seen(certificate, authority, name) == first
    authority.certify("server")  # in place, as some tools renew
    certificate.renew()
    assert serial_seen(certificate, authority, name) != first


def test_a_renewal_that_is_half_done_or_wrong_leaves_the_certificate_before_in_use(authority, tls, caplog):
    certificate = Certificate(tls)
    first = serial_seen(certificate, authority, "localhost")
    made, key = authority.certify("renewed")
    made.replace(tls.certificate)
    certificate.renew()
    certificate.renew()
    assert [record.levelname for record in caplog.records] == ["ERROR"], "said once"
    assert "is not the one of the certificate" in caplog.text
    assert serial_seen(certificate, authority, "localhost") == first
    key.replace(tls.key)
    certificate.renew()
    second = serial_seen(certificate, authority, "localhost")
    assert second != first
    tls.certificate.unlink()
    certificate.renew()
    assert serial_seen(certificate, authority, "localhost") == second


def test_a_key_behind_a_pass_phrase_is_refused_and_nobody_is_asked_for_it(tls):
    locked = tls.key.with_name("locked.key")
    lock = ["openssl", "pkey", "-in", tls.key, "-aes128", "-passout", "pass:secret", "-out", locked]
    subprocess.run(lock, check=True, capture_output=True)
    locked.replace(tls.key)
    with pytest.raises(StartError, match="locked by a pass phrase") as refused:
        Certificate(tls)
    assert refused.value.hint.startswith("openssl pkey -in ")


def test_what_is_wrong_with_the_files_is_said_by_the_file_it_is_wrong_with(authority, tls, tmp_path):
    _, another = authority.certify("another")
    empty = tmp_path / "empty.pem"
    empty.touch()
    for certificate, key, words in [
        (tls.certificate, another, f"The key {another} is not the one of the certificate {tls.certificate}"),
        (tls.certificate, tmp_path / "none", f"The private key {tmp_path}/none cannot be read: No such file"),
        (tmp_path, tls.key, f"The certificate {tmp_path} cannot be read: Is a directory"),
        (empty, tls.key, f"The certificate {empty} is no certificate"),
        (tls.certificate, empty, f"The key {empty} is no private key"),
    ]:
        with pytest.raises(StartError, match=re.escape(words)):
            Certificate(Tls(certificate=certificate, key=key))


@pytest.mark.parametrize(
    ("asked", "words"),
    [({"days": -1}, "certificate has expired"), ({}, None)],
    ids=["expired", "good"],
)
def test_what_clients_will_not_like_in_a_certificate_is_said_at_the_start(authority, asked, words, caplog):
    certificate, key = authority.certify("doubtful", **asked)
    Certificate(Tls(certificate=certificate, key=key))
    assert caplog.messages == ([] if words is None else [f"Clients will refuse the certificate {certificate}: {words}"])


def test_a_certificate_that_names_no_host_is_said_to(authority, caplog):
    Certificate(Tls(certificate=authority.bundle, key=authority.folder / "authority.key"))
    assert "it names no host" in caplog.text
