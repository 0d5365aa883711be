"""The program: every verb in one group."""

import click

from moorage import __version__
from moorage.session import app_option, json_option
from moorage.verbs import (
    access,
    accounts,
    apps,
    backup,
    config,
    dead_letters,
    deploy,
    formation,
    logs,
    operators,
    releases,
    run,
    secrets,
    tokens,
    traffic,
    users,
)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="moorage")
@app_option
@json_option
def program() -> None:
    """Deploy data apps to a Moorage platform, watch and manage them."""


VERBS: tuple[click.Command, ...] = (
    accounts.login,
    accounts.logout,
    accounts.whoami,
    accounts.git_credential,
    tokens.tokens,
    apps.apps,
    apps.create,
    apps.info,
    deploy.deploy,
    logs.logs,
    formation.ps,
    formation.scale,
    formation.restart,
    config.config,
    secrets.secrets,
    access.access,
    traffic.traffic,
    releases.releases,
    releases.rollback,
    run.run,
    apps.open_app,
    apps.destroy,
    operators.status,
    operators.events,
    backup.backup,
    backup.restore,
    dead_letters.dead_letters,
    users.users,
)

for verb in VERBS:
    program.add_command(verb)
