"""Secrets: config vars and secrets of each app, in a Vault-compatible store (OpenBao).

Listens to: `app.created`, `app.deleted`.
Publishes: `config.changed` (names, never values).
Answers: `secrets.issue`, a single-use way for the scheduler to read one app's values.
Owns: the tables `apps`, `versions`, `intents`, `removals` (names and dates), and in the store the
KV v2 mount `apps` and the policies `app-*`. Values are nowhere but in the store.
"""
