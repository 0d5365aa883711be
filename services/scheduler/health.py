"""Is the app up? A request to the path, and the answer, that its framework's entry names.

A 200 alone proves nothing: Dash answers 200 to any path. So what the body must hold is part of the
question.
"""

import asyncio
import json
from typing import Any

from services.scheduler.engines.protocol import ImageManifest

REQUEST_SECONDS = 5.0
LARGEST_ANSWER = 4 * 1024 * 1024


Address = tuple[str, int]


async def answers(manifest: ImageManifest, app: str, address: Address, name: str) -> str | None:
    """None when the app at `address` is healthy, else what is wrong, as half a sentence.

    `name` is the platform's own, for apps that look at Host.
    """
    path = manifest.health.path.format(app=app)
    try:
        status, headers, body = await asyncio.wait_for(
            get(address, path, name, f"/{app}" if manifest.prefix_mode == "strip" else None),
            REQUEST_SECONDS,
        )
    except ConnectionRefusedError:
        return "nothing listens on $PORT yet"
    except (OSError, EOFError, ValueError, TimeoutError) as error:
        return f"no answer to GET {path} ({type(error).__name__})"
    return judge(manifest.health.expect, path, status, headers, body)


def judge(expect: Any, path: str, status: int, headers: dict[str, str], body: bytes) -> str | None:
    """None when the answer is the one expected, else what is wrong with it."""
    if expect.status is None and status >= 500:
        return f"GET {path} answers {status}"
    if expect.status is not None and status != expect.status:
        return f"GET {path} answers {status}, not {expect.status}"
    if expect.contains and expect.contains.encode() not in body:
        return f"GET {path} answers without '{expect.contains}'"
    if expect.is_json:
        try:
            json.loads(body)
        except ValueError:
            return f"GET {path} answers no JSON"
    return None


async def get(
    address: Address, path: str, name: str, prefix: str | None
) -> tuple[int, dict[str, str], bytes]:
    """Status, headers (lower-case names) and body of one GET.

    Raises `OSError`, `EOFError` or `ValueError` when there is no proper answer.
    """
    reader, writer = await asyncio.open_connection(*address, limit=256 * 1024)
    try:
        lines = [f"GET {path} HTTP/1.1", f"Host: {name}", "Accept: */*", "Connection: close"]
        if prefix:
            lines.append(f"X-Forwarded-Prefix: {prefix}")
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        head = await reader.readuntil(b"\r\n\r\n")
        first, *rest = head.decode("latin-1").rstrip("\r\n").split("\r\n")
        pairs = (line.partition(":") for line in rest)
        headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
        return int(first.split(" ")[1]), headers, await _body(reader, headers)
    except (IndexError, asyncio.LimitOverrunError) as error:
        raise ValueError("no HTTP answer") from error
    finally:
        writer.close()


async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return await _chunks(reader)
    length = headers.get("content-length")
    if length is not None:
        return await reader.readexactly(min(int(length), LARGEST_ANSWER))
    return await reader.read(LARGEST_ANSWER)


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    body = b""
    while len(body) < LARGEST_ANSWER:
        size = int((await reader.readline()).split(b";")[0], 16)
        if size == 0:
            break
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    return body
