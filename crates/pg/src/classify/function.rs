//! What calling a function or operator of a name may do.
//!
//! A name is all there is: the catalog is at the target. SECURITY: see "What cannot be seen" in [`super`].

use daypass_access::action::{Class, ClassSet};

use super::builtins::{COLUMNS, FIELDS, FUNCTIONS, OPERATORS};

/// What a call needs beyond reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing: it is a known builtin without effect.
    None,
    /// `set_config`: depends on its arguments.
    SetConfig,
    /// More classes, and it is an act.
    Needs(ClassSet),
}

/// Judges a function by its name, as the parser folded it: schema and all.
pub(super) fn function(name: &[&str]) -> Effect {
    let Some((&last, schema)) = name.split_last() else { return Effect::Needs(needs(Class::Admin)) };
    if is_admin(last) {
        return Effect::Needs(needs(Class::Admin));
    }
    match schema {
        [] | ["pg_catalog"] => builtin(last),
        ["information_schema"] if last.starts_with("_pg_") => Effect::None,
        _ => Effect::Needs(needs(Class::Call)),
    }
}

fn builtin(name: &str) -> Effect {
    match name {
        "set_config" => Effect::SetConfig,
        // An act, so that it runs after its record is durable; nobody needs more than reading for it.
        "pg_sleep" | "pg_sleep_for" | "pg_sleep_until" | "pg_export_snapshot" | "txid_current"
        | "pg_current_xact_id" => Effect::Needs(needs(Class::Read)),
        "pg_notify" => Effect::Needs(needs(Class::Session)),
        "nextval" | "setval" => Effect::Needs(needs(Class::Write)),
        _ if FUNCTIONS.binary_search(&name).is_ok() => Effect::None,
        _ => Effect::Needs(needs(Class::Call)),
    }
}

/// Functions that reach files, programs, other servers, other sessions, roles or the server itself, wherever they are
/// installed.
fn is_admin(name: &str) -> bool {
    const PREFIXES: &[&str] = &[
        "binary_upgrade_",
        "dblink",
        "lo_export",
        "lo_import",
        "pg_advance_",
        "pg_backup_",
        "pg_copy_",
        "pg_create_",
        "pg_drop_",
        "pg_file_",
        "pg_logdir_",
        "pg_log_backend",
        "pg_logical_slot",
        "pg_ls_",
        "pg_read_",
        "pg_replication_origin_",
        "pg_replication_slot_",
        "pg_rotate_",
        "pg_stat_file",
        "pg_stat_reset",
        "pg_start_backup",
        "pg_stop_",
        "pg_wal_replay_",
        "postgres_fdw_",
    ];
    const NAMES: &[&str] = &[
        "pg_cancel_backend",
        "pg_terminate_backend",
        "pg_reload_conf",
        "pg_promote",
        "pg_switch_wal",
        "pg_switch_xlog",
        "pg_hba_file_rules",
        "pg_ident_file_mappings",
        "pg_show_all_file_settings",
        "pg_import_system_collations",
        "pg_extension_config_dump",
        "pg_nextoid",
        "pg_set_relation_stats",
        "pg_restore_relation_stats",
        "pg_current_logfile",
        "pg_stat_statements_reset",
        "plpgsql_call_handler",
        "plpgsql_inline_handler",
        "crosstab",
        "crosstabn",
        "connectby",
        "xpath_table",
        "query_to_xml",
        "query_to_xmlschema",
        "query_to_xml_and_xmlschema",
        "cursor_to_xml",
        "ts_stat",
        "ts_rewrite",
    ];
    // `pg_replication_origin_oid` and the like only look things up, and are rare: no exception is made.
    PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || NAMES.contains(&name)
}

/// Judges `alias.name`. SECURITY: that is `name(alias)` when the alias is of a function in FROM, or `name` takes its row.
/// A column is what it mostly is, so only the names of the server's own functions with effects count.
pub(super) fn column(name: &str) -> Effect {
    const LARGE_OBJECTS: [&str; 7] =
        ["lo_close", "lo_creat", "lo_create", "lo_get", "lo_tell", "lo_tell64", "lo_unlink"];
    let known = matches!(name, "nextval" | "brin_summarize_new_values" | "gin_clean_pending_list");
    if name.starts_with("pg_") || known || is_admin(name) || LARGE_OBJECTS.contains(&name) {
        function(&[name])
    } else {
        Effect::None
    }
}

/// Judges `(x).name`. SECURITY: that is `name(x)` unless `x` is a row with a field of that name, and it cannot be known.
pub(super) fn field(name: &str) -> Effect {
    if is_field(name) { Effect::None } else { function(&[name]) }
}

