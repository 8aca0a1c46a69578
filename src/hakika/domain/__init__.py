"""Pure rules on the standard library alone: no clock, no randomness, no network, no database."""
