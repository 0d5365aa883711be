"""The reference page of the command line: `python -m moorage.reference > docs/reference/cli.md`."""

from collections.abc import Iterator

import click

from moorage.program import program

HEAD = """# Command line

Generated from the program (`python -m moorage.reference`).

Every verb takes `--json`. An error is one line on stderr and exit status 1, wrong usage exit
status 2; `moorage run` ends with the status of its command. The app is that of `--app`, else that
of the git remote of the current folder that leads to the platform; `moorage deploy` also takes the
folder's name.
"""


def page() -> str:
    """The whole page as Markdown."""
    context = click.Context(program, info_name="moorage")
    return HEAD + "".join(_sections(program, context))


def _sections(group: click.Group, context: click.Context) -> Iterator[str]:
    for name in group.list_commands(context):
        command = group.commands[name]
        if command.hidden:
            continue
        inner = click.Context(command, info_name=name, parent=context)
        yield _section(command, inner)
        if isinstance(command, click.Group):
            yield from _sections(command, inner)


def _section(command: click.Command, context: click.Context) -> str:
    level = "##" if context.parent and context.parent.parent is None else "###"
    usage = " ".join([context.command_path, *command.collect_usage_pieces(context)])
    text = " ".join((command.help or "").split())
    rows = [
        f"- `{names}` {meaning}\n"
        for names, meaning in _options(command, context)
        if "--json" not in names and "--app" not in names and "--help" not in names
    ]
    listed = "\n" + "".join(rows) if rows else ""
    return f"\n{level} {context.command_path}\n\n`{usage}`\n\n{text}\n{listed}"


def _options(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    for parameter in command.get_params(context):
        if isinstance(parameter, click.Option) and (record := parameter.get_help_record(context)):
            yield record[0], record[1]


if __name__ == "__main__":
    click.echo(page(), nl=False)
