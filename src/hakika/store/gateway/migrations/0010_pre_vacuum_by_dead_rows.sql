-- What has left a partial index is stepped over by each look until a vacuum takes it out (5.5 ms for a million). The usual
-- fifth of the table would be twenty million at a hundred million transfers; from here on it is two million there.

ALTER TABLE transfer SET (autovacuum_vacuum_threshold = 100000, autovacuum_vacuum_scale_factor = 0.02);
ALTER TABLE attempt SET (autovacuum_vacuum_threshold = 100000, autovacuum_vacuum_scale_factor = 0.02);
ALTER TABLE outgoing_message SET (autovacuum_vacuum_threshold = 100000, autovacuum_vacuum_scale_factor = 0.02);
ALTER TABLE outbox SET (autovacuum_vacuum_threshold = 100000, autovacuum_vacuum_scale_factor = 0.02);
