//! Times for people: what the API says, and how far that is from now.

use std::time::Duration;

use domain::Timestamp;
use providers::message::parse_rfc3339;

use super::safe;

/// A time of the API to the second, and how far it is from `now`: `2026-11-22 08:46:21Z (3 min ago)`.
pub(in crate::cli) fn when(text: &str, now: Timestamp) -> String {
    let Some(at) = parse_rfc3339(text) else { return safe(text) };
    let shown = text.get(..19).map_or_else(|| safe(text), |start| format!("{}Z", start.replace('T', " ")));
    let distance = if at > now {
        format!("in {}", duration(at.since(now)))
    } else {
        match now.since(at) {
            little if little < Duration::from_secs(1) => "now".to_owned(),
            past => format!("{} ago", duration(past)),
        }
    };
    format!("{shown} ({distance})")
}

/// A duration in its largest two units.
pub(in crate::cli) fn duration(length: Duration) -> String {
    let seconds = length.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) if seconds == 0 => format!("{} ms", length.as_millis()),
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => two(minutes, "min", seconds % 60, "s"),
        (0, _, _) => two(hours, "h", minutes, "min"),
        _ => two(days, "d", hours, "h"),
    }
}

fn two(large: u64, unit: &str, small: u64, small_unit: &str) -> String {
    if small == 0 { format!("{large} {unit}") } else { format!("{large} {unit} {small} {small_unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_from_now() {
        let now = parse_rfc3339("2026-11-22T08:46:21.550Z").unwrap();
        let check = |text: &str, expected: &str| assert_eq!(when(text, now), expected);
        check("2026-11-22T08:46:21.550Z", "2026-11-22 08:46:21Z (now)");
        check("2026-11-22T08:43:21.550Z", "2026-11-22 08:43:21Z (3 min ago)");
        check("2026-11-22T08:43:20.550Z", "2026-11-22 08:43:20Z (3 min 1 s ago)");
        check("2026-11-24T09:46:21.550Z", "2026-11-24 09:46:21Z (in 2 d 1 h)");
        check("2026-11-22T10:46:21.550Z", "2026-11-22 10:46:21Z (in 2 h)");
        check("2026-11-22T08:46:21.750Z", "2026-11-22 08:46:21Z (in 200 ms)");
        check("soon", "soon");
    }
}
