"""An authority of the tests' own, which signs certificates for servers of theirs. Made with `openssl`."""

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

NAMES = "DNS:localhost,DNS:export.example,IP:127.0.0.1"
_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


@dataclass(frozen=True, slots=True)
class Authority:
    """Its own certificate is `bundle`, which `--ca-bundle` takes."""

    folder: Path

    @property
    def bundle(self) -> Path:
        return self.folder / "authority.pem"

    def certify(self, name: str, *, names: str = NAMES, days: int = 2) -> tuple[Path, Path]:
        """Return a server's certificate and key; one of less than a day has ended."""
        certificate, key, request = (self.folder / f"{name}.{kind}" for kind in ("pem", "key", "csr"))
        asked = ("-subj", f"/CN={name}", "-addext", f"subjectAltName={names}", "-keyout", key, "-out", request)
        _openssl("req", *_KEY, *asked)
        signer = ("-CA", self.bundle, "-CAkey", self.folder / "authority.key", "-copy_extensions", "copy")
        _openssl("x509", "-req", "-in", request, *signer, "-days", str(days), "-out", certificate)
        return certificate, key

    def context(self, name: str, *, names: str = NAMES, days: int = 2) -> ssl.SSLContext:
        """Return the TLS of a server with such a certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.certify(name, names=names, days=days))
        return context


def found_authority(folder: Path) -> Authority:
    """Return a new authority. Skips the test where `openssl` is not on PATH."""
    made = ("-x509", "-days", "2", "-subj", "/CN=authority of the tests")
    try:
        _openssl("req", *_KEY, *made, "-keyout", folder / "authority.key", "-out", folder / "authority.pem")
    except FileNotFoundError:
        pytest.skip("openssl is not on PATH: no certificate can be made")
    return Authority(folder)


def _openssl(*words: object) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)
