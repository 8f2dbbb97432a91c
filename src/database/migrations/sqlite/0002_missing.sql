-- How much of a recording was not there or could not be decoded, in milliseconds; 0: it is whole,
-- -1: it is not, and how much is missing cannot be told.
ALTER TABLE result ADD COLUMN missing_ms INTEGER NOT NULL DEFAULT 0;
