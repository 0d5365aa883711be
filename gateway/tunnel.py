"""A WebSocket: bytes pass both ways, and it can be ended with a close frame of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from gateway.frames import (
    GOING_AWAY,
    POLICY_VIOLATION,
    SERVICE_RESTART,
    FrameWalker,
    close_frame,
)
from gateway.gate import Gate
from gateway.pools import Pool
from gateway.upstream import TargetConnection

if TYPE_CHECKING:
    from gateway.client import ClientConnection
    from gateway.exchange import Exchange

CLOSING_SECONDS = 2.0
_RETIRED = SERVICE_RESTART, "The app has moved to another instance; connect again."
_REVOKED = POLICY_VIOLATION, "You may not use this app any more."
_IDLE = GOING_AWAY, "Nothing was sent for too long."
_TARGET_FULL = 2


class Tunnel:
    """Two connections tied together, from the answer 101 on."""

    __slots__ = (
        "_active",
        "_client",
        "_down",
        "_exchange",
        "_gate",
        "_how",
        "_pool",
        "_received",
        "_retiring",
        "_sent",
        "_since",
        "_target",
        "_to_client",
        "_to_target",
        "_told_client",
        "_told_target",
        "_up",
        "_words",
    )

    def __init__(
        self,
        gate: Gate,
        client: ClientConnection,
        target: TargetConnection,
        pool: Pool,
        exchange: Exchange,
    ) -> None:
        self._gate = gate
        self._exchange = exchange
        self._words = _RETIRED
        self._how = "done"
        self._active = False
        self._sent = self._received = 0
        self._since = client.loop.time()
        self._client = client
        self._target = target
        self._to_client = client.transport.write
        self._to_target = target.transport.write
        self._pool: Pool | None = pool
        self._up = FrameWalker()
        self._down = FrameWalker()
        self._told_client = False
        self._told_target = False
        self._retiring = False

    def start(self, first: bytes) -> None:
        """Take over both connections; `first` came from the target behind its 101."""
        self._client.work = self
        self._target.receiver = self
        assert self._pool is not None
        self._pool.streams.add(self)
        if first:
            self.from_target(first)
        early = self._client.held()
        if early:
            self.from_client(early)

    def from_client(self, data: bytes) -> None:
        if self._retiring:
            self._last_from_client(data)
            return
        self._active = True
        self._received += len(data)
        self._up.walk(data)
        self._to_target(data)

    def from_target(self, data: bytes) -> None:
        if self._retiring:
            self._last_from_target(data)
            return
        self._active = True
        self._sent += len(data)
        self._down.walk(data)
        self._to_client(data)

    # -- the end in good order

    def retire(self) -> None:
        """Close with 1012: browsers connect again."""
        self._end_with(_RETIRED, "retired")

    def _end_with(self, words: tuple[int, str], how: str) -> None:
        """Close towards both sides, each as soon as no frame is under way to it."""
        if self._retiring:
            return
        self._retiring = True
        self._words, self._how = words, how
        self._client.loop.call_later(CLOSING_SECONDS, self._close_both)
        self._client.resume(_TARGET_FULL)
        self._target.resume_reading()
        self._tell_client()
        self._tell_target()

    stop = retire

    def _tell_client(self) -> None:
        if self._told_client or not self._down.between:
            return
        self._told_client = True
        if not self._down.closed:
            self._client.write(close_frame(*self._words, masked=False))

    def _tell_target(self) -> None:
        if self._told_target or not self._up.between:
            return
        self._told_target = True
        if not self._up.closed:
            self._target.transport.write(close_frame(*self._words, masked=True))

    def _last_from_client(self, data: bytes) -> None:
        """Finish the frame under way, then only wait for the client's own close frame."""
        if not self._told_target:
            end = self._up.walk_to_boundary(data)
            self._target.transport.write(data[:end])
            self._tell_target()
            data = data[end:]
        self._up.walk(data)
        if self._up.closed and self._up.between and self._told_client:
            self._client.close()

    def _last_from_target(self, data: bytes) -> None:
        if not self._told_client:
            end = self._down.walk_to_boundary(data)
            self._client.write(data[:end])
            self._tell_client()
            data = data[end:]
        self._down.walk(data)
        if self._down.closed and self._down.between and self._told_target:
            self._target.close()

    def _close_both(self) -> None:
        self._client.close()
        self._target.close()

    # -- the end otherwise

    def client_lost(self) -> None:
        if self._how == "done" and not self._up.closed:
            self._how = "client_gone"
        self._target.receiver = None
        if not self._retiring:
            self._target.close()
        else:
            self._target.abort()
        self._finish()

    def target_lost(self, failed: bool) -> None:
        if self._retiring and not self._told_client:
            self._client.abort()
        elif not self._retiring:
            self._client.close()
        self._finish()

    def client_ended(self) -> None:
        """It may be reading on, for the other side's close frame at least."""
        if self._retiring or not self._target.transport.can_write_eof():
            self._client.close()
            return
        self._target.transport.write_eof()
        self._told_target = True  # it will hear no more
        self._client.loop.call_later(CLOSING_SECONDS, self._close_both)

    def client_full(self, full: bool) -> None:
        if full and not self._retiring:
            self._target.pause_reading()
        else:
            self._target.resume_reading()

    def target_full(self, full: bool) -> None:
        if full and not self._retiring:
            self._client.pause(_TARGET_FULL)
        else:
            self._client.resume(_TARGET_FULL)

    def _finish(self) -> None:
        """Neither side counts as under way to the instance any more."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        pool.streams.discard(self)
        self._exchange.sent += self._sent
        self._exchange.received += self._received
        self._exchange.end_stream(self._how)
        pool.end()

    # -- what time and news bring

    def tick(self, now: float) -> None:
        """Called every second: end what has been silent for too long."""
        if self._active:
            self._active = False
            self._since = now
        elif now - self._since > self._exchange.idle_seconds:
            self._end_with(_IDLE, "idle")

    def recheck(self) -> None:
        """Access has changed: close with 1008 where it would not be let in any more."""
        exchange = self._exchange
        if exchange.forward.route is None:
            return
        if not self._gate.door.still_admits(exchange.request, exchange.way.arrival, exchange.name):
            self._end_with(_REVOKED, "revoked")
