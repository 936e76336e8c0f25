//! Which startup parameters go on to the target: settings of presentation and patience, and nothing that is a right.
//!
//! SECURITY: a startup parameter is a SET that no statement shows. What is not listed here must be SET in the open, where
//! it is classified, decided and recorded.

use daypass_access::id::SessionId;

const ALLOWED: [&str; 21] = [
    "client_encoding",
    "datestyle",
    "timezone",
    "intervalstyle",
    "extra_float_digits",
    "bytea_output",
    "client_min_messages",
    "standard_conforming_strings",
    "escape_string_warning",
    "xmloption",
    "lc_messages",
    "search_path",
    "statement_timeout",
    "lock_timeout",
    "idle_in_transaction_session_timeout",
    "default_transaction_read_only",
    "default_transaction_isolation",
    "default_transaction_deferrable",
    "synchronize_seqscans",
    "jit",
    "geqo",
];

type Parameters = Vec<(Vec<u8>, Vec<u8>)>;

/// The parameters for the target: what the client may set, and the session's name as application.
///
/// # Errors
/// The name of a parameter that may not be set this way.
pub(crate) fn allowed(asked: &[(Vec<u8>, Vec<u8>)], session: &SessionId) -> Result<Parameters, String> {
    let mut out = Parameters::new();
    for (name, value) in asked {
        let lower = String::from_utf8_lossy(name).to_ascii_lowercase();
        match lower.as_str() {
            "user" | "database" | "application_name" | "replication" | "fallback_application_name" => {}
            "options" => out.extend(options(&String::from_utf8_lossy(value))?),
            _ if name.starts_with(b"_pq_.") => {}
            known if may_be_set(known, value) => out.push((name.clone(), value.clone())),
            _ => return Err(lower),
        }
    }
    out.push((b"application_name".to_vec(), format!("daypass:{session}").into_bytes()));
    Ok(out)
}

/// SECURITY: with `pg_catalog` named behind another schema, that schema's functions stand in for builtins: a SET of that needs
/// more than a session.
fn may_be_set(name: &str, value: &[u8]) -> bool {
    let path = String::from_utf8_lossy(value).to_ascii_lowercase();
    let mut schemas = path.split(',').map(|schema| schema.trim().trim_matches('"'));
    let leads = schemas.next() == Some("pg_catalog");
    ALLOWED.contains(&name) && (name != "search_path" || leads || !path.contains("pg_catalog"))
}

/// Takes `-c name=value` and `--name=value` apart, as the server would.
fn options(text: &str) -> Result<Parameters, String> {
    let mut out = Parameters::new();
    let mut words = split(text).into_iter();
    while let Some(word) = words.next() {
        let setting = if word == "-c" {
            words.next()
        } else {
            word.strip_prefix("--").or_else(|| word.strip_prefix("-c")).map(str::to_owned)
        };
        let Some((name, value)) = setting.as_deref().and_then(|setting| setting.split_once('=')) else {
            return Err(format!("options {word}"));
        };
        let name = name.replace('-', "_").to_ascii_lowercase();
        if name == "application_name" {
            continue;
        }
        if !may_be_set(&name, value.as_bytes()) {
            return Err(name);
        }
        out.push((name.into_bytes(), value.as_bytes().to_vec()));
    }
    Ok(out)
}

/// Splits at spaces; a backslash takes the next character as it is.
fn split(text: &str) -> Vec<String> {
    let (mut words, mut word, mut chars) = (Vec::new(), String::new(), text.chars());
    while let Some(c) = chars.next() {
        match c {
            '\\' => word.extend(chars.next()),
            c if c.is_ascii_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            c => word.push(c),
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str, value: &str) -> Result<Vec<String>, String> {
        let asked = [(name.as_bytes().to_vec(), value.as_bytes().to_vec())];
        let text = |(n, v): &(Vec<u8>, Vec<u8>)| {
            format!("{}={}", String::from_utf8_lossy(n), String::from_utf8_lossy(v))
        };
        Ok(allowed(&asked, &SessionId::new("S-1"))?.iter().map(text).collect())
    }

    #[test]
    fn presentation_goes_on_and_rights_do_not() {
        assert_eq!(of("DateStyle", "ISO").unwrap(), ["DateStyle=ISO", "application_name=daypass:S-1"]);
        assert_eq!(of("user", "orders").unwrap(), ["application_name=daypass:S-1"]);
        for name in ["role", "session_authorization", "ROLE", "log_statement", "session_preload_libraries"] {
            assert_eq!(of(name, "postgres").unwrap_err(), name.to_ascii_lowercase());
        }
    }

    #[test]
    fn a_search_path_cannot_put_a_schema_before_the_catalog() {
        assert!(of("search_path", "app, public").is_ok());
        assert!(of("search_path", "\"pg_catalog\", public").is_ok());
        assert_eq!(of("search_path", "app, pg_catalog").unwrap_err(), "search_path");
        assert_eq!(of("options", "-c search_path=app,PG_CATALOG").unwrap_err(), "search_path");
    }

    #[test]
    fn options_are_taken_apart() {
        let options = of("options", "-c geqo=off --statement-timeout=5min -csearch_path=a\\ b").unwrap();
        let expected =
            ["geqo=off", "statement_timeout=5min", "search_path=a b", "application_name=daypass:S-1"];
        assert_eq!(options, expected);
        assert_eq!(of("options", "-c role=postgres").unwrap_err(), "role");
        assert_eq!(of("options", "-crole=postgres").unwrap_err(), "role");
        assert_eq!(of("options", "-d 5").unwrap_err(), "options -d");
    }
}
