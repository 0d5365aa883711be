"""An app that remembers what it was asked: for ASGI and WSGI, or served by Tornado.

Each request is a line of JSON in the file that MOORAGE_RECORD names: method, path and query as they
came, the bytes of the body. The answer is the same line.
"""

import json
import os
import sys
from typing import Any
from urllib.parse import quote


def record(method: str, target: str, size: int) -> bytes:
    line = json.dumps([method, target, size]).encode()
    with open(os.environ["MOORAGE_RECORD"], "ab") as file:
        file.write(line + b"\n")
    return line


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    if scope["type"] != "http":
        return
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    target = scope["raw_path"].decode("latin-1")
    if scope["query_string"]:
        target += "?" + scope["query_string"].decode("latin-1")
    body = record(scope["method"], target, size)
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def wsgi(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    target = environ.get("RAW_URI") or environ.get("REQUEST_URI") or quote(environ["PATH_INFO"])
    body = record(environ["REQUEST_METHOD"], target, len(environ["wsgi.input"].read()))
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


def serve_tornado(port: int) -> None:
    import asyncio

    from tornado import httputil, web

    class Handler(web.RequestHandler):
        SUPPORTED_METHODS = ("GET", "HEAD", "POST", "DELETE", "PATCH", "PUT", "OPTIONS", "PROPFIND")

        def answer(self) -> None:
            request: httputil.HTTPServerRequest = self.request
            self.finish(record(request.method or "", request.uri or "", len(request.body)))

        get = head = post = delete = patch = put = options = propfind = answer

    async def run() -> None:
        web.Application([(".*", Handler)]).listen(port, "127.0.0.1")
        await asyncio.Event().wait()

    asyncio.run(run())


if __name__ == "__main__":
    serve_tornado(int(sys.argv[1]))
