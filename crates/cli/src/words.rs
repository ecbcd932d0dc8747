//! How times, sizes and values are written, and read.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tutti_control::Value;

/// `350 ms`, `4 s`, `3 min`, `2 h`, `5 days`.
pub(crate) fn span(millis: u64) -> String {
    match millis {
        0..1_000 => format!("{millis} ms"),
        1_000..120_000 => format!("{} s", millis / 1_000),
        120_000..7_200_000 => format!("{} min", millis / 60_000),
        7_200_000..172_800_000 => format!("{} h", millis / 3_600_000),
        _ => format!("{} days", millis / 86_400_000),
    }
}

/// How long ago that was, in milliseconds since 1970: `4 s ago`.
pub(crate) fn since(at: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
    format!("{} ago", span(now.saturating_sub(at)))
}

/// `512 B`, `1.5 KiB`, `20 MiB`.
pub(crate) fn size(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let mut amount = bytes as f64;
    let mut at = 0;
    while amount >= 1024.0 && at + 1 < units.len() {
        amount /= 1024.0;
        at += 1;
    }
    let unit = units.get(at).copied().unwrap_or_default();
    if at == 0 || amount >= 10.0 { format!("{amount:.0} {unit}") } else { format!("{amount:.1} {unit}") }
}

/// A value with its unit: `21.50 °C`, `on`, `3.2 GiB`.
pub(crate) fn value(value: &Value, unit: &str) -> String {
    match (value.as_f64(), unit) {
        (Some(amount), "B" | "B/s") if amount >= 0.0 => {
            let rate = unit.strip_prefix('B').unwrap_or_default();
            format!("{}{rate}", size(amount as u64))
        }
        (_, "") => value.to_string(),
        _ => format!("{value} {unit}"),
    }
}

/// The first ten digits of an id.
pub(crate) fn short(id: &str) -> String {
    id.chars().take(10).collect()
}

/// `3 devices`, `1 device`.
pub(crate) fn count(number: usize, one: &str) -> String {
    count_of(number, one, &format!("{one}s"))
}

/// `3 tries`, `1 try`.
pub(crate) fn count_of(number: usize, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}

/// Reads `500ms`, `10s`, `5m`, `1h`, or a bare number of seconds.
pub(crate) fn parse_span(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_alphabetic());
    let amount: f64 = digits.trim().parse().map_err(|_| wrong_span(text))?;
    let unit = match text.get(digits.len()..).unwrap_or_default() {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(wrong_span(text)),
    };
    Duration::try_from_secs_f64(amount * unit)
        .ok()
        .filter(|span| (Duration::from_millis(1)..=Duration::from_secs(31_536_000)).contains(span))
        .ok_or_else(|| wrong_span(text))
}

fn wrong_span(text: &str) -> String {
    format!("{text:?} is no time; write it as 500ms, 10s, 5m or 1h (up to a year)")
}

/// Reads `1000`, `64k`, `500M`, `2G` (powers of 1024).
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is no size; write it as 1000, 64k, 500M or 2G");
    let digits = text.trim_end_matches(|c: char| c.is_alphabetic());
    let amount: u64 = digits.parse().map_err(|_| wrong())?;
    let shift = match text.get(digits.len()..).unwrap_or_default().to_ascii_lowercase().trim_end_matches("ib") {
        "" | "b" => 0,
        "k" | "kb" => 10,
        "m" | "mb" => 20,
        "g" | "gb" => 30,
        "t" | "tb" => 40,
        _ => return Err(wrong()),
    };
    amount.checked_mul(1 << shift).ok_or_else(wrong)
}

/// Reads `key=value`.
pub(crate) fn parse_property(text: &str) -> Result<(String, Value), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), Value::from_word(value))),
        _ => Err(format!("{text:?} is no property; write it as key=value")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_and_sizes_are_short() {
        let spans = [0, 999, 1_000, 119_999, 120_000, 7_200_000, u64::MAX].map(span);
        assert_eq!(spans, ["0 ms", "999 ms", "1 s", "119 s", "2 min", "2 h", "213503982334 days"]);
        let sizes = [0, 1023, 1024, 1536, 20 << 20, u64::MAX].map(size);
        assert_eq!(sizes, ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "20 MiB", "16 EiB"]);
    }

    #[test]
    fn values_carry_their_unit() {
        assert_eq!(value(&Value::Float(21.5), "°C"), "21.50 °C");
        assert_eq!(value(&Value::Bool(true), ""), "on");
        assert_eq!(value(&Value::Int(1536), "B/s"), "1.5 KiB/s");
        assert_eq!(value(&Value::Int(-3), "B"), "-3 B");
    }

    #[test]
    fn spans_are_read() {
        assert_eq!(parse_span("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(parse_span("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_span("2"), Ok(Duration::from_secs(2)));
        assert_eq!(parse_span("1h"), Ok(Duration::from_secs(3600)));
        for bad in ["", "s", "-1s", "0", "1y", "nan", "inf", "1e30s", "9999h9"] {
            assert!(parse_span(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_are_read() {
        assert_eq!(parse_size("64k"), Ok(65536));
        assert_eq!(parse_size("2GiB"), Ok(2 << 30));
        assert_eq!(parse_size("7"), Ok(7));
        for bad in ["", "k", "-1", "1.5G", "99999999T", "1x"] {
            assert!(parse_size(bad).is_err(), "{bad}");
        }
    }
}
