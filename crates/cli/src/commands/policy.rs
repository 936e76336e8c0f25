//! Policy as a folder of files: check here, plan and apply at the control plane.

use std::fs;
use std::path::Path;

use daypass_access::policy::{Files, Policy, PolicyError};
use daypass_api::policy::{PolicyApplied, PolicyFiles, PolicyInForce, PolicyPlan, PolicyProblem};

use super::Context;
use crate::args::operate::PolicyFolder;
use crate::trouble::Trouble;

/// Longest policy file, in bytes.
const FILE_LEN_MAX: u64 = 1 << 20;

pub(crate) fn check(c: &Context, args: &PolicyFolder) -> Result<(), Trouble> {
    let files = read(&args.folder)?;
    let problems: Vec<PolicyProblem> = match Policy::parse(&files) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.into_iter().map(problem).collect(),
    };
    if c.out.is_json() {
        c.out.json(&problems)?;
    }
    refuse(c, &args.folder, &files, &problems)?;
    c.out.note(format!("✓ {} files, no mistakes", files.len()))
}

fn problem(error: PolicyError) -> PolicyProblem {
    PolicyProblem { file: error.file, line: u64::from(error.line), message: error.message, hint: error.hint }
}

pub(crate) async fn plan(c: &Context, args: &PolicyFolder) -> Result<(), Trouble> {
    let files = read(&args.folder)?;
    let body = PolicyFiles { files: files.clone(), expected_version: None };
    let plan: PolicyPlan = c.client()?.post("/v1/policy/plan", &body).await?;
    if c.out.is_json() {
        c.out.json(&plan)?;
    }
    refuse(c, &args.folder, &files, &plan.errors)?;
    if !c.out.is_json() {
        c.out.note(format!("against version {}:", plan.from_version))?;
        if plan.changes.is_empty() {
            c.out.line("nobody gains or loses anything")?;
        }
        for change in &plan.changes {
            c.out.line(change)?;
        }
    }
    Ok(())
}

pub(crate) async fn apply(c: &Context, args: &PolicyFolder) -> Result<(), Trouble> {
    let client = c.client()?;
    let files = read(&args.folder)?;
    let problems: Vec<PolicyProblem> = match Policy::parse(&files) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.into_iter().map(problem).collect(),
    };
    refuse(c, &args.folder, &files, &problems)?;
    // Somebody else's change between our look and our write is an error, not a silent loss of theirs.
    let expected_version = match client.fetch::<PolicyInForce>("/v1/policy").await {
        Ok(in_force) => Some(in_force.version),
        Err(Trouble::Api(refusal)) if refusal.status == 404 => None,
        Err(error) => return Err(error),
    };
    let applied: PolicyApplied =
        client.post("/v1/policy/apply", &PolicyFiles { files, expected_version }).await?;
    if c.out.is_json() {
        return c.out.json(&applied);
    }
    c.out.line(format!("✓ version {} is in force", applied.version))
}

/// The `.toml` files of the folder.
fn read(folder: &Path) -> Result<Files, Trouble> {
    let mut files = Files::new();
    for entry in fs::read_dir(folder).map_err(Trouble::file(folder, "read the folder"))? {
        let path = entry.map_err(Trouble::file(folder, "read the folder"))?.path();
        if path.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        let len = fs::metadata(&path).map_err(Trouble::file(&path, "read"))?.len();
        if len > FILE_LEN_MAX {
            return Err(Trouble::input(format!("`{}` is longer than 1 MiB", path.display()), "split it"));
        }
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        files.insert(name, fs::read_to_string(&path).map_err(Trouble::file(&path, "read"))?);
    }
    if files.is_empty() {
        return Err(Trouble::missing(
            format!("there are no .toml files in `{}`", folder.display()),
            "a policy has resources.toml, roles.toml, teams.toml and system.toml; `daypass init` writes a first one",
        ));
    }
    Ok(files)
}

/// Prints mistakes with their lines; an error when there are any.
fn refuse(c: &Context, folder: &Path, files: &Files, problems: &[PolicyProblem]) -> Result<(), Trouble> {
    if problems.is_empty() {
        return Ok(());
    }
    if !c.out.is_json() {
        for problem in problems {
            c.out.line(excerpt(folder, files, problem))?;
        }
    }
    let count = problems.len();
    Err(Trouble::Problems {
        what: format!("the policy has {count} {}", if count == 1 { "mistake" } else { "mistakes" }),
        hint: "nothing was applied; correct the lines above and run it again".to_owned(),
    })
}

/// A mistake with the line it is on.
fn excerpt(folder: &Path, files: &Files, problem: &PolicyProblem) -> String {
    let line = usize::try_from(problem.line)
        .ok()
        .and_then(|line| line.checked_sub(1))
        .and_then(|line| files.get(&problem.file)?.lines().nth(line));
    let quoted = line.map(|line| format!("\n  {} | {}", problem.line, line.trim_end())).unwrap_or_default();
    let hint = if problem.hint.is_empty() { String::new() } else { format!("\n  hint: {}", problem.hint) };
    format!("{}:{}: {}{quoted}{hint}\n", folder.join(&problem.file).display(), problem.line, problem.message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_shows_its_line() {
        let files = Files::from([("roles.toml".to_owned(), "[roles.a]\nallow = [\"reed\"]\n".to_owned())]);
        let problem = PolicyProblem {
            file: "roles.toml".into(),
            line: 2,
            message: "there is no class `reed`".into(),
            hint: "did you mean `read`?".into(),
        };
        insta::assert_snapshot!(excerpt(Path::new("policy"), &files, &problem), @r#"
    policy/roles.toml:2: there is no class `reed`
      2 | allow = ["reed"]
      hint: did you mean `read`?
"#);
    }
}
