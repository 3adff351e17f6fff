-- Keeps a processor busy, and needs no tables
SELECT count(*)
  FROM generate_series(1, 100000);
