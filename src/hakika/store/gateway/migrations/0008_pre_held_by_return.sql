-- The look for what is due to be returned, three times a second, read all that was held: no index knew that instant, and
-- with a backlog of 100,000 it took 60 ms each time. What waits is ordered by it from now on, also for sending: of two
-- that wait, the one that would be returned first goes first. `transfer` takes no row while the index is made.

CREATE INDEX transfer_waiting ON transfer (bank, return_at_ms) WHERE held;
COMMENT ON COLUMN transfer.held IS 'In custody with no attempt open. What is asked for by the instant of its return stands in indexes on this column: a change of status touches no index but when it begins or ends being held.';
COMMENT ON COLUMN attempt.id IS 'Derived from bank, UETR and number (ids.py): the head of the core''s linked set.';
