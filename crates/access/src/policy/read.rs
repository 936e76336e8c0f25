//! Reads policy text into [`Policy`], telling everything that is wrong with it, with file, line and what to do.
//!
//! A thin reader over the parsed TOML with its positions: every key is taken by name, what is left over is unknown.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::check::Places;
use super::{
    Extend, ExtendApproval, Files, Policy, PolicyError, Resource, ResourceKind, Role, Step, System,
    TargetTls, Team,
};
use crate::action::{Class, ClassSet, Risk, RiskSet};
use crate::id::{PersonId, ResourceId, RoleId, TeamId, well_formed};

/// No file is longer than this.
const FILE_LEN_MAX: usize = 1 << 20;
/// No grant is longer than this, whatever a policy says.
const DURATION_MAX_S: u64 = 30 * 24 * 3600;

/// A value and where it is.
type At<'a, 'i> = &'a Spanned<DeValue<'i>>;

/// One file being read.
struct File<'e> {
    name: &'e str,
    text: &'e str,
    errors: &'e mut Vec<PolicyError>,
}

impl File<'_> {
    fn line(&self, span: &Range<usize>) -> u32 {
        let before = self.text.as_bytes().get(..span.start).unwrap_or_default();
        u32::try_from(before.iter().filter(|byte| **byte == b'\n').count())
            .unwrap_or(u32::MAX)
            .saturating_add(1)
    }

    fn wrong(&mut self, span: &Range<usize>, message: impl Into<String>, hint: impl Into<String>) {
        let line = self.line(span);
        let (message, hint) = (message.into(), hint.into());
        self.errors.push(PolicyError { file: self.name.to_owned(), line, message, hint });
    }
}

/// One table being read: what was not taken is unknown.
struct Keys<'a, 'i> {
    what: String,
    span: Range<usize>,
    left: BTreeMap<&'a str, (Range<usize>, At<'a, 'i>)>,
    known: Vec<&'static str>,
}

impl<'a, 'i> Keys<'a, 'i> {
    fn of(what: String, span: Range<usize>, table: &'a DeTable<'i>) -> Self {
        let left = table.iter().map(|(key, value)| (key.get_ref().as_ref(), (key.span(), value))).collect();
        Self { what, span, left, known: Vec::new() }
    }

    fn take(&mut self, key: &'static str) -> Option<At<'a, 'i>> {
        self.known.push(key);
        self.left.remove(key).map(|(_, value)| value)
    }

    fn need(&mut self, file: &mut File<'_>, key: &'static str) -> Option<At<'a, 'i>> {
        let value = self.take(key);
        if value.is_none() {
            file.wrong(&self.span, format!("{} has no `{key}`", self.what), format!("add `{key} = …`"));
        }
        value
    }

    fn finish(self, file: &mut File<'_>) {
        for (key, (span, _)) in &self.left {
            let hint = match near(key, self.known.iter().copied()) {
                Some(close) => format!("did you mean `{close}`?"),
                None => format!("known here: {}", self.known.join(", ")),
            };
            file.wrong(span, format!("unknown key `{key}` in {}", self.what), hint);
        }
    }
}

impl Policy {
    /// Reads and checks a policy. What needs to know the people is checked by [`Policy::check_people`].
    ///
    /// # Errors
    /// Everything that is wrong with it, by file and line; then nothing of it may be used.
    pub fn parse(files: &Files) -> Result<Self, Vec<PolicyError>> {
        let (policy, places, mut errors) = Self::read(files);
        policy.check_names(&places, &mut errors);
        // What was misread would only lead to complaints about what follows from it.
        if errors.is_empty() {
            policy.check_reach(&places, &mut errors);
        }
        if errors.is_empty() {
            return Ok(policy);
        }
        errors.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        Err(errors)
    }

    pub(super) fn read(files: &Files) -> (Self, Places, Vec<PolicyError>) {
        let mut policy = Self::default();
        let mut places = Places::default();
        let mut errors = Vec::new();
        for (name, text) in files {
            let mut file = File { name, text, errors: &mut errors };
            if text.len() > FILE_LEN_MAX {
                file.wrong(&(0..0), format!("the file has {} bytes", text.len()), "split it");
                continue;
            }
            let (root, wrong) = DeTable::parse_recoverable(text);
            for error in &wrong {
                let span = error.span().unwrap_or(0..0);
                let message = error.message().lines().collect::<Vec<_>>().join(", ");
                file.wrong(&span, message, "this is not TOML: see https://toml.io");
            }
            if wrong.is_empty() {
                read_root(&mut file, root.get_ref(), &mut policy, &mut places);
            }
        }
        (policy, places, errors)
    }
}

