"""Whether a file is a whole, right ZIP archive. Law: no damage passes as another error than `Damaged`, or hangs."""

import io
import threading
import zipfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from exportctl.client.verify import check_archive
from exportctl.model.errors import Damaged

GO_ON = threading.Event()
METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]


def archive(method=zipfile.ZIP_DEFLATED, *, comment=b"", entries=None):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as made:
        for name, data in (entries or {"a.txt": b"text " * 50, "b/c.bin": bytes(range(256))}).items():
            made.writestr(name, data)
        made.comment = comment
    return content.getvalue()


@pytest.fixture
def check(tmp_path):
    def run(content, stop=GO_ON):
        path = tmp_path / "n.zip"
        path.write_bytes(content)
        return check_archive(path, stop)

    return run


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("comment", [b"", b"made by a test"])
def test_a_whole_archive_is_right(check, method, comment):
    assert check(archive(method, comment=comment)) == 2


def test_an_archive_without_entries_is_one(check):
    content = io.BytesIO()
    zipfile.ZipFile(content, "w").close()
    assert check(content.getvalue()) == 0


def test_an_archive_with_entries_beyond_the_old_format_is_right(check):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as made, made.open("big.bin", "w", force_zip64=True) as entry:
        entry.write(b"x" * 1000)
    assert check(content.getvalue()) == 1


def test_names_in_any_language_are_right(check):
    assert check(archive(entries={"größe/細胞 1.png": b"x", "q\"uote's.png": b"y"})) == 2


WHOLE = archive(zipfile.ZIP_STORED)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"PK",
        b"<html>not found</html>",
        WHOLE[:-1],
        WHOLE[: len(WHOLE) // 2],
        WHOLE + b"x",
        WHOLE + WHOLE[:100],
        b"x" + WHOLE,
        WHOLE.replace(b"text ", b"texx ", 1),
        b"\0" * 1000,
    ],
    ids=["empty", "stub", "page", "a byte short", "half", "a byte more", "more", "a byte before", "flipped", "zeros"],
)
def test_a_damaged_archive_is_said_to_be_so(check, content):
    with pytest.raises(Damaged, match="the archive is damaged") as caught:
        check(content)
    assert (caught.value.code, caught.value.exit_status) == ("BAD_ARCHIVE", 8)


@pytest.mark.parametrize("method", METHODS)
@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
def test_no_damage_is_another_error(check, method, data):
    whole = bytearray(archive(method))
    for at in data.draw(st.lists(st.integers(0, len(whole) - 1), min_size=1, max_size=4)):
        whole[at] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(0, len(whole)))
    content = bytes(whole) if data.draw(st.booleans()) else bytes(whole[:cut])
    try:
        check(content)
    except Damaged:
        return


@given(at=st.integers(min_value=0), bits=st.integers(1, 255))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_flipped_byte_of_an_entrys_content_is_always_found(check, at, bits):
    content = bytearray(archive(zipfile.ZIP_STORED, entries={"a": b"0123456789"}))
    start = content.index(b"0123456789")
    content[start + at % 10] ^= bits
    with pytest.raises(Damaged):
        check(bytes(content))


def test_it_stops_between_two_blocks_when_it_is_told(check):
    stop = threading.Event()
    stop.set()
    assert check(archive(), stop) == 0
