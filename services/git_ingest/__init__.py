"""git_ingest: takes what people push with git, and holds the push until it is live or refused.

Events in: `app.created`, `app.deleted`, `access.changed` (who may push and clone), `build.failed`,
`deploy.succeeded`, `deploy.failed` (how a push ended).
Events out: `app.pushed`, `push.cancelled`.
Calls: `portal.create-app`, when somebody pushes to a name that is free.
Tables: `repositories`, `pushes`, `holders`.
On disk: bare repositories under `$MOORAGE_HOME/git/<app>.git`.

The way of a push: `front` lets the caller in and starts git's own server program (`backend`); git
calls `hook/pre-receive`, which talks to `hooks`; `reception` checks what was pushed and packs the
source (`sources`); `deploys` publishes it and holds the push until the platform has answered.
"""
