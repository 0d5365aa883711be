"""Router: which path leads to which targets.

Listens to: `app.created`, `app.deleted`, `targets.changed`.
Publishes: `route.changed`, and the bucket `routes`, which the gateways watch.
Owns: the table `routes`, the truth that the bucket is a copy of.
"""
