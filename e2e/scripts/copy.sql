-- The copy channel, both ways, well and badly.
CREATE TABLE loads (id int PRIMARY KEY, body text);
COPY loads FROM STDIN;
1	one
2	two with	tab
\.
COPY loads FROM STDIN;
1	one
2	\N
\.
COPY loads FROM STDIN WITH (FORMAT csv, HEADER);
id,body
3,"three, quoted ""so"""
4,
\.
COPY loads FROM STDIN;
5	five
5	twice
\.
SELECT * FROM loads ORDER BY id;
COPY loads TO STDOUT;
COPY (SELECT id, upper(body) AS loud FROM loads ORDER BY id) TO STDOUT WITH (FORMAT csv, HEADER, FORCE_QUOTE *);
COPY (SELECT 1 / 0) TO STDOUT;
COPY (SELECT g, repeat('y', 50) FROM generate_series(1, 20000) g) TO STDOUT \g /dev/null
\copy loads TO PROGRAM 'sort > /dev/null'
\copy (SELECT g + 100, 'bulk ' || g FROM generate_series(1, 20000) g) TO PROGRAM 'cat > "$SCRATCH/bulk"'
\copy loads FROM PROGRAM 'cat "$SCRATCH/bulk"'
SELECT count(*), min(id), max(id), md5(string_agg(body, ',' ORDER BY id)) FROM loads;
\copy loads FROM PROGRAM 'echo not-a-number'
COPY loads FROM '/nonexistent/file';
COPY loads TO PROGRAM 'false';
SELECT count(*) FROM loads;
DROP TABLE loads;
