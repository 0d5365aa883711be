"""What lies around an app: its host, other apps, the company's network, and a metadata service.

The company is a network namespace behind the host; it has a web server and a name server, and the
address of the metadata service too.
"""

import json
import secrets
import subprocess
import sys
import tempfile
from ipaddress import IPv4Network
from typing import Any

from deploy.embedded.credentials import free_ports
from shared.docker.client import connect
from shared.docker.firewall import Egress, apply, removal, rules
from shared.docker.names import Names
from tests.harness import app_image
from tests.harness.docker import DockerServer
from tests.harness.platform import until

COMPANY = IPv4Network("198.51.100.0/24")
COMPANY_HOST, GATEWAY = "198.51.100.2", "198.51.100.1"
METADATA = "169.254.169.254"
NAMED = "203.0.113.7"
"""What the company's name server answers to every question."""
PORT = 8000

NAME_SERVER = f"""
import socket, sys
server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
server.bind((sys.argv[1], 53))
while True:
    question, who = server.recvfrom(512)
    end = question.index(0, 12) + 5
    wants_ipv4 = question[end - 4:end - 2] == bytes([0, 1])
    head = question[:2] + bytes([0x81, 0x80, 0, 1, 0, wants_ipv4, 0, 0, 0, 0])
    answer = bytes([0xC0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4]) + socket.inet_aton("{NAMED}")
    server.sendto(head + question[12:end] + (answer if wants_ipv4 else b""), who)
"""
TRY = """
import concurrent.futures, json, socket, sys
def reached(target):
    host, port = target
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.settimeout(2)
            probe.connect(address)
        return True
    except OSError:
        return False
targets = json.loads(sys.argv[1])
with concurrent.futures.ThreadPoolExecutor(16) as pool:
    print(json.dumps(list(pool.map(reached, targets))))
"""
ASK = "import socket; print(socket.gethostbyname('a.name.example'))"


