"""Adapters as others get them: what a package is, what is refused, pulling from the Hub and pushing to it."""
