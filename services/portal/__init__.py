"""Portal: the catalogue of apps, what happened to them, and the page where people find them.

Listens to: every event that says something to people about an app (see `HANDLERS`).
Publishes: `app.created`, `app.deleted`.
Answers: `portal.create-app`, for the first push of an app.
Owns: the tables `apps`, `access` (a copy of what auth decided), `activity` (kept 30 days), `audit`.
"""