class Town:
    """Two apps of one platform, one of which has two containers, and everything around them."""

    def __init__(self, server: DockerServer) -> None:
        self.server = server
        self.names = Names(secrets.token_hex(3))
        self.port, self.published = free_ports(2)
        self._strangers = f"s{self.names.mark}"
        self._company = f"company-{self.names.mark}"
        self._folder = tempfile.TemporaryDirectory(prefix="town-")
        self._running: list[subprocess.Popen[bytes]] = []
        self._client = server.client()
        self._containers: dict[str, str] = {}
        self._networks: list[str] = []

    def build(self) -> None:
        self._build_company()
        self._serve(self.port)
        subnets = self.server.networks.subnets(new_prefix=28)
        for app in ("sales", "stock"):
            self._make_network(app, self.names.bridge(app), next(subnets))
        self._make_network("others", self._strangers, next(subnets))
        self._run("sales", "sales", COMPANY_HOST)
        self._run("worker", "sales", GATEWAY)
        self._run("stock", "stock", COMPANY_HOST)
        self._run("stranger", "others", COMPANY_HOST)
        self._lead_on("-I")
        for container in self._containers:
            until(lambda: self.reach(container, ("127.0.0.1", PORT)) == [True])

    def remove(self) -> None:
        for process in self._running:
            process.kill()
            process.wait()
        if "stranger" in self._containers:
            self._lead_on("-D")
        for container in self._containers.values():
            self._client.delete(f"/containers/{container}", params={"force": True})
        for network in self._networks:
            self._client.delete(f"/networks/{network}").raise_for_status()
        self._client.close()
        self.expose()
        _run("ip", "netns", "delete", self._company)
        self._folder.cleanup()

    async def protect(self, egress: Egress = "open", **more: object) -> None:
        script = rules(self.names, egress, **more)  # type: ignore[arg-type]
        async with connect(self.server.url) as docker:
            await apply(docker, app_image.NAME, script)

    def expose(self) -> None:
        """Take the rules away."""
        _run("nft", removal(self.names))

    def reach(self, container: str, *targets: tuple[str, int]) -> list[bool]:
        """Which of the targets a container can open a connection to."""
        return json.loads(self._execute(container, "python3", "-c", TRY, json.dumps(targets)))

    def ask_name(self, container: str) -> str:
        """What a container gets for a name; the last line of the traceback if nothing."""
        return self._execute(container, "python3", "-c", ASK).splitlines()[-1]

    def address(self, container: str) -> str:
        return self._network(container)["IPAddress"]

    def gateway(self, container: str) -> str:
        """The host's address on the bridge of a container."""
        return self._network(container)["Gateway"]

    def link_local(self, app: str) -> str:
        """The same over IPv6, which every interface has, as an app's container names it."""
        bridge = self.names.bridge(app)
        shown = json.loads(_run("ip", "-json", "-6", "address", "show", "dev", bridge))
        return f"{shown[0]['addr_info'][0]['local']}%eth0"

    def accept_everything(self, accept: bool) -> None:
        """What a careless administrator's rules do: the engine's own count no longer."""
        option = "-I" if accept else "-D"
        for bridges in (f"{self.names.bridges}+", self._strangers):
            _run("iptables", "--wait", option, "FORWARD", "-i", bridges, "-j", "ACCEPT")

    def _lead_on(self, option: str) -> None:
        """As the engine leads what arrives at a published port on to a container."""
        match = ["-i", f"{self.names.bridges}+", "-d", GATEWAY, "-p", "tcp"]
        to = ["--to-destination", f"{self.address('stranger')}:{PORT}"]
        rule = [*match, "--dport", str(self.published), "-j", "DNAT", *to]
        _run("iptables", "--wait", "--table", "nat", option, "PREROUTING", *rule)

    def _build_company(self) -> None:
        inner, outer = f"i{self.names.mark}", f"c{self.names.mark}"
        inside = ("ip", "-n", self._company)
        for command in (
            ("ip", "netns", "add", self._company),
            ("ip", "link", "add", outer, "type", "veth", "peer", inner, "netns", self._company),
            ("ip", "address", "add", f"{GATEWAY}/24", "dev", outer),
            ("ip", "link", "set", outer, "up"),
            ("ip", "route", "add", METADATA, "via", COMPANY_HOST),
            (*inside, "address", "add", f"{COMPANY_HOST}/24", "dev", inner),
            (*inside, "address", "add", f"{METADATA}/32", "dev", "lo"),
            (*inside, "link", "set", inner, "up"),
            (*inside, "link", "set", "lo", "up"),
            (*inside, "route", "add", "default", "via", GATEWAY),
        ):
            _run(*command)
        within = ("ip", "netns", "exec", self._company)
        self._serve(PORT, *within)
        self._start(*within, sys.executable, "-c", NAME_SERVER, COMPANY_HOST)
        self._start(sys.executable, "-c", NAME_SERVER, GATEWAY)

    def _serve(self, port: int, *within: str) -> None:
        self._start(*within, sys.executable, "-m", "http.server", str(port), "--bind", "::")

    def _start(self, *command: str) -> None:
        process = subprocess.Popen(
            command, cwd=self._folder.name, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._running.append(process)

    def _make_network(self, name: str, bridge: str, subnet: IPv4Network) -> None:
        network = {
            "Name": f"{self.names.mark}-{name}",
            "IPAM": {"Config": [{"Subnet": str(subnet)}]},
            "Options": {"com.docker.network.bridge.name": bridge},
        }
        made = self._client.post("/networks/create", json=network)
        assert made.status_code == 201, made.text
        self._networks.append(made.json()["Id"])

    def _run(self, name: str, network: str, name_server: str) -> None:
        config = {
            "Image": app_image.NAME,
            "Cmd": ["python3", "-m", "http.server", str(PORT), "--directory", "/data"],
            "HostConfig": {
                "NetworkMode": f"{self.names.mark}-{network}",
                "Dns": [name_server],
                "DnsOptions": ["timeout:1", "attempts:1"],
                "Sysctls": {"net.ipv6.conf.all.disable_ipv6": "0"},
            },
        }
        made = self._client.post("/containers/create", json=config)
        assert made.status_code == 201, made.text
        self._containers[name] = made.json()["Id"]
        started = self._client.post(f"/containers/{self._containers[name]}/start")
        assert started.status_code == 204, started.text

    def _network(self, container: str) -> dict[str, Any]:
        shown = self._client.get(f"/containers/{self._containers[container]}/json").json()
        (network,) = shown["NetworkSettings"]["Networks"].values()
        return network

    def _execute(self, container: str, *command: str) -> str:
        wish = {"Cmd": command, "AttachStdout": True, "AttachStderr": True, "Tty": True}
        made = self._client.post(f"/containers/{self._containers[container]}/exec", json=wish)
        return self._client.post(f"/exec/{made.json()['Id']}/start", json={"Tty": True}).text


def _run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
    return done.stdout
