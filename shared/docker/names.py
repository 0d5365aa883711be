"""What the platform calls its own containers, networks and images in an engine it may share."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

LABEL = "moorage.platform"
"""Label of everything that a platform has made; its value is the platform's mark."""
BUILDS = ".builds"
"""The network on which packages are installed; no app can be called so."""
BRIDGE_LENGTH = 15
"""The longest name of a network interface (IFNAMSIZ in linux/if.h, without the final NUL)."""


@dataclass(frozen=True)
class Names:
    """Names for one platform; `mark` tells it from others on the same engine."""

    mark: str

    @staticmethod
    def of(home: Path) -> "Names":
        """The data folder decides, as it does for everything else."""
        return Names(hashlib.sha256(str(home.resolve()).encode()).hexdigest()[:6])

    @property
    def labels(self) -> dict[str, str]:
        return {LABEL: self.mark}

    def filters(self, *labels: str) -> dict[str, list[str]]:
        """For the engine's lists: only what the platform has made, and has these labels."""
        return {"label": [*(f"{name}={value}" for name, value in self.labels.items()), *labels]}

    @property
    def bridges(self) -> str:
        """What the names of all bridges begin with; the firewall's rules go by it."""
        return f"m{self.mark}-"

    def container(self, instance: str) -> str:
        return f"moorage-{self.mark}-{instance}"

    def network(self, name: str) -> str:
        return f"moorage-{self.mark}-{name}"

    def bridge(self, name: str) -> str:
        rest = BRIDGE_LENGTH - len(self.bridges)
        return self.bridges + hashlib.sha256(name.encode()).hexdigest()[:rest]

    @property
    def environments(self) -> str:
        """The repository of environments; those of apps have a slash."""
        return f"moorage-{self.mark}-environments"

    def repository(self, name: str) -> str:
        return f"moorage-{self.mark}/{name}"
