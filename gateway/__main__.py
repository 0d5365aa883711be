"""`python -m gateway`: the parent; the workers do the work."""

import sys

from gateway.parent import main

if __name__ == "__main__":
    sys.exit(main())
