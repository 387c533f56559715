-- SQLite's look-ups have another form since this version; here history has indexes.
SELECT 1;
