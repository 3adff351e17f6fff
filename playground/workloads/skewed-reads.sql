-- Some accounts are read far more often than others, and the reader thinks about it: one to copy
--
-- The first account is read about twice as often as the second, three times as often as the third, and so on.
\set aid random_zipfian(1, 100000 * :scale, 1.07)
SELECT abalance
  FROM pgbench_accounts
 WHERE aid = :aid;
\set think random_exponential(1, 20, 2.5)
\sleep :think ms
