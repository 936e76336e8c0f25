-- LISTEN and NOTIFY within one session.
LISTEN news;
NOTIFY news, 'first';
SELECT pg_notify('news', 'second');
BEGIN;
NOTIFY news, 'not yet';
NOTIFY news, 'not yet';
SELECT 1;
COMMIT;
BEGIN;
NOTIFY news, 'never';
ROLLBACK;
UNLISTEN news;
NOTIFY news, 'unheard';
SELECT pg_listening_channels();
LISTEN a;
LISTEN b;
UNLISTEN *;