fn read_root(file: &mut File<'_>, root: &DeTable<'_>, policy: &mut Policy, places: &mut Places) {
    let mut keys = Keys::of(format!("`{}`", file.name), 0..0, root);
    for (name, span, value) in named(file, keys.take("resources"), "resource") {
        let line = file.line(&span);
        let first = places.put("resource", &name, file.name, line);
        duplicate(file, first, &span, "resource", &name);
        if let Some(resource) = read_resource(file, &name, span, value) {
            policy.resources.insert(ResourceId::new(&name), resource);
        }
    }
    for (name, span, value) in named(file, keys.take("roles"), "role") {
        let line = file.line(&span);
        let first = places.put("role", &name, file.name, line);
        duplicate(file, first, &span, "role", &name);
        if let Some(role) = read_role(file, &name, span, value, places) {
            policy.roles.insert(RoleId::new(&name), role);
        }
    }
    for (name, span, value) in named(file, keys.take("teams"), "team") {
        let line = file.line(&span);
        let first = places.put("team", &name, file.name, line);
        duplicate(file, first, &span, "team", &name);
        if ["manager", "sponsor"].contains(&name.as_str()) {
            file.wrong(
                &span,
                format!("a team cannot be called `{name}`"),
                "that word means a person's own; choose another",
            );
        }
        if let Some(team) = read_team(file, &name, span, value) {
            policy.teams.insert(TeamId::new(&name), team);
        }
    }
    if let Some(value) = keys.take("system") {
        let line = file.line(&value.span());
        let first = places.put("system", "system", file.name, line);
        duplicate(file, first, &value.span(), "table", "system");
        read_system(file, value, &mut policy.system);
    }
    keys.finish(file);
}

fn duplicate(file: &mut File<'_>, first: Option<(String, u32)>, span: &Range<usize>, what: &str, name: &str) {
    if let Some((other, line)) = first {
        file.wrong(
            span,
            format!("{what} `{name}` is there twice"),
            format!("the first is at {other}:{line}"),
        );
    }
}

/// The tables of one kind, each with its name.
fn named<'a, 'i>(
    file: &mut File<'_>,
    value: Option<At<'a, 'i>>,
    what: &str,
) -> Vec<(String, Range<usize>, &'a DeTable<'i>)> {
    let Some(value) = value else { return Vec::new() };
    let Some(table) = value.get_ref().as_table() else {
        file.wrong(&value.span(), format!("`{what}s` is not a table"), format!("write `[{what}s.NAME]`"));
        return Vec::new();
    };
    let mut found = Vec::new();
    for (key, value) in table {
        let name = key.get_ref().to_string();
        if !well_formed(&name) {
            let hint = "use 1 to 63 of `a-z 0-9 - _ .`, a letter or digit first";
            file.wrong(&key.span(), format!("`{name}` cannot name a {what}"), hint);
        } else if let Some(inner) = value.get_ref().as_table() {
            found.push((name, key.span(), inner));
        } else {
            let hint = format!("write `[{what}s.{name}]`");
            file.wrong(&value.span(), format!("{what} `{name}` is not a table"), hint);
        }
    }
    found
}

