"""The sample app: deployed once, by a real `git push`, as its users will do it."""

import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

from deploy.embedded.layout import CHECKOUT, Layout
from deploy.embedded.platform import local_url, public_url

APP = "dash-stocks"
SOURCE = CHECKOUT / "examples" / APP
BACK_SECONDS = 60.0


def ensure(layout: Layout) -> bool:
    """Push the sample unless it was deployed before; `MOORAGE_SAMPLE=no` leaves it out.

    True when it is live, was live before or is not wanted.
    """
    marker = layout.home / "sample-deployed"
    if os.environ.get("MOORAGE_SAMPLE") == "no":
        return True
    if marker.exists():
        _wait_back(layout)
        return True
    print(f"Deploying the sample app with 'git push' from {SOURCE.relative_to(CHECKOUT)} ...")
    sys.stdout.flush()
    with tempfile.TemporaryDirectory(prefix="moorage-sample-") as folder:
        pushed = push(layout, SOURCE, APP, Path(folder))
    if pushed == 0:
        marker.touch()
    else:
        print(f"The sample app did not go live; its log: moorage logs --app {APP}", file=sys.stderr)
    return pushed == 0


def _wait_back(layout: Layout) -> None:
    """After a stop the apps start again by themselves; give the sample the time it takes."""
    address = f"{local_url()}/{APP}/"
    token = layout.admin_token.read_text().strip()
    request = urllib.request.Request(address, headers={"Authorization": f"Bearer {token}"})
    deadline = time.monotonic() + BACK_SECONDS
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(request, timeout=10, context=_unverified()).close()
            return
        except urllib.error.HTTPError as answer:
            if answer.code != 503:  # deleted, or no business of ours
                return
        except OSError:
            pass
        time.sleep(0.1)


def push(layout: Layout, source: Path, app: str, folder: Path) -> int:
    """Commit a copy of `source` in `folder` and push it as `app`; git's exit status."""
    copy = folder / app
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__", ".venv"))
    who = ("-c", "user.name=Moorage", "-c", "user.email=moorage@localhost")
    # Nothing of the person's own git settings may change what is pushed, or ask them anything.
    environment = {
        **os.environ,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": str(_askpass(folder)),
        # Over the loopback to our own gateway, whose certificate is for other names.
        "GIT_SSL_NO_VERIFY": "1",
        "MOORAGE_TOKEN_FILE": str(layout.admin_token),
    }
    url = f"{local_url().replace('://', '://admin@')}/-/git/{app}.git"
    for arguments in (
        ("init", "--quiet", "--initial-branch=main"),
        ("add", "--all"),
        (*who, "commit", "--quiet", "--message", "The sample app"),
        ("push", "--quiet", url, "main"),
    ):
        done = subprocess.run(["git", *arguments], cwd=copy, env=environment)
        if done.returncode != 0:
            return done.returncode
    return 0


def report(layout: Layout) -> str:
    """What a person needs to know of the running platform."""
    url = public_url()
    lines = [
        "",
        f"  Portal          {url}/",
        f"  Sample app      {url}/{APP}/",
        f"  Administrator   admin, with the password {layout.admin_password.read_text().strip()}",
        f"  API token       in {layout.admin_token}",
        "",
    ]
    return "\n".join(lines)


def _unverified() -> ssl.SSLContext:
    """For the loopback, where our own gateway's certificate is for other names."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _askpass(folder: Path) -> Path:
    """A program that tells git the token, so that it stands in no argument and no file of git's."""
    script = folder / "askpass"
    script.write_text('#!/bin/sh\nexec cat "$MOORAGE_TOKEN_FILE"\n')
    script.chmod(0o700)
    return script
