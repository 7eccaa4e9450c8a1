-- What the polls of each side remember, as JSON: canaries, sweeps, index lag (R26, R27, R36). NULL in a database of version 0.1.
ALTER TABLE Global ADD COLUMN google_poll_memory TEXT;
ALTER TABLE Global ADD COLUMN company_poll_memory TEXT;
