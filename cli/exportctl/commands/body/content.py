"""The options object of an export, made from flags and `--options` (`WIRE.md`, options).

A whole object is always sent.
"""

import codecs
import math
import sys
from pathlib import Path
from typing import Final

import orjson

from exportctl.commands.options import Content
from exportctl.model.errors import Usage

_DEFAULTS: Final[dict[str, object]] = {
    "includeOriginalImages": True,
    "includeVisualizations": True,
    "visualizationOptions": {
        "showNumbers": True,
        "polygonColors": {"external": "#ff0000", "internal": "#0000ff"},
        "strokeWidth": 2,
        "fontSize": 32,
        "transparency": 0.3,
    },
    "annotationFormats": ["coco"],
    "metricsFormats": ["excel"],
    "includeDocumentation": True,
    "selectedImageIds": [],
}
ANNOTATIONS: Final = ("coco", "yolo", "json")
METRICS: Final = ("excel", "csv", "json")


def wire_options(content: Content) -> dict[str, object]:
    """Return the options to send. Raises `Usage` for a list, a scale or a file that is wrong."""
    options = dict(_DEFAULTS)
    if content.options is not None:
        options |= _read(content.options)
    if content.images is not None:
        options["includeOriginalImages"] = content.images
    if content.visualizations is not None:
        options["includeVisualizations"] = content.visualizations
    if content.docs is not None:
        options["includeDocumentation"] = content.docs
    if content.annotations is not None:
        options["annotationFormats"] = _formats("--annotations", content.annotations, ANNOTATIONS)
    if content.metrics is not None:
        options["metricsFormats"] = _formats("--metrics", content.metrics, METRICS)
    if content.select:
        options["selectedImageIds"] = list(content.select)
    if content.scale is not None:
        if not math.isfinite(content.scale) or content.scale <= 0:
            raise Usage(f"--scale {content.scale}: micrometres per pixel are a number above 0")
        options["pixelToMicrometerScale"] = content.scale
    return options


def _formats(flag: str, text: str, known: tuple[str, ...]) -> list[str]:
    if text == "none":
        return []
    wanted = [name.strip() for name in text.split(",")]
    for name in wanted:
        if name not in known:
            raise Usage(f"{flag} {text!r}: {name!r} is no format", hint=f"of {', '.join(known)}, with commas; or none")
    return [name for name in known if name in wanted]


def _read(source: str) -> dict[str, object]:
    if source == "-" and sys.stdin is None:
        raise Usage("--options -: standard input is closed")
    try:
        text = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    except OSError as error:
        raise Usage(f"--options {source}: {error.strerror}") from error
    try:
        options = orjson.loads(text.removeprefix(codecs.BOM_UTF8))
        orjson.dumps(options)  # it reads what is nested deeper than it writes
    except orjson.JSONEncodeError as error:
        raise Usage(f"--options {source} is nested too deeply") from error
    except orjson.JSONDecodeError as error:
        raise Usage(f"--options {source} is no JSON: {error}") from error
    if not isinstance(options, dict):
        raise Usage(f"--options {source} is no JSON object")
    return options
