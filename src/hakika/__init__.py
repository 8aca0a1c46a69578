"""Hakika: mobile money whose owner always knows where the money is."""

__version__ = "0.1.0"
