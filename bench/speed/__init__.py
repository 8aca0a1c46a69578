"""How fast Hakika is beside others who do the same work on the same machine."""
