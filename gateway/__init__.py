"""The gateway: where packets enter. Every byte of every app goes through here.

Purpose: leads each request to the app or the platform service that its first path segment names,
after checking who is asking, and switches between releases without dropping one.
Reads: the buckets `routes`, `access`, `people`, `tokens`, `ended-sessions`, `signing-keys`,
`targets`, `gateway-keys`. Events in: none. Events out: `route.applied`, `instance.drained`.
Tables: none. It keeps what it knows in `MOORAGE_HOME/gateway/` and serves from that alone when
everything else is away.

The way of a request: `client` reads its head (`requests`, `arrival`), `door` decides (`origins`,
`sites`, `passes`, `identity`, `access`, `platform`), `turnstile` lets it in, `exchange` carries it
to a connection of a pool (`pools`, `upstream`, `recognition`) and its answer (`responses`,
`answers`, `bodies`) back; a WebSocket goes on as a `tunnel` (`frames`). What came of it stands in
the `ledger`. `datapath` puts these together.
"""
