-- Which columns a segment has: tables of history keep the form that they were made in. Form 1 is what the first schema
-- began with; sqlite/segments.rs lists the later ones.
ALTER TABLE segments ADD COLUMN form INTEGER NOT NULL DEFAULT 1;
