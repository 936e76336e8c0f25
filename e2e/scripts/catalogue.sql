-- What psql itself asks for, and encodings.
CREATE TABLE people (id int PRIMARY KEY, name text UNIQUE, boss int REFERENCES people);
COMMENT ON TABLE people IS 'who is who';
\d people
\dt
\di
\d+ people
\dn
\df public.*
\dx
\encoding
\encoding LATIN1
SELECT 'caf' || chr(233) AS latin;
\encoding UTF8
SELECT 'café' AS utf;
\echo :ROW_COUNT :SQLSTATE
SELECT 1 \gdesc
SELECT 'people' AS t \gset
TABLE :t;
\timing off
\x on
SELECT 1 AS one, NULL AS nothing;
\x off
DROP TABLE people;
