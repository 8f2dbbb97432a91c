-- lowest-program: 1
ALTER TABLE result ADD COLUMN summary_settings bytea NOT NULL DEFAULT ''::bytea;
COMMENT ON COLUMN result.summary_settings IS 'Digest of the settings that decided the summary; empty: not known, or there is none';
