"""Start lines of the two servers that the platform adds where an app names none."""

HOST = "${HOST:-127.0.0.1}"


def gunicorn(target: str) -> str:
    """One process with threads: state in memory stays whole, and a slow request blocks nobody.

    gunicorn reads WEB_CONCURRENCY by itself, for those who want more processes.
    """
    return f"exec python -m gunicorn {target} --bind {HOST}:$PORT --threads 8"


def uvicorn(target: str) -> str:
    return f"exec python -m uvicorn {target} --host {HOST} --port $PORT"
