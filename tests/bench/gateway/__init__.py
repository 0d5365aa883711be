"""`make bench-gateway`: the gateway beside nginx, HAProxy, Caddy and configurable-http-proxy.

All proxies run at once, each pinned to one and the same core, and are loaded one after the other in
rounds; load generator and backend have the other cores. Every figure `..._vs_PROXY` is the median
over the rounds of our value divided by that proxy's value in the same round, so that whatever else
the machine did falls on both. CPU is user plus system time of all threads of all processes of a
proxy, in nanoseconds from the kernel's own clocks, over the requests that were answered. It is the
firm figure; requests a second and latencies are those of 64 connections that are never idle.

Everything of ours is switched on: a person's session and app cookie are checked, identity headers
signed, metrics counted, the access log written to a file. The others write their access logs too
(configurable-http-proxy has none) and add the X-Forwarded headers that they add by default.

`tools` installs what is measured, `people` prepares cookies, headers and the gateway's table,
`proxies` starts each proxy, `backend` answers, `closed`, `opened` and `sockets` make the load,
`comparison`, `limits` and `routes` are the parts of the run, `table` holds what is asked for.
"""
