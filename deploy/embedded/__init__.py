"""The embedded platform: every server and service as a supervised child of one process.

NATS, PostgreSQL and OpenBao come from wheels that the lock file pins by hash. They run as they
would in production: passwords, TLS on loopback or sockets, least-privilege users, sealed storage.
"""