/// The columns of a function's result, where it may be more than one value; `None` where it is one.
pub(super) fn columns(name: &str) -> Option<&'static [&'static str]> {
    let found = COLUMNS.binary_search_by_key(&name, |(function, _)| function).ok()?;
    COLUMNS.get(found).map(|(_, columns)| *columns)
}

/// Whether a name is one of a column of the server's own functions.
pub(super) fn is_field(name: &str) -> bool {
    FIELDS.binary_search(&name).is_ok()
}

/// Judges an operator by its name.
pub(super) fn operator(name: &[&str]) -> Effect {
    match name {
        // `IN`, `LIKE`, `BETWEEN` and plain comparisons stand in the tree under builtin symbols or their own words.
        [symbol] | ["pg_catalog", symbol] if is_operator(symbol) => Effect::None,
        _ => Effect::Needs(needs(Class::Call)),
    }
}

fn is_operator(symbol: &str) -> bool {
    OPERATORS.binary_search(&symbol).is_ok()
        || matches!(symbol, "BETWEEN" | "NOT BETWEEN" | "BETWEEN SYMMETRIC" | "NOT BETWEEN SYMMETRIC")
}

/// Judges a table sampling method by its name.
pub(super) fn sampling(name: &[&str]) -> Effect {
    match name {
        ["system" | "bernoulli"] | ["pg_catalog", "system" | "bernoulli"] => Effect::None,
        _ => Effect::Needs(needs(Class::Call)),
    }
}

fn needs(class: Class) -> ClassSet {
    ClassSet::EMPTY.with(class)
}

/// Tables that hold secrets of the server; reading one needs the highest class.
pub(super) fn is_secret_table(schema: &str, name: &str) -> bool {
    let catalog = matches!(
        name,
        "pg_authid"
            | "pg_shadow"
            | "pg_user_mapping"
            | "pg_user_mappings"
            | "pg_hba_file_rules"
            | "pg_ident_file_mappings"
            | "pg_file_settings"
    );
    let information = matches!(name, "user_mapping_options" | "_pg_user_mappings");
    match schema {
        "" => catalog || information,
        "pg_catalog" => catalog,
        "information_schema" => information,
        _ => false,
    }
}

/// The column of `pg_subscription` that holds passwords. The table itself is read by `pg_dump` of anybody.
pub(super) const SECRET_COLUMN: &str = "subconninfo";

/// Whether a name is one of a harmless column of `pg_subscription`.
pub(super) fn is_open_column(name: &str) -> bool {
    const SUBSCRIPTION: &[&str] = &[
        "dbid",
        "skiplsn",
        "name",
        "owner",
        "enabled",
        "binary",
        "stream",
        "twophasestate",
        "disableonerr",
        "passwordrequired",
        "runasowner",
        "failover",
        "slotname",
        "synccommit",
        "publications",
        "origin",
    ];
    let system = matches!(name, "oid" | "tableoid" | "ctid" | "xmin" | "xmax" | "cmin" | "cmax");
    system || name.strip_prefix("sub").is_some_and(|name| SUBSCRIPTION.contains(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_are_sorted_and_disjoint() {
        assert!(FUNCTIONS.is_sorted() && OPERATORS.is_sorted() && FIELDS.is_sorted());
        assert!(COLUMNS.is_sorted());
        for name in FUNCTIONS {
            assert!(!is_admin(name) || name.starts_with("pg_replication_origin_"), "{name}");
        }
    }

    #[test]
    fn names_are_judged_with_their_schema() {
        let call = Effect::Needs(needs(Class::Call));
        let admin = Effect::Needs(needs(Class::Admin));
        assert_eq!(function(&["lower"]), Effect::None);
        assert_eq!(function(&["pg_catalog", "lower"]), Effect::None);
        assert_eq!(function(&["public", "lower"]), call);
        assert_eq!(function(&["Lower"]), call);
        assert_eq!(function(&["no_such"]), call);
        assert_eq!(function(&["lo_put"]), call);
        assert_eq!(function(&["pg_advisory_lock"]), call);
        assert_eq!(function(&["any", "dblink_exec"]), admin);
        assert_eq!(function(&["pg_read_file"]), admin);
        assert_eq!(function(&["query_to_xml"]), admin);
        assert_eq!(function(&[]), admin);
        assert_eq!(operator(&["public", "="]), call);
        assert_eq!(operator(&["="]), Effect::None);
        assert_eq!(operator(&["=!="]), call);
    }
}
