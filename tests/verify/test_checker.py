"""A recount of sound books finds nothing, says what it counted, and says so when it cannot look."""
