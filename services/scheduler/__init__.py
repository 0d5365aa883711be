"""The scheduler: turns builds into releases, keeps instances running, and moves traffic safely.

Desired state lies in PostgreSQL; what runs is brought to agree with it by a reconciler on a clock,
and events only wake it. An old instance stops when every gateway has said that it drained it.

Events in: app.created, app.deleted, build.succeeded, config.changed, push.cancelled,
route.applied, instance.drained.
Events out: release.created, targets.changed, instance.started, instance.stopped, instance.crashed,
deploy.succeeded, deploy.failed, app.scaled.
Asks: secrets.issue, when an instance starts.
Tables: apps, deleted_apps, releases, rollouts, cancelled_deploys, instances, gateways, applied.
"""
