-- Older entries of a mapping's ledger, as JSON (R35). A row never changes, and its number is not used twice for one mapping.
CREATE TABLE LedgerPage (
    mapping INTEGER NOT NULL,
    number INTEGER NOT NULL,
    entries TEXT NOT NULL,
    PRIMARY KEY (mapping, number)
) STRICT, WITHOUT ROWID;
