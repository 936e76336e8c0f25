-- Large objects: by function, and by the FunctionCall messages of psql's own commands.
SELECT lo_create(424242);
BEGIN;
SELECT lowrite(lo_open(424242, 131072), 'the first bytes of it');
SELECT lo_lseek(0, 4, 0), loread(0, 5);
COMMIT;
SELECT lo_get(424242), lo_get(424242, 4, 5);
SELECT lo_put(424242, 4, 'FIRST');
SELECT convert_from(lo_get(424242), 'UTF8');
\lo_export 424242 /dev/null
\! head -c 300000 /dev/zero | tr '\0' 'z' > "$SCRATCH/blob"
\getenv scratch SCRATCH
\set blob :scratch '/blob'
\set QUIET on
\lo_import :blob
SELECT length(lo_get(:LASTOID)) AS imported;
\lo_unlink :LASTOID
\set QUIET off
SELECT lo_from_bytea(424243, 'x');
\lo_unlink 424243
\lo_unlink 424243
SELECT count(*) FROM pg_largeobject_metadata;
SELECT lo_unlink(424242);
SELECT lo_get(424242);
