"""Pure codecs: bytes to typed messages and back, one per standard; no sockets, no database."""
