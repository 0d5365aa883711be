"""Foundations that every process of the platform stands on: mechanism, never policy.

Nothing here imports a service or the gateway, and something moves in only when two of them need it.
"""
