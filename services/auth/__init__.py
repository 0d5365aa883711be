"""Auth: who people are, how they sign in, and who may open which app.

Listens to: `app.created` (an app is open to its owner only), `app.deleted`.
Publishes: `access.changed`, and the buckets `people`, `tokens`, `access`, `ended-sessions`,
`signing-keys` and `gateway-keys`, from which the gateway decides alone, without asking us.
Owns: the tables `people`, `tokens`, `access_rules`, `grants`, `ended_sessions`, `signing_keys` and
`attempts`, the truth that the buckets are copies of.

Serves the sign-in page, the API of people, tokens and access, and the public keys of the identity
that apps are told. Passwords are kept as argon2id hashes, tokens as SHA-256, private keys sealed
with a key that lies outside the database.
"""
