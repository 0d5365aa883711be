# What the AppRole of the secrets service may do in the store: nothing outside the apps' own mount.
# The installer writes this as a policy named "secrets" and gives it to that AppRole alone.

path "apps/data/*" {
  capabilities = ["create", "read", "update"]
}

path "apps/metadata/*" {
  capabilities = ["read", "list", "delete"]
}

# One policy per app, named app-<app>.
path "sys/policies/acl/app-*" {
  capabilities = ["create", "read", "update", "delete"]
}

# The token role "app" can issue nothing but short-lived tokens with policies named app-*.
path "auth/token/roles/app" {
  capabilities = ["create", "read", "update"]
}
path "auth/token/create/app" {
  capabilities = ["create", "update"]
}

# The service's own token.
path "auth/token/renew-self" {
  capabilities = ["update"]
}
path "auth/token/lookup-self" {
  capabilities = ["read"]
}
