//! How many rows a held statement would touch, by the target's own planner: for the eyes of whoever releases it.
//!
//! SECURITY: the statement is planned, never run: EXPLAIN without ANALYZE, prepared (so that it is one statement), in a
//! connection of its own that is read-only, gives up fast, and is opened only after the record of the hold is durable.
//! Statements that call code which is not known are not planned either, because planning may call it.

use std::time::Duration;

use bytes::BytesMut;
use daypass_access::action::Class;
use daypass_access::id::SessionId;
use daypass_pg::frame::{Side, first};
use daypass_pg::message::Back;
use daypass_pg::session::Statement;
use daypass_pg::write;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::node::Node;
use crate::target::Way;

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longest plan that is read, in bytes.
const PLAN_LEN_MAX: usize = 256 << 10;

/// The planner's estimate; `None` when there is none to be had.
pub(crate) async fn rows(node: &Node, way: &Way, session: &SessionId, statement: &Statement) -> Option<u64> {
    let known = [Class::Session, Class::Read, Class::Write];
    let only_known = statement.action.classes.iter().all(|class| known.contains(&class));
    if !only_known || !matches!(&*statement.verb, "UPDATE" | "DELETE") {
        return None;
    }
    let planning = plan(node, way, session, statement);
    let plan = tokio::time::timeout(PATIENCE, planning).await.ok()??;
    touched(&serde_json::from_slice(&plan).ok()?)
}

/// The rows that come out of what feeds the change: an UPDATE without RETURNING itself gives none.
fn touched(plan: &serde_json::Value) -> Option<u64> {
    let top = plan.get(0)?.get("Plan")?;
    let feeds = top.get("Plans").and_then(|plans| plans.as_array()).map_or(&[][..], Vec::as_slice);
    let rows = |node: &serde_json::Value| node.get("Plan Rows").and_then(serde_json::Value::as_u64);
    feeds.iter().filter_map(rows).max().or_else(|| rows(top))
}

async fn plan(node: &Node, way: &Way, session: &SessionId, statement: &Statement) -> Option<Vec<u8>> {
    let setting = |name: &str, value: &str| (name.as_bytes().to_vec(), value.as_bytes().to_vec());
    let parameters = vec![
        setting("application_name", &format!("daypass:{session}:estimate")),
        setting("default_transaction_read_only", "on"),
        setting("statement_timeout", "1000"),
        setting("lock_timeout", "200"),
        setting("client_encoding", "UTF8"),
    ];
    let mut upstream = way.connect(node, parameters).await.ok()?;
    let mut out = BytesMut::new();
    let text = [b"EXPLAIN (FORMAT JSON) ", statement.text.as_slice()].concat();
    write::parse(&mut out, b"", &text, &[]);
    write::bind(&mut out, b"", b"", &[]);
    write::execute(&mut out, b"", 0);
    write::sync(&mut out);
    upstream.stream.write_all(&out).await.ok()?;
    upstream.stream.flush().await.ok()?;
    let (mut input, mut plan) = (BytesMut::new(), None);
    loop {
        while let Some((frame, len)) = first(Side::Back, &input).ok()? {
            #[expect(clippy::wildcard_enum_match_arm, reason = "of all answers, the row and the end matter")]
            match Back::parse(frame.tag, frame.body).ok()? {
                // One row of one column: a count of two bytes and a length of four stand before it.
                Back::DataRow(row) => plan = row.get(6..).map(<[u8]>::to_vec),
                Back::ReadyForQuery(_) => {
                    let mut bye = BytesMut::new();
                    write::terminate(&mut bye);
                    upstream.stream.write_all(&bye).await.ok();
                    return plan;
                }
                _ => {}
            }
            drop(input.split_to(len));
        }
        if input.len() > PLAN_LEN_MAX || upstream.stream.read_buf(&mut input).await.ok()? == 0 {
            return None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rows_are_those_that_feed_the_change() {
        let plan =
            r#"[{"Plan": {"Node Type": "ModifyTable", "Plan Rows": 0, "Plans": [{"Plan Rows": 1200}]}}]"#;
        assert_eq!(touched(&serde_json::from_str(plan).unwrap()), Some(1200));
        assert_eq!(touched(&serde_json::from_str("[]").unwrap()), None);
    }
}
