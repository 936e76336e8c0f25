use proptest::prelude::*;

use super::*;

fn redacted(sql: &str) -> String {
    String::from_utf8(text(sql.as_bytes()).into_owned()).unwrap()
}

#[test]
fn passwords_of_roles_are_taken_out() {
    for (sql, expected) in [
        ("ALTER ROLE bob PASSWORD 'hunter2'", "ALTER ROLE bob PASSWORD '[redacted]'"),
        (
            "create user x with encrypted password\n'hunter2' valid until 'y'",
            "create user x with encrypted password\n'[redacted]' valid until 'y'",
        ),
        ("CREATE ROLE x PASSWORD /* c */ E'hun\\'ter2'", "CREATE ROLE x PASSWORD /* c */ E'[redacted]'"),
        ("ALTER ROLE x PASSWORD 'hunter2'\n'hunter2'", "ALTER ROLE x PASSWORD '[redacted]'\n'[redacted]'"),
        ("ALTER ROLE x PASSWORD $$hunter2$$", "ALTER ROLE x PASSWORD $$[redacted]$$"),
        ("ALTER ROLE x PASSWORD U&'hunter2'", "ALTER ROLE x PASSWORD U&'[redacted]'"),
        ("ALTER ROLE x PASSWORD 'hun''hunter2'", "ALTER ROLE x PASSWORD '[redacted]'"),
        ("ALTER ROLE x PASSWORD 'hunter2", "ALTER ROLE x PASSWORD '[redacted]"),
        (
            "CREATE USER MAPPING FOR a SERVER s OPTIONS (user 'u', password 'hunter2')",
            "CREATE USER MAPPING FOR a SERVER s OPTIONS (user 'u', password '[redacted]')",
        ),
        ("SET app.api_token = 'hunter2'", "SET app.api_token = '[redacted]'"),
        ("SET app.password TO 'hunter2'", "SET app.password TO '[redacted]'"),
        (
            "UPDATE u SET \"Password\" = 'hunter2', name='n'",
            "UPDATE u SET \"Password\" = '[redacted]', name='n'",
        ),
        (
            "DO $$ BEGIN ALTER ROLE x PASSWORD 'hunter2'; END $$",
            "DO $$ BEGIN ALTER ROLE x PASSWORD '[redacted]'; END $$",
        ),
        (
            "DO $$ BEGIN EXECUTE 'ALTER ROLE x PASSWORD ''hunter2'''; END $$",
            "DO $$ BEGIN EXECUTE 'ALTER ROLE x PASSWORD [redacted]'; END $$",
        ),
        ("SELECT 'SCRAM-SHA-256$4096:hunter2'", "SELECT '[redacted]'"),
        ("SELECT 'md5aaaaaaaaaabbbbbbbbbbccccccccccdd'", "SELECT '[redacted]'"),
        (
            "CREATE SUBSCRIPTION s CONNECTION 'host=h password=hunter2' PUBLICATION p",
            "CREATE SUBSCRIPTION s CONNECTION 'host=h password=[redacted]' PUBLICATION p",
        ),
        ("SELECT 'postgres://bob:hunter2@db/x'", "SELECT 'postgres://bob:[redacted]@db/x'"),
        (
            "SELECT crypt('hunter2', gen_salt('bf')), 'shown'",
            "SELECT crypt('[redacted]', gen_salt('[redacted]')), 'shown'",
        ),
        ("SELECT dblink_connect('a', 'b=hunter2')", "SELECT dblink_connect('[redacted]', '[redacted]')"),
    ] {
        assert_eq!(redacted(sql), expected);
        assert!(is_needed(sql.as_bytes()));
    }
}

#[test]
fn what_is_no_secret_stays() {
    for sql in [
        "SELECT 1",
        "SELECT * FROM tokens WHERE id = 'a'",
        "SELECT password FROM users WHERE name = 'bob'",
        "ALTER ROLE x PASSWORD NULL",
        "ALTER ROLE x PASSWORD ''",
        "SELECT 'http://example.com/a@b'",
        "SELECT md5('a')",
        "COMMENT ON COLUMN u.password IS ''",
    ] {
        assert_eq!(text(sql.as_bytes()), Cow::Borrowed(sql.as_bytes()), "{sql}");
    }
}

proptest! {
    /// Whatever stands around it, a password of a role does not stay.
    #[test]
    fn no_password_survives(
        before in "[a-zA-Z0-9 (),;=.]{0,40}",
        between in "[ \t\n]{1,5}|/\\*[a-z ]{0,9}\\*/| -- [a-z ]{0,9}\n",
        after in "[a-zA-Z0-9 (),;='\"$]{0,40}",
        secret in "zz[a-zA-Z0-9 =;:@/-]{6,20}",
    ) {
        for (open, close) in [("'", "'"), ("E'", "'"), ("$$", "$$"), ("$q$", "$q$")] {
            let sql = format!("{before} PASSWORD{between}{open}{secret}{close} {after}");
            prop_assert!(!redacted(&sql).contains(&secret), "{sql} -> {}", redacted(&sql));
        }
    }

    #[test]
    fn any_bytes_are_read(text in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut sql = b"password ".to_vec();
        sql.extend_from_slice(&text);
        let once = super::text(&sql).into_owned();
        prop_assert_eq!(super::text(&once).into_owned().len() >= 9, true);
    }
}
