//! What policy says when it is wrong, and what a plan says, word by word.

use daypass_access::command::{Ask, Code};
use daypass_access::policy::{Policy, parse_duration, plan};

use crate::BASE;
use crate::history::policy;
use crate::world::{POLICY, files};

fn errors(text: &str) -> String {
    let errors = Policy::parse(&files(text)).unwrap_err();
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// The policy with one change, which must be one.
fn with(old: &str, new: &str) -> String {
    assert!(POLICY.contains(old), "{old}");
    POLICY.replacen(old, new, 1)
}

#[test]
fn everything_wrong_is_named_with_its_place_and_a_hint() {
    insta::assert_snapshot!(errors(&with("sensitive = true", "sensitiv = true")), @"policy.toml:14: unknown key `sensitiv` in resource `prod-payroll` (did you mean `sensitive`?)");
    insta::assert_snapshot!(errors(&with("max_duration = \"2h\"", "max_duration = \"2 fortnights\"")), @r#"policy.toml:35: `max_duration` is not a span between 1 second and 30 days (write for example "30m", "8h" or "1h30m")"#);
    insta::assert_snapshot!(errors(&with("allow = [\"read\", \"write\"]", "allow = [\"raed\", \"write\"]")), @"policy.toml:20: there is no class `raed` (did you mean `read`?)");
    insta::assert_snapshot!(errors(&with("any_of = [\"security\", \"manager\"]", "any_of = [\"securty\"]")), @"policy.toml:39: there is no team `securty`, named in step 2 (did you mean `security`?)");
    insta::assert_snapshot!(errors(&with("any_of = [\"leads\"]", "any_of = [\"leads\"]\ncount = 3")), @"policy.toml:37: step 1 of role `payroll-ops` cannot be reached: it needs 3, and when `alice` asks there are 2 (add people to the team, or lower `count`; nobody approves their own request)");
    insta::assert_snapshot!(errors(&with("who_may_ask = [\"engineers\"]", "")), @"policy.toml:25: role `orders-read` has no `who_may_ask` (add `who_may_ask = …`)");
    insta::assert_snapshot!(errors(&with("address = \"127.0.0.1:5432\"", "address = \"127.0.0.1\"")), @"policy.toml:2: the address of resource `prod-orders` has no port (write `host:port`, or the folder of a Unix socket)");
    insta::assert_snapshot!(errors(&with("labels = { env = \"prod\", system = \"payroll\" }", "labels = { system = \"pay\" }")), @r#"
    policy.toml:9: nobody can ever ask for resource `prod-payroll`: no role selects it (give it the labels of a role's `select`, or remove it)
    policy.toml:31: role `payroll-ops` selects no resource: none has system = "payroll" (look at the labels of the resources)
    "#);
    insta::assert_snapshot!(errors(&with("[teams.leads]", "[teams.manager]\nmembers = []\n[teams.leads]")), @"policy.toml:46: a team cannot be called `manager` (that word means a person's own; choose another)");
    insta::assert_snapshot!(errors(&with("kind = \"postgres\"", "kind = \"mysql\"")), @r#"policy.toml:3: `kind` cannot be `mysql` (use "postgres")"#);
    insta::assert_snapshot!(errors(&with("members = [\"root\"]", "members = \"root\"")), @r#"policy.toml:51: `members` is a string, not a list of names, for example ["leads"] (give `members` a list of names, for example ["leads"])"#);
    insta::assert_snapshot!(errors(&with("[system]", "[system")), @"policy.toml:55: unclosed table, expected `]` (this is not TOML: see https://toml.io)");
    insta::assert_snapshot!(errors("[rolez.x]\nallow = []\n"), @"policy.toml:1: unknown key `rolez` in `policy.toml` (did you mean `roles`?)");
}

#[test]
fn the_same_thing_in_two_files_is_named_with_both() {
    let mut two = files(POLICY);
    two.insert("more.toml".to_owned(), "\n[teams.leads]\nmembers = [\"dan\"]\n".to_owned());
    let errors = Policy::parse(&two).unwrap_err();
    insta::assert_snapshot!(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"), @"policy.toml:46: team `leads` is there twice (the first is at more.toml:2)");
}

#[test]
fn a_wrong_policy_is_not_applied_by_halves() {
    let mut world = BASE.clone();
    let before = world.state.clone();
    let ask = |text: &str| Ask::ApplyPolicy { files: files(text), planned_on: None };
    let denied = world
        .fresh("root", ask(&with("members = [\"bob\", \"bob2\"]", "members = [\"bob\", \"eve\"]")))
        .unwrap_err();
    assert_eq!(denied.code, Code::BadPolicy);
    insta::assert_snapshot!(denied.policy[0].to_string(), @"policy.toml:42: there is no person `eve`, named in team `contractors` (invite them first: `daypass people invite eve`)");
    let locked_out = with("members = [\"root\"]", "members = []");
    insta::assert_snapshot!(world.fresh("root", ask(&locked_out)).unwrap_err().message, @"under this policy nobody could administer");
    assert_eq!(world.state.policy(), before.policy());
    let stale = Ask::ApplyPolicy { files: files(POLICY), planned_on: Some(0) };
    assert_eq!(world.fresh("root", stale).unwrap_err().code, Code::Stale);
}

#[test]
fn a_plan_says_who_gains_and_who_loses() {
    let old = Policy::parse(&files(&policy(0))).unwrap();
    let said = |number: usize| {
        let new = Policy::parse(&files(&policy(number))).unwrap();
        plan(&old, &new)
            .iter()
            .filter(|c| c.person.as_ref().is_none_or(|p| p.as_str() != "dan"))
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join("\n")
    };
    assert_eq!(said(0), "");
    insta::assert_snapshot!(said(1), @r#"
    + alice: as a contractor at most 24 h (was 4 h) on prod-orders by role orders-fix
    + alice: at most 24 h (was 8 h) on prod-orders by role orders-fix
    + alice: may ask for ddl, admin on prod-orders by role orders-fix
    + alice: update-without-where, delete-without-where, drop, truncate, grant no longer waits for a release on prod-orders by role orders-fix
    + bob: as a contractor at most 24 h (was 4 h) on prod-orders by role orders-fix
    + bob: at most 24 h (was 8 h) on prod-orders by role orders-fix
    + bob: may ask for ddl, admin on prod-orders by role orders-fix
    + bob: update-without-where, delete-without-where, drop, truncate, grant no longer waits for a release on prod-orders by role orders-fix
    + bob2: as a contractor at most 24 h (was 4 h) on prod-orders by role orders-fix
    + bob2: at most 24 h (was 8 h) on prod-orders by role orders-fix
    + bob2: may ask for ddl, admin on prod-orders by role orders-fix
    + bob2: update-without-where, delete-without-where, drop, truncate, grant no longer waits for a release on prod-orders by role orders-fix
    + carol: as a contractor at most 24 h (was 4 h) on prod-orders by role orders-fix
    + carol: at most 24 h (was 8 h) on prod-orders by role orders-fix
    + carol: may ask for ddl, admin on prod-orders by role orders-fix
    + carol: update-without-where, delete-without-where, drop, truncate, grant no longer waits for a release on prod-orders by role orders-fix
    + root: as a contractor at most 24 h (was 4 h) on prod-orders by role orders-fix
    + root: at most 24 h (was 8 h) on prod-orders by role orders-fix
    + root: may ask for ddl, admin on prod-orders by role orders-fix
    + root: update-without-where, delete-without-where, drop, truncate, grant no longer waits for a release on prod-orders by role orders-fix
    "#);
    insta::assert_snapshot!(said(2), @r#"
    + ada: may approve role orders-fix
    + ada: may approve role payroll-ops
    + root: may approve role orders-fix
    + root: may approve role payroll-ops
    "#);
    insta::assert_snapshot!(said(3), @r#"
    + carol: may approve role orders-fix
    - alice: may no longer approve role orders-fix
    - alice: may no longer approve role payroll-ops
    - alice2: may no longer approve role orders-fix
    "#);
}

#[test]
fn spans_are_read() {
    let table = [
        ("90s", Some(90)),
        ("30m", Some(1_800)),
        ("1h30m", Some(5_400)),
        ("1h 30m", Some(5_400)),
        ("2d", Some(172_800)),
    ];
    for (text, seconds) in table {
        assert_eq!(parse_duration(text), seconds, "{text}");
    }
    for text in ["", "5", "h", "1x", "-1h", "1h5", "99999999999999999999h"] {
        assert_eq!(parse_duration(text), None, "{text}");
    }
}
