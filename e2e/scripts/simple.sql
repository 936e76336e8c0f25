-- Plain statements of every class, results of every shape.
CREATE TABLE orders (id int PRIMARY KEY, customer text NOT NULL, total numeric(10, 2), placed date, paid bool DEFAULT false);
INSERT INTO orders VALUES (1, 'Ada', 12.50, '2026-01-02'), (2, 'Grace', NULL, '2026-02-03'), (3, 'naïve – ünïcode 🦀', 0, NULL);
SELECT * FROM orders ORDER BY id;
SELECT count(*), sum(total), array_agg(customer ORDER BY id) FROM orders;
SELECT FROM orders;
SELECT 1 WHERE false;
UPDATE orders SET paid = true WHERE id = 2;
UPDATE orders SET paid = true;
DELETE FROM orders WHERE id = 3 RETURNING id, customer;
WITH gone AS (DELETE FROM orders WHERE id = 1 RETURNING *) SELECT customer FROM gone;
VALUES (1, 'a'), (2, NULL);
TABLE orders;
EXPLAIN (COSTS OFF) SELECT * FROM orders WHERE id = 1;
SELECT generate_series(1, 5) AS n, repeat('x', 10) AS x;
SELECT repeat('wide ', 100000) AS wide \g /dev/null
SELECT length(repeat('wide ', 1000000)) AS wide;
SHOW server_encoding;
SET search_path = public;
SHOW search_path;
RESET search_path;
;
-- a comment alone
ALTER TABLE orders ADD COLUMN note text;
CREATE INDEX ON orders (customer);
TRUNCATE orders;
DROP TABLE orders;