fn read_resource(
    file: &mut File<'_>,
    name: &str,
    span: Range<usize>,
    table: &DeTable<'_>,
) -> Option<Resource> {
    let mut keys = Keys::of(format!("resource `{name}`"), span.clone(), table);
    let kinds = [("postgres", ResourceKind::Postgres)];
    let kind = keys.need(file, "kind").and_then(|value| choice(file, value, "kind", &kinds));
    let address = keys.need(file, "address").and_then(|value| string(file, value, "address"));
    let database = keys.need(file, "database").and_then(|value| string(file, value, "database"));
    let ways = [
        ("off", TargetTls::Off),
        ("prefer", TargetTls::Prefer),
        ("require", TargetTls::Require),
        ("verify-full", TargetTls::VerifyFull),
    ];
    let tls = keys.take("tls").map_or(Some(TargetTls::default()), |value| choice(file, value, "tls", &ways));
    let ca_file = keys.take("ca_file").and_then(|value| string(file, value, "ca_file"));
    let credential = keys.need(file, "credential").and_then(|value| string(file, value, "credential"));
    let labels = keys.take("labels").map_or_else(BTreeMap::new, |value| strings(file, value, "labels"));
    let sensitive = keys.take("sensitive").is_some_and(|value| boolean(file, value, "sensitive"));
    keys.finish(file);
    let address_is_good = address.as_ref().is_none_or(|address| {
        let port =
            address.rsplit_once(':').map(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
        address.starts_with('/') || port.unwrap_or(false)
    });
    if !address_is_good {
        let hint = "write `host:port`, or the folder of a Unix socket";
        file.wrong(&span, format!("the address of resource `{name}` has no port"), hint);
    }
    Some(Resource {
        kind: kind?,
        address: address?,
        database: database?,
        tls: tls?,
        ca_file,
        credential: credential?,
        labels,
        sensitive,
    })
}

fn read_role(
    file: &mut File<'_>,
    name: &str,
    span: Range<usize>,
    table: &DeTable<'_>,
    places: &mut Places,
) -> Option<Role> {
    let mut keys = Keys::of(format!("role `{name}`"), span.clone(), table);
    let select = keys.need(file, "select").map(|value| strings(file, value, "select"));
    let who = keys.need(file, "who_may_ask").map(|value| names(file, value, "who_may_ask"));
    let allow = keys.need(file, "allow").map(|value| classes(file, value));
    let hold = keys.take("hold").map_or_else(|| RiskSet::from_iter(Risk::ALL), |value| risks(file, value));
    let longest = keys.take("max_duration").map_or(Some(8 * 3600), |v| duration(file, v, "max_duration"));
    let usual = keys.take("default_duration").map_or(Some(3600), |v| duration(file, v, "default_duration"));
    let contractor =
        keys.take("contractor_max").map_or(Some(4 * 3600), |v| duration(file, v, "contractor_max"));
    let reason_required = keys.take("reason_required").is_none_or(|v| boolean(file, v, "reason_required"));
    let credential = keys.take("credential").and_then(|value| string(file, value, "credential"));
    let steps = keys.take("steps").map_or_else(Vec::new, |value| read_steps(file, name, value, places));
    let extend = keys.take("extend").and_then(|value| read_extend(file, name, value));
    keys.finish(file);
    let (usual, longest) = (usual?, longest?);
    if allow.is_some_and(ClassSet::is_empty) {
        file.wrong(
            &span,
            format!("role `{name}` allows nothing"),
            "name classes in `allow`, or remove the role",
        );
    }
    if usual > longest {
        let hint = "make `default_duration` at most `max_duration`";
        file.wrong(&span, format!("role `{name}` gives by default more than its maximum"), hint);
    }
    Some(Role {
        select: select?,
        who_may_ask: who?.iter().map(|team| TeamId::new(team)).collect(),
        allow: allow?,
        hold,
        default_duration_s: usual,
        max_duration_s: longest,
        contractor_max_s: contractor?.min(longest),
        reason_required,
        credential,
        steps,
        extend,
    })
}

fn read_steps(file: &mut File<'_>, role: &str, value: At<'_, '_>, places: &mut Places) -> Vec<Step> {
    let Some(array) = value.get_ref().as_array() else {
        file.wrong(
            &value.span(),
            format!("`steps` of role `{role}` is not a list"),
            format!("write `[[roles.{role}.steps]]`"),
        );
        return Vec::new();
    };
    let mut steps = Vec::new();
    for (number, step) in (1..).zip(array.iter()) {
        let what = format!("step {number} of role `{role}`");
        let Some(table) = step.get_ref().as_table() else {
            file.wrong(
                &step.span(),
                format!("{what} is not a table"),
                format!("write `[[roles.{role}.steps]]`"),
            );
            continue;
        };
        let mut keys = Keys::of(what.clone(), step.span(), table);
        let any_of = keys.need(file, "any_of").map(|value| names(file, value, "any_of")).unwrap_or_default();
        let count = keys.take("count").map_or(Some(1), |value| integer(file, value, "count"));
        keys.finish(file);
        let count = count.and_then(|count| u32::try_from(count).ok()).unwrap_or(0);
        if any_of.is_empty() || count == 0 || count > 100 {
            file.wrong(
                &step.span(),
                format!("{what} asks for nobody"),
                "give `any_of` a team and `count` 1 to 100",
            );
        }
        let line = file.line(&step.span());
        places.put(role, &number.to_string(), file.name, line);
        steps.push(Step { any_of: any_of.into_iter().map(Into::into).collect(), count });
    }
    steps
}

fn read_extend(file: &mut File<'_>, role: &str, value: At<'_, '_>) -> Option<Extend> {
    let Some(table) = value.get_ref().as_table() else {
        let hint = "write `extend = { by = \"30m\", times = 1, approval = \"none\" }`";
        file.wrong(&value.span(), format!("`extend` of role `{role}` is not a table"), hint);
        return None;
    };
    let mut keys = Keys::of(format!("`extend` of role `{role}`"), value.span(), table);
    let by_s = keys.take("by").map_or(Some(1800), |value| duration(file, value, "by"));
    let times = keys.take("times").map_or(Some(1), |value| integer(file, value, "times"));
    let ways = [("none", ExtendApproval::None), ("same", ExtendApproval::Same)];
    let approval =
        keys.take("approval").map_or(Some(ExtendApproval::None), |v| choice(file, v, "approval", &ways));
    keys.finish(file);
    Some(Extend {
        by_s: by_s?,
        times: times.and_then(|n| u32::try_from(n).ok())?.min(100),
        approval: approval?,
    })
}

fn read_team(file: &mut File<'_>, name: &str, span: Range<usize>, table: &DeTable<'_>) -> Option<Team> {
    let mut keys = Keys::of(format!("team `{name}`"), span, table);
    let members = keys.need(file, "members").map(|value| {
        let names = names(file, value, "members");
        let mut seen = std::collections::BTreeSet::new();
        for twice in names.iter().filter(|name| !seen.insert(name.as_str())) {
            file.wrong(&value.span(), format!("`{twice}` is in team `{name}` twice"), "remove one");
        }
        names
    });
    keys.finish(file);
    Some(Team { members: members?.iter().map(|person| PersonId::new(person)).collect() })
}

fn read_system(file: &mut File<'_>, value: At<'_, '_>, system: &mut System) {
    let Some(table) = value.get_ref().as_table() else {
        file.wrong(&value.span(), "`system` is not a table", "write `[system]`");
        return;
    };
    let mut keys = Keys::of("`system`".to_owned(), value.span(), table);
    let teams = [
        ("administrators", &mut system.administrators),
        ("auditors", &mut system.auditors),
        ("may_kill", &mut system.may_kill),
        ("may_release", &mut system.may_release),
    ];
    for (key, into) in teams {
        if let Some(value) = keys.take(key) {
            *into = names(file, value, key).iter().map(|team| TeamId::new(team)).collect();
        }
    }
    let spans = [
        ("request_life", &mut system.request_life_s),
        ("factor_age_max", &mut system.factor_age_max_s),
        ("login_life", &mut system.login_life_s),
        ("contractor_login_life", &mut system.contractor_login_life_s),
        ("invitation_life", &mut system.invitation_life_s),
        ("hold_life", &mut system.hold_life_s),
    ];
    for (key, into) in spans {
        if let Some(seconds) = keys.take(key).and_then(|value| duration(file, value, key)) {
            *into = seconds;
        }
    }
    keys.finish(file);
}

fn kind_error(file: &mut File<'_>, value: At<'_, '_>, key: &str, wanted: &str) {
    let message = format!("`{key}` is {}, not {wanted}", article(value.get_ref().type_str()));
    file.wrong(&value.span(), message, format!("give `{key}` {wanted}"));
}

fn article(noun: &str) -> String {
    let vowel = noun.starts_with(['a', 'e', 'i', 'o', 'u']);
    format!("{} {noun}", if vowel { "an" } else { "a" })
}

fn string(file: &mut File<'_>, value: At<'_, '_>, key: &str) -> Option<String> {
    let text = value.get_ref().as_str().filter(|text| !text.trim().is_empty() && text.len() <= 1024);
    if text.is_none() {
        kind_error(file, value, key, "a text that is not empty");
    }
    text.map(str::to_owned)
}

fn boolean(file: &mut File<'_>, value: At<'_, '_>, key: &str) -> bool {
    value.get_ref().as_bool().unwrap_or_else(|| {
        kind_error(file, value, key, "`true` or `false`");
        false
    })
}

fn integer(file: &mut File<'_>, value: At<'_, '_>, key: &str) -> Option<u64> {
    let number = value.get_ref().as_integer().and_then(|number| number.as_str().parse().ok());
    if number.is_none() {
        kind_error(file, value, key, "a whole number, not negative");
    }
    number
}

fn choice<T: Copy>(file: &mut File<'_>, value: At<'_, '_>, key: &str, among: &[(&str, T)]) -> Option<T> {
    let text = value.get_ref().as_str();
    let found = among.iter().find(|(name, _)| text == Some(name)).map(|(_, choice)| *choice);
    if found.is_none() {
        let names: Vec<String> = among.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        let said = text.map_or_else(|| article(value.get_ref().type_str()), |text| format!("`{text}`"));
        file.wrong(&value.span(), format!("`{key}` cannot be {said}"), format!("use {}", names.join(" or ")));
    }
    found
}

fn names(file: &mut File<'_>, value: At<'_, '_>, key: &str) -> Vec<String> {
    let Some(array) = value.get_ref().as_array() else {
        kind_error(file, value, key, "a list of names, for example [\"leads\"]");
        return Vec::new();
    };
    let mut found = Vec::new();
    for item in array.iter() {
        match item.get_ref().as_str() {
            Some(name) if well_formed(name) => found.push(name.to_owned()),
            Some(name) => {
                let hint = "use 1 to 63 of `a-z 0-9 - _ .`, a letter or digit first";
                file.wrong(&item.span(), format!("`{name}` in `{key}` cannot be a name"), hint);
            }
            None => kind_error(file, item, key, "a list of names"),
        }
    }
    found
}

fn strings(file: &mut File<'_>, value: At<'_, '_>, key: &str) -> BTreeMap<String, String> {
    let Some(table) = value.get_ref().as_table() else {
        kind_error(file, value, key, "a table of texts, for example { env = \"prod\" }");
        return BTreeMap::new();
    };
    let mut found = BTreeMap::new();
    for (name, value) in table {
        if let Some(text) = string(file, value, name.get_ref()) {
            found.insert(name.get_ref().to_string(), text);
        }
    }
    found
}

fn classes(file: &mut File<'_>, value: At<'_, '_>) -> ClassSet {
    let all: Vec<&str> = Class::ALL.iter().map(|class| class.name()).collect();
    let found = known(file, value, "allow", "class", &all, Class::from_name);
    // Transaction control and harmless settings are part of any grant.
    let set: ClassSet = found.into_iter().collect();
    if set.is_empty() { set } else { set.with(Class::Session) }
}

fn risks(file: &mut File<'_>, value: At<'_, '_>) -> RiskSet {
    let all: Vec<&str> = Risk::ALL.iter().map(|risk| risk.name()).collect();
    known(file, value, "hold", "risk", &all, Risk::from_name).into_iter().collect()
}

fn known<T>(
    file: &mut File<'_>,
    value: At<'_, '_>,
    key: &str,
    what: &str,
    all: &[&str],
    from_name: impl Fn(&str) -> Option<T>,
) -> Vec<T> {
    let Some(array) = value.get_ref().as_array() else {
        kind_error(file, value, key, &format!("a list of {what} names"));
        return Vec::new();
    };
    let mut found = Vec::new();
    for item in array.iter() {
        let name = item.get_ref().as_str().unwrap_or_default();
        if let Some(one) = from_name(name) {
            found.push(one);
            continue;
        }
        let hint = match near(name, all.iter().copied()) {
            Some(close) => format!("did you mean `{close}`?"),
            None => format!("there are {}", all.join(", ")),
        };
        file.wrong(&item.span(), format!("there is no {what} `{name}`"), hint);
    }
    found
}

/// A span such as `90s`, `30m`, `8h`, `2d`.
fn duration(file: &mut File<'_>, value: At<'_, '_>, key: &str) -> Option<u64> {
    let text = value.get_ref().as_str().unwrap_or_default().trim();
    let seconds = parse_duration(text).filter(|s| (1..=DURATION_MAX_S).contains(s));
    if seconds.is_none() {
        let message = format!("`{key}` is not a span between 1 second and 30 days");
        file.wrong(&value.span(), message, "write for example \"30m\", \"8h\" or \"1h30m\"");
    }
    seconds
}

/// Seconds of a span such as `90s`, `30m`, `1h30m`, `2d`; `None` when it is not one.
#[must_use]
pub fn parse_duration(text: &str) -> Option<u64> {
    let (mut total, mut number, mut any) = (0_u64, None::<u64>, false);
    for c in text.chars() {
        if let Some(digit) = c.to_digit(10) {
            number = Some(number.unwrap_or(0).checked_mul(10)?.checked_add(u64::from(digit))?);
            continue;
        }
        let unit = match c {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            ' ' if number.is_none() => continue,
            _ => return None,
        };
        total = total.checked_add(number.take()?.checked_mul(unit)?)?;
        any = true;
    }
    (any && number.is_none()).then_some(total)
}

/// The name most like `word`, when one is like it.
pub(super) fn near<'n>(word: &str, among: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let scored = among.map(|name| (distance(word, name), name)).min();
    scored.filter(|(d, name)| *d <= name.len() / 3 + 1 && *d < name.len()).map(|(_, name)| name)
}

fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().take(64).enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (cb, above) in b.iter().zip(row.iter().skip(1)) {
            left = (diagonal + usize::from(ca != *cb)).min(left + 1).min(above + 1);
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}
