//! The story of a grant told by its records, and what people are told when something is refused.

use daypass_access::command::{Ask, Denied};
use daypass_access::id::{GrantId, PersonId, RequestId};

use crate::BASE;
use crate::world::World;

fn lines(log: &[Vec<u8>]) -> String {
    let shown = log.iter().map(|bytes| String::from_utf8(bytes.clone()).unwrap());
    shown.filter(|line| !line.contains("factor-shown")).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_grant_from_asking_to_handing_back() {
    let mut world = BASE.clone();
    let before = world.log.len();
    let grant = world.bobs_grant();
    let token_sha256 = world.token();
    world.by("bob", Ask::IssuePass { grant: grant.clone(), token_sha256 }).unwrap();
    world.wait_s(60);
    world.by("bob", Ask::Extend { grant: grant.clone(), reason: String::new() }).unwrap();
    world.by("bob", Ask::Return { grant }).unwrap();
    insta::assert_snapshot!(lines(&world.log[before..]), @r#"
    {"v":1,"kind":"request-filed","at":1800000000000000,"seq":26,"request":"R-1","person":"bob","resource":"prod-orders","role":"orders-fix","duration_s":3600,"starts":null,"urgency":"normal","classes":["session","read","write"],"holds":["update-without-where","delete-without-where","drop","truncate","grant"],"credential":"prod-orders","steps":[{"any_of":["leads","manager","sponsor"],"count":1}],"extend":{"by_s":1800,"times":2,"approval":"none"},"lives_until":1800003600000000,"policy":1,"extends":null,"rule":"role/orders-fix/who-may-ask"}
    {"v":1,"kind":"request-approved","at":1800000000000000,"seq":28,"request":"R-1","step":0,"by":"alice","through":"leads","factor_at":1800000000000000,"narrowed":null}
    {"v":1,"kind":"grant-opened","at":1800000000000000,"seq":29,"grant":"G-1","request":"R-1","person":"bob","resource":"prod-orders","role":"orders-fix","classes":["session","read","write"],"holds":["update-without-where","delete-without-where","drop","truncate","grant"],"credential":"prod-orders","starts":1800000000000000,"ends":1800003600000000,"bound":"asked","extends":null,"approvers":["alice"],"rule":"role/orders-fix/steps"}
    {"v":1,"kind":"pass-issued","at":1800000000000000,"seq":30,"pass":"P-1","grant":"G-1","person":"bob","resource":"prod-orders","token_sha256":"00000000000000000000000000000000000000000000000000000000000003f1"}
    {"v":1,"kind":"request-filed","at":1800000060000000,"seq":31,"request":"R-2","person":"bob","resource":"prod-orders","role":"orders-fix","duration_s":1800,"starts":1800003600000000,"urgency":"high","classes":["session","read","write"],"holds":["update-without-where","delete-without-where","drop","truncate","grant"],"credential":"prod-orders","steps":[],"extend":{"by_s":1800,"times":2,"approval":"none"},"lives_until":1800003600000000,"policy":1,"extends":"G-1","rule":"role/orders-fix/extend"}
    {"v":1,"kind":"grant-opened","at":1800000060000000,"seq":32,"grant":"G-2","request":"R-2","person":"bob","resource":"prod-orders","role":"orders-fix","classes":["session","read","write"],"holds":["update-without-where","delete-without-where","drop","truncate","grant"],"credential":"prod-orders","starts":1800003600000000,"ends":1800005400000000,"bound":"extension","extends":"G-1","approvers":[],"rule":"role/orders-fix/no-steps"}
    {"v":1,"kind":"grant-ended","at":1800000060000000,"seq":33,"grant":"G-1","how":"returned","by":"bob"}
    {"v":1,"kind":"grant-ended","at":1800000060000000,"seq":34,"grant":"G-2","how":"returned","by":"bob"}
    "#);
}

#[test]
fn a_refusal_says_what_to_do_next() {
    let mut world = BASE.clone();
    let request = world.request("bob", "prod-orders", "orders-fix").unwrap();
    let mut said = Vec::new();
    let mut tell = |world: &mut World, name: &str, ask: Ask| {
        let Denied { code, message, hint, .. } = world.by(name, ask).unwrap_err();
        said.push(format!("{name}: {}: {message}. {hint}.", code.name()));
    };
    let approve =
        |request: &RequestId| Ask::Approve { request: request.clone(), narrow: None, comment: String::new() };
    tell(&mut world, "bob", approve(&request));
    tell(&mut world, "root", approve(&request));
    let again = world.ask("prod-orders", "orders-fix");
    tell(&mut world, "bob", again);
    let payroll = world.ask("prod-payroll", "payroll-ops");
    tell(&mut world, "bob", payroll);
    let unclear = match world.ask("prod-orders", "x") {
        Ask::Request { resource, reason, urgency, .. } => Ask::Request {
            resource,
            reason,
            urgency,
            role: None,
            duration_s: None,
            starts: None,
            classes: None,
            ticket: None,
        },
        other => other,
    };
    tell(&mut world, "carol", unclear);
    world.wait_s(16 * 60);
    tell(&mut world, "alice", approve(&request));
    tell(&mut world, "alice", approve(&RequestId::new("R-77")));
    world.approve("alice", &request).unwrap();
    tell(&mut world, "dan", approve(&request));
    tell(&mut world, "ada", Ask::Revoke { grant: GrantId::new("G-1") });
    tell(&mut world, "ada", Ask::Suspend { person: PersonId::new("bob"), reason: String::new() });
    tell(&mut world, "carol", Ask::Extend { grant: GrantId::new("G-1"), reason: String::new() });
    world.wait_s(3_700);
    tell(&mut world, "bob", Ask::Extend { grant: GrantId::new("G-1"), reason: String::new() });
    insta::assert_snapshot!(said.join("\n"), @r#"
    bob: own-request: R-1 is your own request. it needs 1 of `leads`, `manager`, `sponsor`, and nobody approves their own.
    root: not-allowed: R-1 is not yours to approve. it needs 1 of `leads`, `manager`, `sponsor`.
    bob: exists: R-1 waits for the same already. wait for it, or `daypass withdraw R-1` first.
    bob: not-allowed: there is no way for you to ask for `prod-payroll`. see what you can ask for with `daypass resources`.
    carol: role-needed: several roles fit: `orders-fix`, `orders-read`. say which with `--role`.
    alice: factor-needed: your second factor was shown more than 15 minutes ago. show it again: repeat the command with `--totp CODE`.
    alice: unknown: there is no request `R-77`. see `daypass requests`.
    dan: wrong-state: R-1 is approved already. nothing to do; see `daypass requests`.
    ada: not-allowed: G-1 is not yours to revoke. those who could have approved it, those who may kill, and administrators can.
    ada: not-allowed: only administrators do that. ask one of `admins`.
    carol: unknown: there is no grant of yours `G-1`. see `daypass status`.
    bob: expired: G-1 does not hold now: ended. ask again: `daypass request prod-orders`.
    "#);
}

#[test]
fn an_approver_sees_what_a_request_could_break() {
    let mut world = BASE.clone();
    let request = world.request("bob", "prod-orders", "orders-fix").unwrap();
    let radius = world.state.blast_radius(&request, world.now, None).unwrap();
    insta::assert_debug_snapshot!(radius, @r#"
    BlastRadius {
        resource: ResourceId(
            "prod-orders",
        ),
        address: "127.0.0.1:5432",
        database: "orders",
        tls: Prefer,
        labels: {
            "env": "prod",
            "system": "orders",
        },
        sensitive: false,
        classes: {
            Session,
            Read,
            Write,
        },
        dangerous: {
            Write,
        },
        holds: {
            UpdateWithoutWhere,
            DeleteWithoutWhere,
            Drop,
            Truncate,
            Grant,
        },
        unheld: {},
        duration_s: 3600,
        ends: Micros(
            1800003600000000,
        ),
        urgency: Normal,
        kind: Contractor,
        organisation: Some(
            "Acme",
        ),
        conflicts: [],
        within_hours: None,
        has_already: {},
        others: 0,
    }
    "#);
}
