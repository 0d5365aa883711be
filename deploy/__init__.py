"""Ways to run the platform, and the generators of what is derived from its code."""
