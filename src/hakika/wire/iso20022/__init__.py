"""ISO 20022 for banks: typed messages (`messages`), reading (`reading`), writing (`writing`), reasons, schemas.

What is accepted is our usage guideline, stricter than the standard: whatever it accepts the standard's own
schema accepts. Bytes that break it are refused by field and rule before anything else happens.
"""
