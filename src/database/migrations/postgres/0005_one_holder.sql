-- lowest-program: 5
--
-- Two processes that take the same content at the same moment meet here: one holds it, the other waits.
DROP INDEX job_running_content;
CREATE UNIQUE INDEX job_running_content ON job (content) WHERE content IS NOT NULL;
