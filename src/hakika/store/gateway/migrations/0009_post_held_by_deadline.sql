-- What only the code before 0008 needs.

DROP INDEX transfer_in_custody;
