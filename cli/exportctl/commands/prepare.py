"""For developers: write what `startup` answers from, out of the commands themselves, `completions/`, and the schema.

    python -m exportctl.commands.prepare

`prepared` is all of it as data, so that a test can hold the files against it.
"""

import sys
from pathlib import Path
from typing import Any, Final, Literal, get_args, get_origin

import typer

import exportctl
from exportctl.commands import catalogs, manual, reference, schema_made
from exportctl.commands.app import COMMANDS, app
from exportctl.commands.body.schema import FILE as SCHEMA
from exportctl.startup.answers import SCRIPTS

STARTUP: Final = Path(exportctl.__file__).parent / "startup"
REFERENCE: Final = Path(exportctl.__file__).parents[2] / "docs" / "ndjson.md"
MANUAL: Final = Path(exportctl.__file__).parents[2] / "docs" / "man" / "exportctl.1"
COMPLETIONS: Final = Path(exportctl.__file__).parents[2] / "completions"
_KINDS: Final = {
    "FILE": "file",
    "FILE|-": "file",
    "PATH": "file",
    "FOLDER": "folder",
    "FOLDER...": "folder",
    "JOB": "job",
    "JOB...": "job",
    "PROJECT": "project",
    "TARGET": "target",
}
"""What completes a value, by the name that its declaration gives it."""


def prepared() -> dict[Path, str]:
    """Return every file that is made from the commands: its text by its path."""
    group: Any = typer.main.get_command(app)
    with group.make_context("exportctl", [], resilient_parsing=True) as parent:
        files = {
            STARTUP / "help" / "exportctl.txt": parent.get_help() + "\n",
            STARTUP / "tables" / "exportctl.tsv": _group_table(parent),
        }
        for name in COMMANDS:
            command = group.get_command(parent, name)
            with command.make_context(name, [], parent=parent, resilient_parsing=True) as context:
                files[STARTUP / "help" / f"{name}.txt"] = context.get_help() + "\n"
                files[STARTUP / "tables" / f"{name}.tsv"] = "".join(
                    _row(name, param) for param in command.get_params(context) if not getattr(param, "hidden", False)
                )
    files[SCHEMA] = schema_made.text()
    files[REFERENCE] = reference.page()
    files[MANUAL] = manual.page({path.stem: text for path, text in files.items() if path.parent.name == "help"})
    for script in SCRIPTS.values():
        files[COMPLETIONS / script] = (STARTUP / "shells" / script).read_text("utf-8")
    return files


def _group_table(context: Any) -> str:
    rows = [f"{name}\tcommand\t\t\t{said}\n" for name, said in COMMANDS.items()]
    return "".join([*rows, *(_row("exportctl", param) for param in context.command.get_params(context))])


def _row(command: str, param: Any) -> str:
    annotation = param.type_descriptor.annotation
    is_argument = param.param_type_name == "argument"
    names = [param.metavar or param.name] if is_argument else [*param.opts, *param.secondary_opts]
    names.sort(key=lambda name: not name.startswith("--"))  # those of --help come from a set
    if get_origin(annotation) is list:
        (annotation,) = get_args(annotation)
    kind, choices = _kind(command, param, annotation)
    is_many = param.multiple or param.nargs == -1 or getattr(param, "count", False)
    meaning = (param.help or "").partition("\n")[0]
    return "\t".join([" ".join(names), kind, " ".join(choices), "many" if is_many else "", meaning]) + "\n"


def _kind(command: str, param: Any, annotation: Any) -> tuple[str, tuple[str, ...]]:
    if getattr(param, "is_flag", False) or getattr(param, "count", False):
        return "flag", ()
    if get_origin(annotation) is Literal:
        return "choice", get_args(annotation)
    if param.metavar == "LIST":
        from exportctl.commands.body import content  # noqa: PLC0415 - the lists are where they are read

        return "list", (*getattr(content, param.name.upper()), "none")
    if param.metavar == "TARGET" and command == "start":
        return "project", ()  # a folder needs the embedded server, whose jobs cannot outlive a command
    kind = _KINDS.get(param.metavar or "", "value")
    return kind, ("sample",) if kind == "target" else ()


def main() -> int:
    """Write the files and name those that changed."""
    for path, content in catalogs.compiled().items():
        if not path.exists() or path.read_bytes() != content:
            path.write_bytes(content)
            sys.stdout.write(f"{path}\n")
    for path, text in prepared().items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text("utf-8") != text:
            path.write_text(text, "utf-8")
            sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
