"""Commands that print a document of their own: they take the options that all commands share, and have no use for most.

They are not in the help. `--ndjson` is refused, since the document would stand between the lines; its variable, which
is meant for a whole pipeline, is not heeded.
"""

import inspect
from collections.abc import Callable
from dataclasses import fields
from typing import Annotated, Any, get_args, get_type_hints

import typer

from exportctl.commands.options import Shared


def document(command: Callable[..., int]) -> Callable[..., int]:
    """Return the command with the shared options beside its own."""
    hints = get_type_hints(Shared, include_extras=True)
    own = inspect.signature(command)
    hidden = [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=_hidden(hints[field.name])
        )
        for field in fields(Shared)
    ]

    def run(**given: Any) -> int:
        shared = Shared(**{field.name: given.pop(field.name) for field in fields(Shared)})
        if shared.ndjson:
            from exportctl.commands.body.refusing import refuse  # noqa: PLC0415 - heavy, and only for what is refused
            from exportctl.model.errors import Usage  # noqa: PLC0415 - as above

            name = command.__module__.rpartition(".")[2]
            error = Usage(f"{name} prints a document, and no lines", hint="leave out --ndjson")
            return refuse(name, error, shared)
        return command(**given)

    parameters = [*own.parameters.values(), *hidden]
    run.__name__, run.__doc__, run.__module__ = command.__name__, command.__doc__, command.__module__
    run.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined] # PEP 362
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run


def _hidden(annotation: Any) -> Any:
    """Return an option's annotation without help and variable; typer keeps the first of its names as default."""
    inner, option = get_args(annotation)
    names = [option.default, *(option.param_decls or ())]
    return Annotated[inner, typer.Option(*names, hidden=True, count=option.count, metavar=option.metavar)]
