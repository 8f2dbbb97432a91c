-- 63 bits of the digest of the settings that decided the summary; 0: not known, or there is none.
ALTER TABLE result ADD COLUMN summary_key INTEGER NOT NULL DEFAULT 0;
