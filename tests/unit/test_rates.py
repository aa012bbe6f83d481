"""`--limit-rate`: what people write for bytes a second, and what is no rate."""

import pytest

from exportctl.commands.body.exporting import parse_rate
from exportctl.model.errors import Usage


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        (None, None),
        ("1", 1),
        ("100", 100),
        ("500k", 500_000),
        ("500K", 500_000),
        ("2M", 2_000_000),
        ("1.5G", 1_500_000_000),
        ("1Ki", 1024),
        ("2MiB", 2 * 1024**2),
        ("2 MB/s", 2_000_000),
        (" 10kB ", 10_000),
        ("0.5k", 500),
    ],
)
def test_a_rate_is_bytes_a_second(text, rate):
    assert parse_rate(text) == rate


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "0k",
        "0.4",
        "-1",
        "+1",
        "k",
        "fast",
        "1e6",
        "1,5M",
        "5i",
        "2X",
        "1k/m",
        "nan",
        "inf",
        "9" * 400,
        "\u0661",
    ],
)
def test_what_is_no_rate_is_refused_with_one_that_is(text):
    with pytest.raises(Usage, match="is no rate") as refused:
        parse_rate(text)
    assert "500k" in refused.value.hint
