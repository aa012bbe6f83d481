"""`--connections` with the real command and server: the same archive, also after a kill and through a cut."""

import hashlib

import pytest

from server.conftest import write_images
from system.processes import until
from system.proxy import After, Cut, Fault, Proxy


@pytest.fixture
def done(exportctl, serve, tmp_path):
    """A server, and a finished job of some megabytes."""
    served = serve(write_images(tmp_path / "cells", 30, size=400))
    job = exportctl.run("start", "cells", *served.options).stdout.decode().strip()
    followed = exportctl.run("follow", job, *served.options, "--ndjson").lines
    digest = next(line["sha256"] for line in followed if line["event"] == "export:download-ready")
    return served, job, digest


def digest_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_what_was_killed_is_gone_on_with_over_several(exportctl, done):
    served, job, digest = done
    words = ["download", job, *served.options, "-o", "it.zip", "--connections", 4, "--ndjson"]
    killed = exportctl.start(*words, "--limit-rate", "500k")

    def size():
        return sum(path.stat().st_size for path in exportctl.folder.glob(".it.zip.*.part"))

    until(lambda: size() > 100_000, "bytes on disk")
    killed.kill()
    killed.communicate()
    before = size()
    again = exportctl.run(*words)
    assert (again.status, again.result["stats"]["resumedFrom"]) == (0, before)
    assert digest_of(exportctl.folder / "it.zip") == again.result["sha256"] == digest


def test_a_cut_of_all_of_them_is_gone_on_with(exportctl, done):
    served, job, digest = done
    with Proxy(served.url, tuple(Fault(After(count * 400_000, "down"), Cut("reset")) for count in (1, 2, 4))) as proxy:
        served.url = proxy.url
        ended = exportctl.run("download", job, *served.options, "-o", "it.zip", "--connections", 3, "--ndjson")
    assert ended.status == 0
    assert digest_of(exportctl.folder / "it.zip") == digest


def test_a_number_that_makes_no_sense_is_usage(exportctl):
    for number in (0, 17, "many"):
        assert exportctl.run("download", "12345678/12345678", "--connections", number).status == 2
