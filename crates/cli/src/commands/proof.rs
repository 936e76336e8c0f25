//! Explaining and proving: who-had-access, why, evidence.

use std::fs;
use std::path::PathBuf;

use daypass_api::log::{AccessAt, AccessHolder, Why};
use serde_json::json;

use super::Context;
use crate::args::proof::{EvidenceGrantArgs, WhoHadAccessArgs, WhyArgs};
use crate::client::segment;
use crate::home::file_name;
use crate::trouble::Trouble;
use crate::when;

pub(crate) async fn who_had_access(c: &Context, args: &WhoHadAccessArgs) -> Result<(), Trouble> {
    let at = args.at.map_or_else(when::now, |moment| moment.0);
    let query = [("resource", args.resource.clone()), ("at", at.to_string())];
    let answer: AccessAt = c.client()?.query("/v1/access", &query, std::time::Duration::ZERO).await?;
    if c.out.is_json() {
        return c.out.json(&answer);
    }
    let row = |holder: &AccessHolder| {
        vec![
            holder.person.clone(),
            holder.role.clone(),
            holder.classes.join(", "),
            holder.grant.clone(),
            c.out.clock(holder.starts_at),
            c.out.clock(holder.ends_at),
            holder.approvers.join(", "),
        ]
    };
    let headers = ["who", "role", "could", "grant", "from", "until", "approved by"];
    let when = when::moment(answer.at, c.out.zone());
    c.out.list(
        &answer.people,
        &headers,
        row,
        &format!("nobody had access to {} at {when}", answer.resource),
    )?;
    c.out.note(format!(
        "at {when}, replayed from the first {} records of the control log",
        answer.control_size
    ))
}

pub(crate) async fn why(c: &Context, args: &WhyArgs) -> Result<(), Trouble> {
    let path = match args.subject.split_once('/') {
        Some((session, action)) => format!("/v1/why/{}/{}", segment(session), segment(action)),
        None => format!("/v1/why/{}", segment(&args.subject)),
    };
    let why: Why = c.client()?.fetch(&path).await?;
    if c.out.is_json() {
        return c.out.json(&why);
    }
    c.out.line(&why.subject)?;
    for step in &why.steps {
        c.out.line(format!(
            "  {}  {:<14} {}",
            c.out.clock(step.at),
            format!("{}/{}", step.log, step.index),
            step.words
        ))?;
    }
    Ok(())
}

pub(crate) async fn evidence_grant(c: &Context, args: EvidenceGrantArgs) -> Result<(), Trouble> {
    let path =
        args.output.unwrap_or_else(|| PathBuf::from(format!("evidence-{}.zip", file_name(&args.grant))));
    let bytes =
        c.client()?.bytes(&format!("/v1/evidence/grants/{}", segment(&args.grant))).await?.ok_or_else(
            || {
                Trouble::missing(
                    format!("there is no grant `{}`", args.grant),
                    "`daypass log search --kind grant-started` lists grants",
                )
            },
        )?;
    fs::write(&path, &bytes).map_err(Trouble::file(&path, "write"))?;
    let shown = path.display().to_string();
    if c.out.is_json() {
        return c.out.json(&json!({"file": shown, "bytes": bytes.len()}));
    }
    c.out.line(format!("wrote {shown} ({} bytes)", bytes.len()))?;
    c.out.note(format!("anybody can check it, offline: daypass verify {shown} --policy"))
}
