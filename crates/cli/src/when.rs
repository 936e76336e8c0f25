//! Moments and spans as people write and read them: always with a zone.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// A span in whole seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) u64);

/// A moment in microseconds since the epoch, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment(pub(crate) u64);

/// Now, in microseconds since the epoch. The one place of this crate that reads the clock.
#[expect(clippy::disallowed_methods, reason = "the clock of the rim")]
pub(crate) fn now() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// Reads `30m`, `1h30m`, `90s`, `2 hours`.
pub(crate) fn parse_span(text: &str) -> Result<Span, String> {
    let span: SignedDuration =
        text.trim().parse().map_err(|_| "write it like `30m`, `1h30m` or `2 hours`".to_owned())?;
    match u64::try_from(span.as_secs()) {
        Ok(seconds) if seconds > 0 => Ok(Span(seconds)),
        _ => Err("it has to be at least one second".to_owned()),
    }
}

/// Reads a moment in this machine's zone: `2026-03-01T09:00`, `2026-03-01`, `09:00` (today), `2h ago`, or with its own zone.
pub(crate) fn parse_moment(text: &str) -> Result<Moment, String> {
    moment_at(text.trim(), now(), &TimeZone::system())
}

fn moment_at(text: &str, now_us: u64, zone: &TimeZone) -> Result<Moment, String> {
    if text == "now" {
        return Ok(Moment(now_us));
    }
    if let Some(span) = text.strip_suffix("ago") {
        let Span(seconds) = parse_span(span)?;
        return Ok(Moment(now_us.saturating_sub(seconds.saturating_mul(1_000_000))));
    }
    let stamp = text
        .parse::<Timestamp>()
        .ok()
        .or_else(|| in_zone(text.parse::<DateTime>().ok()?, zone))
        .or_else(|| in_zone(text.parse::<Date>().ok()?.at(0, 0, 0, 0), zone))
        .or_else(|| {
            let today = timestamp(now_us).to_zoned(zone.clone()).date();
            in_zone(today.to_datetime(text.parse::<Time>().ok()?), zone)
        })
        .ok_or_else(|| "write it like `2026-03-01T09:00`, `09:00` or `2h ago`".to_owned())?;
    u64::try_from(stamp.as_microsecond()).map(Moment).map_err(|_| "it has to be after 1970".to_owned())
}

fn in_zone(moment: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    moment.to_zoned(zone.clone()).ok().map(|zoned| zoned.timestamp())
}

fn timestamp(at_us: u64) -> Timestamp {
    i64::try_from(at_us).ok().and_then(|at| Timestamp::from_microsecond(at).ok()).unwrap_or(Timestamp::MAX)
}

/// Writes a moment with its zone: `2026-03-01 09:00:00 CET`.
pub(crate) fn moment(at_us: u64, zone: &TimeZone) -> String {
    timestamp(at_us).to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S %Z").to_string()
}

/// Writes the time of day of a moment with its zone: `09:00:00 CET`, with the date when it is another day.
pub(crate) fn clock(at_us: u64, now_us: u64, zone: &TimeZone) -> String {
    let (at, today) = (timestamp(at_us).to_zoned(zone.clone()), timestamp(now_us).to_zoned(zone.clone()));
    if at.date() == today.date() { at.strftime("%H:%M:%S %Z").to_string() } else { moment(at_us, zone) }
}

/// Writes a span: `45s`, `29m 5s`, `1h 30m`, `2d 3h`.
pub(crate) fn span(seconds: u64) -> String {
    let (days, hours, minutes, rest) =
        (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    let parts: Vec<String> = [(days, 'd'), (hours, 'h'), (minutes, 'm'), (rest, 's')]
        .into_iter()
        .skip_while(|(count, _)| *count == 0)
        .take(2)
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect();
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}

/// Writes a microsecond count as a duration: `820 µs`, `3.1 ms`, `12.0 s`.
pub(crate) fn duration_us(micros: u64) -> String {
    match micros {
        0..1_000 => format!("{micros} µs"),
        1_000..1_000_000 => format!("{}.{} ms", micros / 1_000, micros % 1_000 / 100),
        _ => format!("{}.{} s", micros / 1_000_000, micros % 1_000_000 / 100_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: u64 = 1_772_366_400_000_000; // 2026-03-01T12:00:00Z

    fn lisbon() -> TimeZone {
        TimeZone::fixed(jiff::tz::offset(1))
    }

    #[test]
    fn moments_are_read_in_the_zone_of_the_reader() {
        let read = |text: &str| moment_at(text, NOON, &lisbon()).map(|m| moment(m.0, &TimeZone::UTC));
        assert_eq!(read("now").unwrap(), "2026-03-01 12:00:00 UTC");
        assert_eq!(read("2026-02-01T09:00").unwrap(), "2026-02-01 08:00:00 UTC");
        assert_eq!(read("2026-02-01").unwrap(), "2026-01-31 23:00:00 UTC");
        assert_eq!(read("00:03").unwrap(), "2026-02-28 23:03:00 UTC");
        assert_eq!(read("2h ago").unwrap(), "2026-03-01 10:00:00 UTC");
        assert_eq!(read("2026-02-01T09:00:00Z").unwrap(), "2026-02-01 09:00:00 UTC");
        assert!(read("yesterday-ish").unwrap_err().contains("2h ago"));
    }

    #[test]
    fn spans_read_and_write() {
        assert_eq!(parse_span("1h30m").unwrap(), Span(5_400));
        assert_eq!(parse_span("45s").unwrap(), Span(45));
        assert!(parse_span("0s").is_err());
        assert!(parse_span("soon").is_err());
        assert_eq!(
            [span(45), span(1_745), span(5_400), span(183_600), span(0)],
            ["45s", "29m 5s", "1h 30m", "2d 3h", "0s"]
        );
        assert_eq!(
            [duration_us(820), duration_us(3_140), duration_us(12_000_000)],
            ["820 µs", "3.1 ms", "12.0 s"]
        );
    }

    #[test]
    fn clock_shows_the_date_only_when_needed() {
        assert_eq!(clock(NOON, NOON, &TimeZone::UTC), "12:00:00 UTC");
        assert_eq!(clock(NOON, NOON + 86_400_000_000, &TimeZone::UTC), "2026-03-01 12:00:00 UTC");
    }
}
