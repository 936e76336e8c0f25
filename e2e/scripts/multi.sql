-- Several statements in one message: one implicit transaction, one message of results each.
SELECT 1 AS a\; SELECT 2 AS b, 3 AS c\; SELECT 'x' AS d;
CREATE TABLE many (id int PRIMARY KEY)\; INSERT INTO many SELECT generate_series(1, 3)\; SELECT count(*) FROM many;
INSERT INTO many VALUES (4)\; INSERT INTO many VALUES (4)\; INSERT INTO many VALUES (5);
SELECT count(*) AS still_three FROM many;
BEGIN\; INSERT INTO many VALUES (10)\; COMMIT\; INSERT INTO many VALUES (10);
SELECT count(*) AS four FROM many;
BEGIN\; INSERT INTO many VALUES (11)\; ROLLBACK\; SELECT count(*) FROM many;
SELECT 1\; SELECT nonsense\; SELECT 3;
DROP TABLE many\; SELECT 'gone' AS done;
