-- A demo bank's books: one SQLite file, one writer. The sum over account is 0 at every commit.
PRAGMA user_version = 2;

CREATE TABLE account (
    name          TEXT PRIMARY KEY, -- 'customer:<n>', 'in_transit', 'position_mirror', 'own_funds'
    balance_minor INTEGER NOT NULL,
    CHECK (name = 'own_funds' OR balance_minor >= 0)
) STRICT, WITHOUT ROWID;

CREATE TABLE customer (
    number   INTEGER PRIMARY KEY,
    name     TEXT NOT NULL,
    phone    TEXT NOT NULL, -- E.164 digits without +
    email    TEXT NOT NULL,
    language TEXT NOT NULL
) STRICT;

CREATE TABLE journal (
    id           INTEGER PRIMARY KEY,
    at_ms        INTEGER NOT NULL,
    debit        TEXT NOT NULL REFERENCES account (name), -- loses amount_minor
    credit       TEXT NOT NULL REFERENCES account (name), -- gains amount_minor
    amount_minor INTEGER NOT NULL CHECK (amount_minor > 0),
    uetr         TEXT REFERENCES transfer (uetr),
    event        TEXT NOT NULL CHECK (event IN ('opening', 'debited', 'completed', 'returned', 'rejected')),
    CHECK (debit <> credit),
    CHECK ((event = 'opening') = (uetr IS NULL))
) STRICT;
-- A transfer leaves the customer once, and leaves transit once: a second re-credit cannot be written.
CREATE UNIQUE INDEX journal_one_debit ON journal (uetr) WHERE event = 'debited';
CREATE UNIQUE INDEX journal_one_end ON journal (uetr) WHERE event IN ('completed', 'returned', 'rejected');
CREATE TRIGGER journal_kept BEFORE UPDATE ON journal BEGIN SELECT RAISE(ABORT, 'the journal is not edited'); END;
CREATE TRIGGER journal_whole BEFORE DELETE ON journal BEGIN SELECT RAISE(ABORT, 'the journal is not cut'); END;

CREATE TABLE transfer (
    uetr            TEXT PRIMARY KEY,
    request_id      TEXT NOT NULL UNIQUE,
    customer        INTEGER NOT NULL REFERENCES customer (number),
    amount_minor    INTEGER NOT NULL CHECK (amount_minor > 0),
    currency        TEXT NOT NULL,
    creditor_msisdn TEXT NOT NULL,
    creditor_name   TEXT NOT NULL,
    end_to_end_id   TEXT NOT NULL UNIQUE,
    msg_id          TEXT NOT NULL, -- of the pacs.008 that carries it
    state           TEXT NOT NULL CHECK (state IN ('debited', 'accepted', 'completed', 'returned', 'rejected')),
    debited_ms      INTEGER NOT NULL,
    accepted_ms     INTEGER,
    deadline_ms     INTEGER, -- the gateway's promise, from the custody receipt
    tracking        TEXT,
    receipt         TEXT, -- compact JWS, as received
    final_ms        INTEGER,
    return_id       TEXT UNIQUE,
    reason          TEXT, -- ISO code of the rejection or return
    sent_again_ms   INTEGER, -- the gateway did not know it any more; until its new receipt is here
    CHECK ((receipt IS NULL) = (accepted_ms IS NULL)),
    CHECK (state <> 'accepted' OR receipt IS NOT NULL),
    CHECK ((state IN ('completed', 'returned', 'rejected')) = (final_ms IS NOT NULL)),
    CHECK ((state = 'returned') = (return_id IS NOT NULL))
) STRICT;
CREATE INDEX transfer_open ON transfer (debited_ms) WHERE final_ms IS NULL;
CREATE INDEX transfer_held ON transfer (accepted_ms, uetr) WHERE state = 'accepted';
CREATE INDEX transfer_recent ON transfer (debited_ms);
CREATE INDEX transfer_message ON transfer (msg_id);
CREATE TRIGGER transfer_end BEFORE UPDATE OF state ON transfer
    WHEN OLD.final_ms IS NOT NULL AND NEW.state <> OLD.state
    BEGIN SELECT RAISE(ABORT, 'a final transfer stays what it is'); END;

CREATE TABLE outbox (
    id          INTEGER PRIMARY KEY,
    kind        TEXT NOT NULL CHECK (kind IN ('instruction', 'acknowledgement')),
    key         TEXT NOT NULL, -- MsgId of the instruction, RtrId that is acknowledged
    body        BLOB NOT NULL, -- sent unchanged until it is answered
    created_ms  INTEGER NOT NULL,
    answered_ms INTEGER,
    UNIQUE (kind, key)
) STRICT;
CREATE INDEX outbox_unanswered ON outbox (id) WHERE answered_ms IS NULL;
CREATE TRIGGER outbox_same_bytes BEFORE UPDATE OF kind, key, body ON outbox
    BEGIN SELECT RAISE(ABORT, 'what was sent is sent again unchanged'); END;

CREATE TABLE superseded ( -- receipts that the gateway replaced after it had lost the message: evidence all the same
    uetr    TEXT NOT NULL REFERENCES transfer (uetr),
    receipt TEXT NOT NULL,
    at_ms   INTEGER NOT NULL,
    PRIMARY KEY (uetr, receipt)
) STRICT;

CREATE TABLE received ( -- every verified message of the gateway, once, with its signature: the bank's evidence
    sha256    TEXT PRIMARY KEY,
    at_ms     INTEGER NOT NULL,
    signature TEXT NOT NULL,
    body      BLOB NOT NULL
) STRICT;

CREATE TABLE progress ( -- PDNG and other statuses that are not final: recorded, moving nothing
    uetr   TEXT NOT NULL,
    status TEXT NOT NULL,
    at_ms  INTEGER NOT NULL,
    reason TEXT,
    PRIMARY KEY (uetr, status)
) STRICT;

CREATE TABLE contradiction ( -- what the gateway said against what is booked; no money moves
    id        INTEGER PRIMARY KEY,
    at_ms     INTEGER NOT NULL,
    word      TEXT NOT NULL,
    uetr      TEXT NOT NULL,
    return_id TEXT NOT NULL DEFAULT '',
    rule      TEXT NOT NULL,
    sha256    TEXT NOT NULL DEFAULT '', -- of the message, see received
    UNIQUE (word, uetr, return_id, rule)
) STRICT;

CREATE TABLE notice ( -- e-mails to customers
    customer INTEGER NOT NULL,
    at_ms    INTEGER NOT NULL,
    text     TEXT NOT NULL,
    uetr     TEXT NOT NULL,
    kind     TEXT NOT NULL CHECK (kind IN ('held', 'arrived', 'back')),
    PRIMARY KEY (uetr, kind)
) STRICT;
