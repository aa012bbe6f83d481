"""What an export shall contain: the options of the wire, decoded.

`parse_options` is the only door: after it every value is of the right type and in its range. A missing key, or a
null, is the default; an unknown key is ignored, as protocol 1 does; a wrong value raises `OptionsError`, which says
what is wrong, where it is, and what is allowed.
"""

import math
import re
from dataclasses import dataclass, field

ANNOTATION_FORMATS = ("coco", "yolo", "json")
METRICS_FORMATS = ("excel", "csv", "json")

_COLOR = re.compile(r"#(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6})\Z")
_SELECTION_LIMIT = 1_000_000


class OptionsError(ValueError):
    """The options are wrong: `message` says how and what is allowed, `where` names the key."""

    def __init__(self, message: str, where: str) -> None:
        super().__init__(message)
        self.message = message
        self.where = where


@dataclass(frozen=True, slots=True, kw_only=True)
class VisualizationStyle:
    """How overlays are drawn.

    Colours are `#rrggbb`; `external` fills and outlines polygons, `internal` outlines holes. `stroke_width` is in
    pixels of the image, 0 draws no outline. `font_size` is the largest height of a number in pixels: in small
    polygons numbers get smaller. `transparency` is the wire's name for the weight of the fill, as in production: 0
    is no fill, 1 covers the image.
    """

    show_numbers: bool = True
    external_color: str = "#ff0000"
    internal_color: str = "#0000ff"
    stroke_width: float = 2
    font_size: float = 32
    transparency: float = 0.3


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """One export. `selected` holds paths relative to the folder, () is every image; `scale` is µm per pixel."""

    images: bool = True
    visualizations: bool = True
    annotations: tuple[str, ...] = ("coco",)
    metrics: tuple[str, ...] = ("excel",)
    documentation: bool = True
    selected: tuple[str, ...] = ()
    scale: float | None = None
    style: VisualizationStyle = field(default_factory=VisualizationStyle)


def parse_options(wire: object) -> ExportOptions:
    """Decode the `options` object of a start request; raises OptionsError."""
    given = _object(wire, "options")
    default = ExportOptions()
    scale = given.get("pixelToMicrometerScale")
    return ExportOptions(
        images=_flag(given, "includeOriginalImages", default=default.images),
        visualizations=_flag(given, "includeVisualizations", default=default.visualizations),
        annotations=_formats(given, "annotationFormats", ANNOTATION_FORMATS, default.annotations),
        metrics=_formats(given, "metricsFormats", METRICS_FORMATS, default.metrics),
        documentation=_flag(given, "includeDocumentation", default=default.documentation),
        selected=_selection(given),
        scale=None if scale is None else _number(scale, "pixelToMicrometerScale", above=0, least=0, most=1e6),
        style=_style(given.get("visualizationOptions")),
    )


def to_wire(options: ExportOptions) -> dict[str, object]:
    """Spell the options as the wire does, complete: `parse_options(to_wire(options)) == options`."""
    style = options.style
    return {
        "includeOriginalImages": options.images,
        "includeVisualizations": options.visualizations,
        "visualizationOptions": {
            "showNumbers": style.show_numbers,
            "polygonColors": {"external": style.external_color, "internal": style.internal_color},
            "strokeWidth": style.stroke_width,
            "fontSize": style.font_size,
            "transparency": style.transparency,
        },
        "annotationFormats": list(options.annotations),
        "metricsFormats": list(options.metrics),
        "includeDocumentation": options.documentation,
        "selectedImageIds": list(options.selected),
        "pixelToMicrometerScale": options.scale,
    }


def _style(wire: object) -> VisualizationStyle:
    where = "visualizationOptions"
    default = VisualizationStyle()
    given = {} if wire is None else _object(wire, where)
    colors = given.get("polygonColors")
    pair = {} if colors is None else _object(colors, f"{where}.polygonColors")

    def number(key: str, otherwise: float, least: float, most: float) -> float:
        value = given.get(key)
        return otherwise if value is None else _number(value, f"{where}.{key}", least=least, most=most)

    return VisualizationStyle(
        show_numbers=_flag(given, "showNumbers", default=default.show_numbers, within=f"{where}."),
        external_color=_color(pair.get("external"), f"{where}.polygonColors.external", default.external_color),
        internal_color=_color(pair.get("internal"), f"{where}.polygonColors.internal", default.internal_color),
        stroke_width=number("strokeWidth", default.stroke_width, 0, 100),
        font_size=number("fontSize", default.font_size, 1, 500),
        transparency=number("transparency", default.transparency, 0, 1),
    )


def _object(value: object, where: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise OptionsError(f"{where} must be an object, not {_kind(value)}", where)
    return value


def _flag(given: dict[str, object], key: str, *, default: bool, within: str = "") -> bool:
    value = given.get(key)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise OptionsError(f"{within}{key} must be true or false, not {_kind(value)}", within + key)
    return value


def _formats(given: dict[str, object], key: str, allowed: tuple[str, ...], default: tuple[str, ...]) -> tuple[str, ...]:
    value = given.get(key)
    if value is None:
        return default
    names = ", ".join(allowed)
    if not isinstance(value, list):
        raise OptionsError(f"{key} must be a list of {names}, not {_kind(value)}", key)
    for item in value:
        if item not in allowed:
            raise OptionsError(f"{key} names an unknown format {_shown(item)}; allowed are {names}", key)
    return tuple(name for name in allowed if name in value)


def _selection(given: dict[str, object]) -> tuple[str, ...]:
    key = "selectedImageIds"
    value = given.get(key)
    if value is None:
        return ()
    if not isinstance(value, list):
        raise OptionsError(f"{key} must be a list of image ids, not {_kind(value)}", key)
    if len(value) > _SELECTION_LIMIT:
        raise OptionsError(f"{key} names more than {_SELECTION_LIMIT} images; leave it out to export all", key)
    for item in value:
        if not isinstance(item, str) or not item:
            raise OptionsError(f"{key} must hold image ids (texts), not {_shown(item)}", key)
    return tuple(dict.fromkeys(value))


def _number(value: object, where: str, *, least: float, most: float, above: float | None = None) -> float:
    allowed = (
        f"a number above {above:g}, {most:g} at most" if above is not None else f"a number from {least:g} to {most:g}"
    )
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise OptionsError(f"{where} must be {allowed}, not {_kind(value)}", where)
    # Compared before it is converted: an integer of the wire may be too long for a float.
    if not least <= value <= most or (above is not None and value <= above) or not math.isfinite(value):
        raise OptionsError(f"{where} must be {allowed}, not {_shown(value)}", where)
    return value


def _color(value: object, where: str, default: str) -> str:
    if value is None:
        return default
    if not isinstance(value, str) or not _COLOR.match(value):
        raise OptionsError(f"{where} must be a colour like #ff0000 or #f00, not {_shown(value)}", where)
    digits = value[1:].lower()
    return "#" + (digits if len(digits) == len("rrggbb") else "".join(digit * 2 for digit in digits))


def _kind(value: object) -> str:
    names: dict[type, str] = {bool: "true or false", int: "a number", float: "a number", str: "a text", list: "a list"}
    return "null" if value is None else names.get(type(value), "an object")


def _shown(value: object) -> str:
    text = repr(value) if isinstance(value, str | float | bool) or value is None else _kind(value)
    if isinstance(value, int) and not isinstance(value, bool):
        text = str(value) if abs(value) < 10**15 else "a number too large"
    return text if len(text) <= 60 else text[:59] + "…"  # noqa: PLR2004 - a glance's worth of the offending value
