"""The options that commands share, each group a dataclass; `flattened` gives typer one option for each field.

Help texts are what `--help`, the completions and the README's tables are made of. Values stay as typed here; where a
profile may say otherwise None stands for "not given".
"""

import dataclasses
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_type_hints

import typer


@dataclass(frozen=True, slots=True, kw_only=True)
class Shared:
    """Options of every command that shows something."""

    ndjson: Annotated[
        bool,
        typer.Option(
            "--ndjson", "--json", envvar="EXPORTCTL_NDJSON", help="One JSON object per line on standard output."
        ),
    ] = False
    events: Annotated[
        str | None,
        typer.Option(
            "--events", envvar="EXPORTCTL_EVENTS", metavar="FILE", help="The same lines into a file, or fd:N."
        ),
    ] = None
    progress: Annotated[
        Literal["auto", "bars", "plain", "none"],
        typer.Option("--progress", envvar="EXPORTCTL_PROGRESS", help="How progress is shown on standard error."),
    ] = "auto"
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="Nothing on standard error but errors.")] = False
    verbose: Annotated[
        int,
        typer.Option(
            "-v", "--verbose", count=True, help="Connection and retry details on standard error; -vv: frames too."
        ),
    ] = 0
    timeout: Annotated[
        float | None,
        typer.Option(
            "--timeout",
            envvar="EXPORTCTL_TIMEOUT",
            metavar="SECONDS",
            help="Give up on the whole command; the job goes on.",
        ),
    ] = None
    lang: Annotated[
        str | None,
        typer.Option(
            "--lang",
            metavar="TAG",
            help="Language of bars and plain lines: cs, de, en, es, fr, zh."
            " [env: EXPORTCTL_LANG, LC_ALL, LC_MESSAGES, LANG]",
        ),
    ] = None
    no_state: Annotated[bool, typer.Option("--no-state", help="Keep and read nothing on this machine.")] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Options of every command that speaks to a server."""

    server: Annotated[
        str | None,
        typer.Option("--server", envvar="EXPORTCTL_SERVER", metavar="URL", help="The export server."),
    ] = None
    profile: Annotated[
        str,
        typer.Option(
            "--profile", envvar="EXPORTCTL_PROFILE", metavar="NAME", help="Section of the configuration file."
        ),
    ] = "default"
    token: Annotated[
        str | None,
        # Its variable is read in `body/target.py`: as typer's it would win over --token-file, which is an option.
        typer.Option(
            "--token", metavar="TOKEN", help="Bearer token, as an option visible in ps. [env: EXPORTCTL_TOKEN]"
        ),
    ] = None
    token_file: Annotated[
        str | None, typer.Option("--token-file", metavar="FILE", help="File that holds the bearer token.")
    ] = None
    transport: Annotated[
        Literal["auto", "socket", "polling"],
        typer.Option("--transport", envvar="EXPORTCTL_TRANSPORT", help="Hold to one way of following."),
    ] = "auto"
    poll_interval: Annotated[
        float,
        typer.Option("--poll-interval", metavar="SECONDS", min=0.1, help="Between polls while the socket is down."),
    ] = 2.0
    ca_bundle: Annotated[
        str | None,
        typer.Option("--ca-bundle", envvar="SSL_CERT_FILE", metavar="FILE", help="Certificates to trust, PEM."),
    ] = None
    insecure: Annotated[bool, typer.Option("--insecure", help="Do not check the server's certificate.")] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """What an export shall contain."""

    images: Annotated[bool | None, typer.Option("--images/--no-images", help="Original images; on by default.")] = None
    visualizations: Annotated[
        bool | None,
        typer.Option("--visualizations/--no-visualizations", help="Images with polygons drawn; on by default."),
    ] = None
    annotations: Annotated[
        str | None,
        typer.Option(
            "--annotations", metavar="LIST", help="Of coco, yolo, json, with commas, or none; coco by default."
        ),
    ] = None
    metrics: Annotated[
        str | None,
        typer.Option("--metrics", metavar="LIST", help="Of excel, csv, json, with commas, or none; excel by default."),
    ] = None
    docs: Annotated[bool | None, typer.Option("--docs/--no-docs", help="A README of the export; on by default.")] = None
    select: Annotated[
        list[str] | None,
        typer.Option("--select", metavar="ID", help="Only this image (repeatable); embedded: a path in the folder."),
    ] = None
    scale: Annotated[
        float | None, typer.Option("--scale", metavar="UM_PER_PX", help="Micrometres per pixel, for the metrics.")
    ] = None
    options: Annotated[
        str | None,
        typer.Option("--options", metavar="FILE|-", help="The server's options object as JSON; flags win over it."),
    ] = None
    embedded: Annotated[bool, typer.Option("--embedded", help="Run the embedded server whatever is configured.")] = (
        False
    )
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check everything, start nothing.")] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """Where the archive goes."""

    output: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="PATH",
            help="A file, a folder, - for standard output, or a template with {project}, {job}, {date}.",
        ),
    ] = None
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")] = False
    extract: Annotated[
        str | None,
        typer.Option(
            "--extract",
            metavar="FOLDER",
            help="Put the archive's content there, all of it or nothing; without -o the archive is not kept.",
        ),
    ] = None
    verify: Annotated[
        bool, typer.Option("--verify/--no-verify", help="Hold the archive against its digest and its own CRCs.")
    ] = True
    limit_rate: Annotated[
        str | None,
        typer.Option("--limit-rate", metavar="RATE", help="Bytes a second at most; 500k, 2M and 1.5G are understood."),
    ] = None
    connections: Annotated[
        int,
        typer.Option(
            "--connections", metavar="N", min=1, max=16, help="Connections at once, for links of long latency."
        ),
    ] = 1
    no_live: Annotated[
        bool, typer.Option("--no-live", help="Do not stream the archive while it is made; wait until it is whole.")
    ] = False
    strict: Annotated[bool, typer.Option("--strict", help="Completed with warnings is status 3; the file is kept.")] = (
        False
    )


Interrupt = Literal["cancel", "detach"]
IfBusy = Literal["fail", "wait", "join"]


def flattened(command: Callable[..., Any]) -> Callable[..., Any]:
    """Return `command` with every parameter that is one of the groups above replaced by the group's own fields."""
    hints = get_type_hints(command, include_extras=True)
    groups = {name: hint for name, hint in hints.items() if dataclasses.is_dataclass(hint) and isinstance(hint, type)}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        if name in groups:
            parameters += _of_group(groups[name])
        else:
            parameters.append(parameter.replace(annotation=hints[name], kind=inspect.Parameter.KEYWORD_ONLY))

    def run(**given: Any) -> Any:
        made = {
            name: group(**{field.name: given.pop(field.name) for field in dataclasses.fields(group)})
            for name, group in groups.items()
        }
        return command(**given, **made)

    run.__name__ = command.__name__
    run.__doc__ = command.__doc__
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # PEP 362: read by inspect.signature
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _of_group(group: type) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
        )
        for field in dataclasses.fields(group)
    ]
