//! People: who they are to Daypass, without their name.
//!
//! A person's name, e-mail and everything else that is personal is sealed beside the record; what decisions need is here.

use serde::{Deserialize, Serialize};

use crate::id::PersonId;
use crate::time::Micros;

/// What kind of person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PersonKind {
    /// Employed here.
    Staff,
    /// From elsewhere: has an organisation, a sponsor and a tenure.
    Contractor,
    /// A program.
    Service,
    /// An AI agent.
    Agent,
}

impl PersonKind {
    /// The name used in records and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Staff => "staff",
            Self::Contractor => "contractor",
            Self::Service => "service",
            Self::Agent => "agent",
        }
    }
}

/// How far somebody has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PersonState {
    /// Asked to come, no factor enrolled yet.
    Invited,
    /// Factor enrolled.
    Active,
    /// Has nothing until restored.
    Suspended,
}

/// The time in which somebody may have access at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tenure {
    /// First moment.
    pub starts: Micros,
    /// First moment after it. Bounds every grant, pass, session and login.
    pub ends: Micros,
}

impl Tenure {
    /// Whether `now` is within it.
    #[must_use]
    pub fn contains(self, now: Micros) -> bool {
        self.starts <= now && now < self.ends
    }
}

/// Usual working hours, shown to approvers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hours {
    /// Days of the week, 1 Monday to 7 Sunday.
    pub days: Vec<u8>,
    /// Minute of the day at which work starts, local time.
    pub from_min: u16,
    /// Minute of the day at which work ends, local time; below `from_min` means over midnight.
    pub until_min: u16,
}

impl Hours {
    /// Whether the hours name real days and minutes.
    #[must_use]
    pub fn well_formed(&self) -> bool {
        !self.days.is_empty()
            && self.days.iter().all(|day| (1..=7).contains(day))
            && self.from_min < 24 * 60
            && self.until_min <= 24 * 60
            && self.from_min != self.until_min
    }

    /// Whether `now` is within them in the time zone `zone`.
    #[must_use]
    pub fn contains(&self, now: Micros, zone: &jiff::tz::TimeZone) -> bool {
        let Some(local) = i64::try_from(now.0).ok().and_then(|us| jiff::Timestamp::from_microsecond(us).ok())
        else {
            return false;
        };
        let local = local.to_zoned(zone.clone());
        let minute = u16::try_from(i32::from(local.hour()) * 60 + i32::from(local.minute())).unwrap_or(0);
        let day = u8::try_from(local.weekday().to_monday_one_offset()).unwrap_or(0);
        let before = if day == 1 { 7 } else { day - 1 };
        let on = |day| self.days.contains(&day);
        if self.from_min < self.until_min {
            on(day) && self.from_min <= minute && minute < self.until_min
        } else {
            (on(day) && minute >= self.from_min) || (on(before) && minute < self.until_min)
        }
    }
}

/// What decisions need to know of somebody.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// What kind of person.
    pub kind: PersonKind,
    /// Who leads them.
    pub manager: Option<PersonId>,
    /// The account this is a second account of: both are one person to I1 and I2.
    pub alias_of: Option<PersonId>,
    /// Where a contractor comes from.
    pub organisation: Option<String>,
    /// Who answers for a contractor here.
    pub sponsor: Option<PersonId>,
    /// When access is possible at all; contractors always have one.
    pub tenure: Option<Tenure>,
    /// IANA name, for showing times and judging hours.
    pub time_zone: Option<String>,
    /// Usual working hours.
    pub hours: Option<Hours>,
    /// What could be in conflict with working here, for example a competitor's name. Shown to approvers.
    #[serde(default)]
    pub conflicts: Vec<String>,
}

impl Profile {
    /// A profile of that kind with everything else open.
    #[must_use]
    pub fn new(kind: PersonKind) -> Self {
        Self {
            kind,
            manager: None,
            alias_of: None,
            organisation: None,
            sponsor: None,
            tenure: None,
            time_zone: None,
            hours: None,
            conflicts: Vec::new(),
        }
    }
}
