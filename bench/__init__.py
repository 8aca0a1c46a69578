"""Measurements of Hakika, run by `make bench`: slow, repeatable from fixed seeds, and never imported by Hakika."""
