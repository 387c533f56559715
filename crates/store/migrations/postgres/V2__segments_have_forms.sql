-- Nothing here: a partition has the columns of its table, and a new column reaches all of them at once.
SELECT 1;
