"""A minimal Debian as one archive, made by mmdebstrap.

It has what Debian calls essential, apt, Python and certificates. The same state of Debian's archive
gives the same bytes, whoever makes it and wherever.
"""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from deploy.images import trouble
from deploy.images.context import EPOCH
from deploy.images.mirrors import KEYRING, SUITE
from deploy.images.settings import proxies
from shared.errors import Unavailable

PACKAGES = ("?essential", "apt", "ca-certificates", "python3", "tzdata", "usr-is-merged")
"""The last spares Perl's whole library, which another way to the same end would ask for."""
LEFT_OUT = ("/usr/share/man/*", "/usr/share/info/*", "/usr/share/doc/*", "/usr/share/locale/*")
KEPT = ("/usr/share/doc/*/copyright",)
MADE_ON_THE_WAY = (
    "etc/hostname",
    "etc/resolv.conf",
    "var/cache/*",
    "var/log/*",
    "var/lib/apt/lists/*",
)
"""Among it what was this machine's own."""
HOOKS = "/usr/share/mmdebstrap/hooks/merged-usr"
NEEDED = ("mmdebstrap", "debian-archive-keyring")


def arguments(sources: Sequence[str], architecture: str) -> list[str]:
    """What decides the content; to follow `mmdebstrap --mode=...`."""
    remove = " ".join(f'"$1"/{place}' for place in MADE_ON_THE_WAY)
    return [
        "--variant=custom",
        f"--architectures={architecture}",
        *(f"--include={package}" for package in PACKAGES),
        f"--hook-dir={HOOKS}",
        '--aptopt=APT::Install-Recommends "false"',
        '--aptopt=Acquire::Languages "none"',
        '--aptopt=Acquire::Retries "3"',
        *(f"--dpkgopt=path-exclude={place}" for place in LEFT_OUT),
        *(f"--dpkgopt=path-include={place}" for place in KEPT),
        f"--customize-hook=rm -rf {remove}",
        "--format=tar",
        SUITE,
        "-",
        *sources,
    ]


def make(arguments: Sequence[str], target: Path, log: Path) -> None:
    """Write the archive. Raises `Unavailable`."""
    mode = "root" if os.geteuid() == 0 else "unshare"
    program = _program()
    with target.open("wb") as output, log.open("wb") as errors:
        done = subprocess.run(
            [program, f"--mode={mode}", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            env={
                **os.environ,
                **proxies(os.environ),
                "SOURCE_DATE_EPOCH": str(EPOCH),
                "LC_ALL": "C.UTF-8",
            },
        )
    if done.returncode:
        raise trouble.explained("Debian's packages cannot be fetched", log)


def _program() -> str:
    """mmdebstrap and Debian's keys, installed if that is ours to do."""
    if not _there() and os.geteuid() == 0 and shutil.which("apt-get"):
        for command in (["update"], ["install", "-y", "--no-install-recommends", *NEEDED]):
            subprocess.run(
                ["apt-get", "-qq", *command],
                stdout=subprocess.DEVNULL,
                env={**os.environ, **proxies(os.environ), "DEBIAN_FRONTEND": "noninteractive"},
            )
    if not _there():
        raise Unavailable(
            "Images need mmdebstrap: have the administrator install it "
            f"('apt-get install {' '.join(NEEDED)} uidmap'), or name a Debian image of your "
            "registry in MOORAGE_IMAGE_BASE."
        )
    return shutil.which("mmdebstrap") or "mmdebstrap"


def _there() -> bool:
    return shutil.which("mmdebstrap") is not None and Path(KEYRING).exists()
