-- Times are microseconds since 1970-01-01T00:00:00Z, booleans 0 or 1. The documented properties keep their names.
CREATE TABLE CaseMapping (
    -- AUTOINCREMENT: the ID of a deleted mapping is never given out again.
    ID INTEGER PRIMARY KEY AUTOINCREMENT,
    googleCaseName TEXT,
    -- The last part of googleCaseName: one mapping per Google case (R9).
    googleCaseNumber TEXT UNIQUE,
    companyCaseID TEXT UNIQUE,
    newContentAt INTEGER NOT NULL,
    resolvedAt INTEGER,
    companyUpdatesSyncedAt INTEGER,
    googleUpdatesSyncedAt INTEGER,
    outageCommentSentToGoogle INTEGER NOT NULL,
    outageCommentSentToCompany INTEGER NOT NULL,
    priority INTEGER,
    -- Derived: something waits, an outage comment stands, or the pair is not linked (R8).
    needsWatching INTEGER NOT NULL,
    -- Everything else, as JSON.
    details TEXT NOT NULL,
    -- Counts the changes: compare-and-swap goes by it.
    version INTEGER NOT NULL
) STRICT;

CREATE INDEX CaseMapping_needsWatching ON CaseMapping (ID) WHERE needsWatching = 1;
CREATE INDEX CaseMapping_open ON CaseMapping (ID) WHERE resolvedAt IS NULL;

CREATE TABLE Global (
    ID INTEGER PRIMARY KEY CHECK (ID = 1),
    google_last_polled_at INTEGER,
    company_last_polled_at INTEGER
) STRICT;
