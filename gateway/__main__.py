"""`python -m gateway`."""

import sys

import uvloop

from gateway.app import serve
from gateway.settings import GatewaySettings
from shared.process import read_settings

if __name__ == "__main__":
    sys.exit(0 if uvloop.run(serve(read_settings("gateway", GatewaySettings))) else 1)
