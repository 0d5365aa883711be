"""Builder: turns pushed source into an image that an engine can run.

Listens to: `app.pushed` (a build is queued), `push.cancelled` (it is given up), `app.deleted`.
Publishes: `build.started`, `build.succeeded`, `build.failed`, and progress lines while it works.
Owns: the tables `builds` and `build_log`; under the data folder `builds/` (work in progress),
`environments/` (installed dependencies by digest), `images/` (code and how to run it by digest) and
`uv-cache/`.

Code of an app is parsed here and never imported. Code of its dependencies runs only in a sandbox.
"""
