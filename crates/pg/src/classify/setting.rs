//! What setting a configuration parameter may do.

use daypass_access::action::{Class, ClassSet};

/// What `SET name = values` needs. `values` are the literals, in order; `None` is a value that is no literal.
pub(super) fn set(name: &str, values: Option<&[String]>) -> ClassSet {
    let name = name.to_ascii_lowercase();
    let one = match values {
        Some([one]) => Some(one.to_ascii_lowercase()),
        Some(_) | None => None,
    };
    let class = match name.as_str() {
        // SECURITY: these change how the texts after them are read. Only values under which we read alike are harmless.
        "standard_conforming_strings" => harmless(one.as_deref(), &["on", "true"]),
        "client_encoding" | "names" => harmless(one.as_deref(), HARMLESS_ENCODINGS),
        // SECURITY: naming pg_catalog after another schema lets that schema's functions stand in for builtins.
        "search_path" => return ClassSet::EMPTY.with(search_path(values)),
        // SECURITY: it holds the session's id, by which the server's log is joined to ours: nobody may write another's. Any other
        // name is let through, because JDBC sets one before anything else; `RESET` gives ours back.
        "application_name" => match (values, one.as_deref()) {
            (Some([]), _) => Class::Session,
            (_, Some(one)) if !one.contains("daypass:") => Class::Session,
            _ => Class::Admin,
        },
        "role" | "session_authorization" | "session_replication_role" => Class::Admin,
        // For superusers only, and with effects outside of the session.
        "dynamic_library_path"
        | "local_preload_libraries"
        | "session_preload_libraries"
        | "shared_preload_libraries"
        | "allow_system_table_mods"
        | "ignore_system_indexes"
        | "zero_damaged_pages"
        | "ignore_checksum_failure"
        | "lo_compat_privileges"
        | "ignore_invalid_pages" => Class::Admin,
        name if name.starts_with("log_") => Class::Admin,
        _ => Class::Session,
    };
    ClassSet::EMPTY.with(class)
}

/// Encodings in which every byte of a character above ASCII is above ASCII, so that quotes are where we see them.
const HARMLESS_ENCODINGS: &[&str] = &[
    "utf8",
    "utf-8",
    "unicode",
    "sql_ascii",
    "latin1",
    "iso-8859-1",
    "iso_8859_1",
    "iso88591",
    "latin9",
    "win1252",
    "default",
];

fn harmless(value: Option<&str>, values: &[&str]) -> Class {
    if value.is_some_and(|value| values.contains(&value)) { Class::Session } else { Class::Admin }
}

fn search_path(values: Option<&[String]>) -> Class {
    let Some(values) = values else { return Class::Call };
    // set_config gives the whole list in one literal.
    let mut schemas = values.iter().flat_map(|v| v.split(',')).map(|s| s.trim().trim_matches('"'));
    let first_is_catalog = schemas.next() == Some("pg_catalog");
    let later_is_catalog = schemas.any(|schema| schema.eq_ignore_ascii_case("pg_catalog"));
    if later_is_catalog && !first_is_catalog { Class::Call } else { Class::Session }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class(name: &str, values: &[&str]) -> Class {
        let values: Vec<String> = values.iter().map(|v| (*v).to_owned()).collect();
        set(name, Some(&values)).iter().max().unwrap()
    }

    #[test]
    fn only_settings_that_reach_further_need_more() {
        assert_eq!(class("statement_timeout", &["0"]), Class::Session);
        assert_eq!(class("app.tenant", &["7"]), Class::Session);
        assert_eq!(class("ROLE", &["postgres"]), Class::Admin);
        assert_eq!(class("standard_conforming_strings", &["on"]), Class::Session);
        assert_eq!(class("standard_conforming_strings", &["off"]), Class::Admin);
        assert_eq!(class("client_encoding", &["UTF8"]), Class::Session);
        assert_eq!(class("client_encoding", &["SJIS"]), Class::Admin);
        assert_eq!(class("application_name", &["PostgreSQL JDBC Driver"]), Class::Session);
        assert_eq!(class("application_name", &["Daypass:S-1"]), Class::Admin);
        assert_eq!(class("application_name", &[]), Class::Session);
        assert_eq!(set("application_name", None), ClassSet::EMPTY.with(Class::Admin));
        assert_eq!(class("search_path", &["public", "pg_catalog"]), Class::Call);
        assert_eq!(class("search_path", &["evil,pg_catalog"]), Class::Call);
        assert_eq!(class("search_path", &["pg_catalog", "public"]), Class::Session);
        assert_eq!(class("search_path", &["public"]), Class::Session);
        assert_eq!(set("search_path", None), ClassSet::EMPTY.with(Class::Call));
        assert_eq!(set("client_encoding", None), ClassSet::EMPTY.with(Class::Admin));
    }
}
