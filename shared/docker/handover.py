"""How a container gets its environment: through standard input, seen by nobody else.

What is in a container's own configuration stands in the engine's files, in every `docker inspect`,
and in an image that is made of the container.
"""

from collections.abc import Mapping, Sequence

from shared.exports import exports

_TAKE = """
read -r size && eval "$(head -c "$size")" && [ "$MOORAGE_COMPLETE" ] || exit 126
unset MOORAGE_COMPLETE size
exec "$@" < /dev/null
"""
# Behind the environment: nothing must start with half of it, should we die while we write.
_COMPLETE = b"\nMOORAGE_COMPLETE=1"


def receiving(command: Sequence[str]) -> dict[str, object]:
    """The part of a container's configuration that runs `command` when it has been given its
    environment. The image must have tini and a shell."""
    return {
        "Entrypoint": [],
        "Cmd": ["/usr/bin/tini", "-g", "--", "/bin/sh", "-c", _TAKE, "moorage", *command],
        "OpenStdin": True,
        "StdinOnce": True,
    }


def given(environment: Mapping[str, str]) -> bytes:
    """What to write to the container. Raises `Invalid` for a name that no variable can have."""
    text = exports(environment) + _COMPLETE
    return b"%d\n%b" % (len(text), text)
