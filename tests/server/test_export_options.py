"""The options of an export at the wire's door."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exportctl.server.export.options import (
    ANNOTATION_FORMATS,
    METRICS_FORMATS,
    ExportOptions,
    OptionsError,
    VisualizationStyle,
    parse_options,
    to_wire,
)


def test_an_empty_object_and_nulls_are_the_default():
    default = ExportOptions()
    assert parse_options({}) == default
    assert parse_options(dict.fromkeys(to_wire(default))) == default
    assert (default.annotations, default.metrics) == (("coco",), ("excel",))
    assert default.images
    assert default.visualizations
    assert default.documentation


def test_what_the_web_client_sends_is_understood():
    options = parse_options(
        {
            "includeOriginalImages": True,
            "includeVisualizations": False,
            "visualizationOptions": {
                "showNumbers": False,
                "polygonColors": {"external": "#F00", "internal": "#0000FF"},
                "strokeWidth": 3,
                "fontSize": 24,
                "transparency": 0.5,
            },
            "annotationFormats": ["json", "coco", "coco"],
            "metricsFormats": [],
            "includeDocumentation": False,
            "selectedImageIds": ["b.png", "a.png", "b.png"],
            "pixelToMicrometerScale": 0.65,
            "somethingNew": [1, 2],
        }
    )
    assert options == ExportOptions(
        visualizations=False,
        annotations=("coco", "json"),
        metrics=(),
        documentation=False,
        selected=("b.png", "a.png"),
        scale=0.65,
        style=VisualizationStyle(
            show_numbers=False, external_color="#ff0000", stroke_width=3, font_size=24, transparency=0.5
        ),
    )


@pytest.mark.parametrize(
    ("wire", "where", "says"),
    [
        (None, "options", "an object, not null"),
        ([], "options", "not a list"),
        ({"annotationFormats": ["pascal"]}, "annotationFormats", "'pascal'; allowed are coco, yolo, json"),
        ({"metricsFormats": "csv"}, "metricsFormats", "a list of excel, csv, json, not a text"),
        ({"metricsFormats": [["csv"]]}, "metricsFormats", "unknown format a list"),
        ({"includeOriginalImages": 1}, "includeOriginalImages", "true or false, not a number"),
        ({"pixelToMicrometerScale": 0}, "pixelToMicrometerScale", "above 0"),
        ({"pixelToMicrometerScale": -1.5}, "pixelToMicrometerScale", "not -1.5"),
        ({"pixelToMicrometerScale": float("nan")}, "pixelToMicrometerScale", "not nan"),
        ({"pixelToMicrometerScale": float("inf")}, "pixelToMicrometerScale", "not inf"),
        ({"pixelToMicrometerScale": 10**400}, "pixelToMicrometerScale", "too large"),
        ({"pixelToMicrometerScale": True}, "pixelToMicrometerScale", "not true or false"),
        ({"selectedImageIds": [""]}, "selectedImageIds", "not ''"),
        ({"selectedImageIds": "a.png"}, "selectedImageIds", "a list of image ids"),
        ({"visualizationOptions": 3}, "visualizationOptions", "an object, not a number"),
        ({"visualizationOptions": {"polygonColors": {"external": "nope"}}}, ".polygonColors.external", "like #ff0000"),
        ({"visualizationOptions": {"transparency": 9}}, "visualizationOptions.transparency", "from 0 to 1, not 9"),
        ({"visualizationOptions": {"strokeWidth": -4}}, "visualizationOptions.strokeWidth", "from 0 to 100"),
        ({"visualizationOptions": {"showNumbers": "yes"}}, "visualizationOptions.showNumbers", "not a text"),
    ],
)
def test_a_wrong_value_is_refused_with_its_place_and_what_is_allowed(wire, where, says):
    with pytest.raises(OptionsError) as caught:
        parse_options(wire)
    assert caught.value.where.endswith(where)
    assert says in caught.value.message
    assert len(caught.value.message) < 200


def subsets(names):
    return st.lists(st.sampled_from(names), unique=True).map(
        lambda chosen: tuple(name for name in names if name in chosen)
    )


@given(
    options=st.builds(
        ExportOptions,
        images=st.booleans(),
        annotations=subsets(ANNOTATION_FORMATS),
        metrics=subsets(METRICS_FORMATS),
        selected=st.lists(st.text(min_size=1), unique=True).map(tuple),
        scale=st.none() | st.floats(min_value=1e-6, max_value=1e6),
        style=st.builds(
            VisualizationStyle, transparency=st.floats(min_value=0, max_value=1), show_numbers=st.booleans()
        ),
    )
)
def test_complete_options_survive_the_wire(options):
    assert parse_options(to_wire(options)) == options


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    wire=json_values
    | st.dictionaries(st.sampled_from([*to_wire(ExportOptions())]), json_values)
    | st.builds(
        lambda style: {"visualizationOptions": style},
        st.dictionaries(
            st.sampled_from(["showNumbers", "polygonColors", "strokeWidth", "fontSize", "transparency"]), json_values
        ),
    )
)
def test_any_json_gives_options_or_an_options_error(wire):
    with suppress(OptionsError):
        parse_options(wire)
