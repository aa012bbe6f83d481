"""The options object of an export: whole, made of defaults, the user's own object and flags, in that order."""

import io
import sys

import orjson
import pytest

from exportctl.commands.body.content import ANNOTATIONS, METRICS, wire_options
from exportctl.commands.options import Content
from exportctl.model.errors import Usage

# WIRE.md, Protocol 1, `options`; CLI.md: "the default is images, visualizations, docs, coco and excel".
KEYS = {
    "includeOriginalImages",
    "includeVisualizations",
    "visualizationOptions",
    "annotationFormats",
    "metricsFormats",
    "includeDocumentation",
    "selectedImageIds",
}


@pytest.fixture
def options_file(tmp_path):
    def write(content):
        path = tmp_path / "options.json"
        path.write_bytes(content if isinstance(content, bytes) else orjson.dumps(content))
        return str(path)

    return write


def test_without_a_word_all_usual_things_are_exported():
    options = wire_options(Content())
    assert set(options) == KEYS
    assert (
        options["includeOriginalImages"] is options["includeVisualizations"] is options["includeDocumentation"] is True
    )
    assert (options["annotationFormats"], options["metricsFormats"]) == (["coco"], ["excel"])
    assert options["selectedImageIds"] == []
    assert set(options["visualizationOptions"]) == {
        *("showNumbers", "polygonColors", "strokeWidth", "fontSize", "transparency")
    }


@pytest.mark.parametrize(
    ("content", "key", "value"),
    [
        (Content(images=False), "includeOriginalImages", False),
        (Content(visualizations=False), "includeVisualizations", False),
        (Content(docs=False), "includeDocumentation", False),
        (Content(annotations="none"), "annotationFormats", []),
        (Content(annotations="yolo"), "annotationFormats", ["yolo"]),
        (Content(annotations="json, coco,json"), "annotationFormats", ["coco", "json"]),
        (Content(metrics="csv,excel,json"), "metricsFormats", ["excel", "csv", "json"]),
        (Content(metrics="none"), "metricsFormats", []),
        (Content(select=["a.png", "b/c d.png"]), "selectedImageIds", ["a.png", "b/c d.png"]),
        (Content(scale=0.25), "pixelToMicrometerScale", 0.25),
    ],
)
def test_a_flag_changes_its_key_and_no_other(content, key, value):
    usual = wire_options(Content())
    options = wire_options(content)
    assert options[key] == value
    assert {name: one for name, one in options.items() if name != key} == {
        name: one for name, one in usual.items() if name != key
    }


@pytest.mark.parametrize("text", ["", "coco,", "COCO", "voc", "coco,none", "none,none", "coco yolo", ","])
def test_an_unknown_format_is_a_usage_error_that_lists_the_known(text):
    with pytest.raises(Usage, match="--annotations") as caught:
        wire_options(Content(annotations=text))
    assert all(name in caught.value.hint for name in ANNOTATIONS)
    with pytest.raises(Usage, match="--metrics") as caught:
        wire_options(Content(metrics=text))
    assert all(name in caught.value.hint for name in METRICS)


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf")])
def test_a_scale_is_a_number_above_nothing(scale):
    with pytest.raises(Usage, match="--scale"):
        wire_options(Content(scale=scale))


def test_the_users_own_object_wins_over_defaults_and_flags_over_it(options_file):
    source = options_file({"annotationFormats": ["yolo"], "metricsFormats": ["csv"], "ownKey": {"a": [1]}})
    options = wire_options(Content(options=source, metrics="json"))
    assert options["annotationFormats"] == ["yolo"]
    assert options["metricsFormats"] == ["json"]
    assert options["ownKey"] == {"a": [1]}
    assert set(options) == {*KEYS, "ownKey"}


def test_the_defaults_are_not_changed_by_a_run(options_file):
    before = orjson.dumps(wire_options(Content()))
    wire_options(Content(options=options_file({"visualizationOptions": {}}), annotations="none", select=["x"]))
    assert orjson.dumps(wire_options(Content())) == before


def test_the_object_may_come_by_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"metricsFormats": []}')))
    assert wire_options(Content(options="-"))["metricsFormats"] == []


def test_a_closed_standard_input_is_a_usage_error(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(Usage, match="standard input"):
        wire_options(Content(options="-"))


def test_a_file_with_a_byte_order_mark_is_read(options_file):
    assert wire_options(Content(options=options_file(b'\xef\xbb\xbf{"ownKey": 1}')))["ownKey"] == 1


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'"text"', b"\xff", b'{"a": NaN}', b'{"a":' * 500 + b"1" + b"}" * 500, b"[" * 5000],
    ids=["empty", "cut", "list", "null", "text", "bytes", "nan", "deep", "deeper"],
)
def test_what_is_no_object_is_a_usage_error_that_names_the_file(options_file, content):
    source = options_file(content)
    with pytest.raises(Usage) as caught:
        wire_options(Content(options=source))
    assert source in caught.value.message


def test_a_file_that_is_not_there_or_no_file_is_a_usage_error(tmp_path):
    for source in (tmp_path / "missing.json", tmp_path):
        with pytest.raises(Usage, match="--options"):
            wire_options(Content(options=str(source)))
