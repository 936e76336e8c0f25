//! How many rows a held statement would touch, as the target's planner estimates it: for the person who decides.
//!
//! [`explain`] builds the text to ask with, [`rows`] reads the answer. An EXPLAIN runs nothing, but plans: functions declared
//! immutable may be called. So only a single UPDATE, DELETE, INSERT, MERGE or SELECT is asked about, and only when it calls
//! nothing unknown.

use daypass_access::action::{Class, ClassSet};

use crate::classify::{Dialect, classify};

/// Longest answer that is read, in bytes.
const ANSWER_LEN_MAX: usize = 1024 * 1024;

/// The text that asks for an estimate of `statement`; `None` when it is not one that may be asked about, or has parameters.
#[must_use]
pub fn explain(statement: &[u8]) -> Option<Vec<u8>> {
    let classified = classify(statement, Dialect::default());
    let [verb] = &*classified.verbs else { return None };
    let harmless: ClassSet = [Class::Session, Class::Read, Class::Write].into_iter().collect();
    let asks = matches!(*verb, "UPDATE" | "DELETE" | "INSERT" | "MERGE" | "SELECT");
    if !asks || !classified.action.classes.minus(harmless).is_empty() || !classified.plans.is_empty() {
        return None;
    }
    let mut text = b"EXPLAIN (FORMAT JSON) ".to_vec();
    text.extend_from_slice(statement);
    // SECURITY: what is sent is itself proven to be one EXPLAIN that runs nothing.
    let asked = classify(&text, Dialect::default());
    let reads: ClassSet = [Class::Session, Class::Read].into_iter().collect();
    (*asked.verbs == ["EXPLAIN"] && asked.action.classes.minus(reads).is_empty()).then_some(text)
}

/// The rows that the planner's answer estimates; `None` when the answer is not understood.
///
/// For a change it is the rows its scan finds (the node of the change itself says 0 without RETURNING), for a read the
/// rows it gives.
#[must_use]
pub fn rows(answer: &[u8]) -> Option<u64> {
    if answer.len() > ANSWER_LEN_MAX {
        return None;
    }
    let answer: serde_json::Value = serde_json::from_slice(answer).ok()?;
    let plan = answer.get(0)?.get("Plan")?;
    let estimate = |node: &serde_json::Value| node.get("Plan Rows")?.as_u64();
    if plan.get("Node Type").and_then(|t| t.as_str()) == Some("ModifyTable") {
        // One child for each partition in old releases; InitPlans are no part of what is changed.
        let children = plan.get("Plans")?.as_array()?.iter();
        let changes = children.filter(|child| {
            !matches!(child.get("Parent Relationship").and_then(|r| r.as_str()), Some("InitPlan" | "SubPlan"))
        });
        return changes.map(estimate).try_fold(0_u64, |sum, rows| Some(sum.saturating_add(rows?)));
    }
    estimate(plan)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_statements_that_call_nothing_unknown_are_asked_about() {
        let asked = |sql: &str| explain(sql.as_bytes()).map(|t| String::from_utf8(t).unwrap());
        assert_eq!(asked("UPDATE t SET a = 1").unwrap(), "EXPLAIN (FORMAT JSON) UPDATE t SET a = 1");
        assert!(asked("DELETE FROM t").is_some());
        assert!(asked("WITH x AS (SELECT 1) DELETE FROM t").is_some());
        for sql in [
            "DELETE FROM t WHERE f(a)",
            "DELETE FROM t; DELETE FROM u",
            "TRUNCATE t",
            "EXPLAIN SELECT 1",
            "",
            "x",
            "EXECUTE a",
            "SELECT 1 INTO x",
        ] {
            assert_eq!(asked(sql), None, "{sql}");
        }
    }

    #[test]
    fn the_estimate_of_a_change_is_what_its_scan_finds() {
        let change = br#"[{"Plan": {"Node Type": "ModifyTable", "Plan Rows": 0, "Plans": [
            {"Node Type": "Result", "Parent Relationship": "InitPlan", "Plan Rows": 7},
            {"Node Type": "Seq Scan", "Parent Relationship": "Outer", "Plan Rows": 48210}]}}]"#;
        assert_eq!(rows(change), Some(48_210));
        assert_eq!(rows(br#"[{"Plan": {"Node Type": "Seq Scan", "Plan Rows": 10}}]"#), Some(10));
        for answer in ["", "[]", "{}", "[{\"Plan\": {}}]", "[{\"Plan\": {\"Plan Rows\": -1}}]"] {
            assert_eq!(rows(answer.as_bytes()), None, "{answer}");
        }
    }
}
