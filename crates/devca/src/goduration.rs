//! Durations as Go reads and writes them (`time.ParseDuration`, `Duration.String`), in whole seconds.

/// `24h0m0s`, `5m0s`, `59s`; negative with a minus sign.
pub(crate) fn format(seconds: i64) -> String {
    let (sign, rest) = if seconds < 0 { ("-", seconds.unsigned_abs()) } else { ("", seconds.unsigned_abs()) };
    let (hours, minutes, left) = (rest / 3600, rest / 60 % 60, rest % 60);
    match (hours, minutes) {
        (0, 0) => format!("{sign}{left}s"),
        (0, _) => format!("{sign}{minutes}m{left}s"),
        _ => format!("{sign}{hours}h{minutes}m{left}s"),
    }
}

/// Reads `24h`, `1h30m`, `-90s`, `0`; fractions of a second are dropped. None for anything that Go refuses, days
/// included.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut seconds = 0.0;
    let mut any = false;
    while !rest.is_empty() {
        let (number, after) = split(rest, |c| c.is_ascii_digit() || c == '.');
        let (unit, after) = split(after, char::is_alphabetic);
        seconds += number.parse::<f64>().ok()? * unit_seconds(unit)?;
        rest = after;
        any = true;
    }
    any.then_some((sign * seconds) as i64)
}

fn split(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !belongs(c)).unwrap_or(text.len()))
}

fn unit_seconds(unit: &str) -> Option<f64> {
    Some(match unit {
        "h" => 3600.0,
        "m" => 60.0,
        "s" => 1.0,
        "ms" => 1e-3,
        "us" | "µs" | "μs" => 1e-6,
        "ns" => 1e-9,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_print_as_in_go() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (300, "5m0s"),
            (299, "4m59s"),
            (3600, "1h0m0s"),
            (90_060, "25h1m0s"),
            (-61, "-1m1s"),
        ] {
            assert_eq!(format(seconds), text);
            assert_eq!(parse(text), Some(seconds), "{text}");
        }
    }

    #[test]
    fn durations_are_read_as_in_go() {
        for (text, seconds) in [
            ("24h", Some(86_400)),
            ("86400s", Some(86_400)),
            ("1.5h", Some(5400)),
            ("1h30m", Some(5400)),
            ("+5s", Some(5)),
            ("1500ms", Some(1)),
            ("0", Some(0)),
            ("30d", None),
            ("12", None),
            ("", None),
            ("h", None),
            ("-", None),
            ("1..5s", None),
            ("5 s", None),
        ] {
            assert_eq!(parse(text), seconds, "{text}");
        }
    }
}
