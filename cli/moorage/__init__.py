"""The command line of Moorage.

One file per group of verbs in `verbs`; beside them `client` (HTTP), `git` (the real git program),
`logins` (what is remembered between calls) and `output` (tables, or `--json` for programs).
"""

__version__ = "0.1.0"
