"""`make images`: container images made of Debian's and Python's packages, with no registry.

From below: `base` (Debian, Python, uv and a site's own certificates), `app`, on which apps are
built, `platform` and one image for each process on top of it, and the servers `nats`, `postgres`
and `openbao`. `catalogue.py` lists them. Each carries a digest of everything that decided its
content, and is made again only when that has changed.
"""
