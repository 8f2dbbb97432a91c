-- With IN the condition made SQLite build two temporary tables for every change of a job.
DROP INDEX job_unhappy;
CREATE INDEX job_unhappy ON job (state, job_id) WHERE state = 2 OR state = 3 OR state = 5 OR state = 6;
