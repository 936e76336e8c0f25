"""psycopg 3 in real use; prints a transcript that must be the same direct and through the gateway.

Everything about the way to the server comes from libpq's environment. Arguments: `suite`; `ways`, to connect once with each of the options in DAYPASS_WAYS; `version`, to print libpq's.
"""

import os
import sys
import threading
import uuid
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb


def say(*words):
    print(*words, flush=True)


def fails(what, call):
    try:
        call()
        say(what, "did not fail")
    except psycopg.Error as error:
        say(what, type(error).__name__, error.sqlstate, str(error).splitlines()[0])


def types(connection):
    values = [
        1, -(2**40), 1.5, Decimal("123.4500"), "text é🦀", b"\x00\xff", True, None, date(2026, 1, 2),
        datetime(2026, 1, 2, 3, 4, 5, 6, timezone.utc), timedelta(days=1, seconds=2),
        uuid.UUID(int=7), [1, None, 3], Jsonb({"a": [1, {"b": None}]}),
    ]
    for binary in (False, True):
        row = connection.execute("SELECT " + ", ".join(["%s"] * len(values)), values, binary=binary).fetchone()
        say("types", "binary" if binary else "text", row)


def statements(connection):
    connection.execute("CREATE TABLE t (id int PRIMARY KEY, body text)")
    with connection.cursor(row_factory=dict_row) as cursor:
        cursor.executemany("INSERT INTO t VALUES (%s, %s) RETURNING id", [(i, f"row {i}") for i in range(5)], returning=True)
        say("executemany", cursor.fetchall())
        for _ in range(12):  # past the threshold where psycopg prepares by itself
            cursor.execute("SELECT body FROM t WHERE id = %s", (3,))
            body = cursor.fetchone()
        say("prepared by itself", body)
        cursor.execute("SELECT id FROM t ORDER BY id", prepare=True)
        say("rows", cursor.fetchall())
        say("status", cursor.statusmessage, cursor.rowcount)
    fails("unique", lambda: connection.execute("INSERT INTO t VALUES (1, 'x')"))
    fails("syntax", lambda: connection.execute("SELEC 1"))
    fails("zero", lambda: connection.execute("SELECT 1 / %s", (0,)))


def transactions(connection):
    with connection.transaction():
        connection.execute("INSERT INTO t VALUES (100, 'kept')")
        try:
            with connection.transaction():
                connection.execute("INSERT INTO t VALUES (101, 'dropped')")
                raise psycopg.Rollback()
        except psycopg.Rollback:
            pass
    say("transactions", connection.execute("SELECT id FROM t WHERE id >= 100").fetchall())


def pipelines(connection):
    with connection.pipeline() as pipeline:
        cursors = [connection.execute("SELECT %s::int * 2", (i,)) for i in range(50)]
        pipeline.sync()
        say("pipeline", [c.fetchone()[0] for c in cursors][-3:])
    try:
        with connection.pipeline() as pipeline:
            connection.execute("INSERT INTO t VALUES (200, 'first')")
            connection.execute("SELECT 1 / 0")
            connection.execute("INSERT INTO t VALUES (201, 'after the error')")
            pipeline.sync()
    except psycopg.Error as error:
        say("pipeline error", error.sqlstate)
    say("pipeline left", connection.execute("SELECT id FROM t WHERE id >= 200 ORDER BY id").fetchall())


def copies(connection):
    with connection.cursor() as cursor:
        with cursor.copy("COPY t (id, body) FROM STDIN") as copy:
            for i in range(1000, 3000):
                copy.write_row((i, f"copied\t{i}"))
        with cursor.copy("COPY (SELECT * FROM t WHERE id >= 2990 ORDER BY id) TO STDOUT") as copy:
            say("copy out", list(copy.rows()))
        with cursor.copy("COPY (SELECT id, body FROM t ORDER BY id) TO STDOUT (FORMAT binary)") as copy:
            say("copy binary", sum(len(bytes(part)) for part in copy))
        try:
            with cursor.copy("COPY t FROM STDIN") as copy:
                copy.write("7000\tfine\n")
                raise ValueError("given up")
        except ValueError as error:
            say("copy given up", error)
    fails("copy wrong", lambda: wrong_copy(connection))
    say("after copy", connection.execute("SELECT count(*) FROM t").fetchone())


def wrong_copy(connection):
    with connection.cursor() as cursor, cursor.copy("COPY t FROM STDIN") as copy:
        copy.write("not-a-number\tx\n")


def cursors(connection):
    with connection.transaction(), connection.cursor(name="walk") as cursor:
        cursor.itersize = 7
        cursor.execute("SELECT id FROM t ORDER BY id")
        say("server cursor", sum(row[0] for row in cursor))
    big = connection.execute("SELECT repeat('z', 20000000)").fetchone()[0]
    say("big field", len(big), set(big))
    streamed = connection.cursor().stream("SELECT g FROM generate_series(1, 5000) g")
    say("streamed", sum(row[0] for row in streamed))


def notices_and_notifications(connection):
    notices = []
    connection.add_notice_handler(lambda n: notices.append((n.severity, n.message_primary)))
    connection.execute("DO $$ BEGIN RAISE NOTICE 'hello'; RAISE WARNING 'careful'; END $$")
    say("notices", notices)
    connection.execute("LISTEN here")
    connection.execute("SELECT pg_notify('here', 'payload')")
    heard = next(connection.notifies(timeout=20))
    say("notified", heard.channel, heard.payload)


def cancels(connection):
    timer = threading.Timer(0.5, connection.cancel_safe)
    timer.start()
    fails("cancelled", lambda: connection.execute("SELECT pg_sleep(60)"))
    timer.join()
    say("after cancel", connection.execute("SELECT 'well'").fetchone())


def suite():
    with psycopg.connect(autocommit=True) as connection:
        for part in (types, statements, transactions, pipelines, copies, cursors, notices_and_notifications, cancels):
            part(connection)
        connection.execute("DROP TABLE t")
    with psycopg.connect() as connection:  # not autocommit: closing without commit rolls back
        connection.execute("CREATE TABLE never (id int)")
        connection.rollback()
        say("rolled back", connection.execute("SELECT to_regclass('never')").fetchone())


def ways():
    """What newer versions of libpq can ask for."""
    for options in os.environ["DAYPASS_WAYS"].split(";"):
        with psycopg.connect(options) as connection:
            version = psycopg.pq.version() >= 180000 and connection.pgconn.full_protocol_version
            say(options, connection.execute("SELECT 1").fetchone()[0], version)


if __name__ == "__main__":
    {"suite": suite, "ways": ways, "version": lambda: say(psycopg.pq.version())}[sys.argv[1]]()
