"""How fast: the ledger and the gateway beside other programs that do the same work, in one run on one machine.

`run.py` begins, `l1.py`, `l2.py` and the like each measure one kind of work, `peer*.py` and `saga*.py` are the others.
"""
