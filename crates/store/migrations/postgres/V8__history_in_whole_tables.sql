-- PostgreSQL has had one partitioned table for each kind of history since the first schema: the number only keeps pace.
SELECT 1;
