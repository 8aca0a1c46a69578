"""HTTP/1.1 on this event loop, as little as the doors need: llhttp reads (by httptools), this keeps time and sizes.

Why there is one of our own: `docs/adr/0020-http-server.md`. Clauses are those of RFC 9112 where no other is named.
"""
