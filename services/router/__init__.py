"""Router: which path leads to which targets, and how much traffic may go there.

Listens to: `app.created`, `app.deleted`, `targets.changed`.
Publishes: `route.changed`, and the bucket `routes`, which the gateways watch.
Owns: the tables `routes` (where the scheduler leads an app's traffic) and `traffic` (what people
chose for it), the truth that the bucket is a copy of.
"""
