"""A server's certificate that is renewed while it runs: new connections see it, and a bad one changes nothing."""

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
    assert "key values mismatch" in caplog.text
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
