//! Numbers for people.

pub(super) const UNKNOWN: &str = "–";

/// Writes a value that may be unknown.
pub(super) fn known<T>(value: Option<T>, write: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| UNKNOWN.to_owned(), write)
}

/// Writes a whole number: `12,345`.
pub(super) fn count(value: f64) -> String {
    let digits = format!("{:.0}", value.max(0.0));
    let mut written = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            written.push(',');
        }
        written.push(digit);
    }
    written
}

/// Writes a large number with a unit: `12.3 k`.
pub(super) fn short(value: f64) -> String {
    match value {
        1e12.. => format!("{:.2} T", value / 1e12),
        1e9.. => format!("{:.2} G", value / 1e9),
        1e6.. => format!("{:.2} M", value / 1e6),
        1e4.. => format!("{:.1} k", value / 1e3),
        _ => count(value),
    }
}

pub(super) fn rate(per_second: f64) -> String {
    if per_second >= 100.0 { count(per_second) } else { format!("{per_second:.1}") }
}

/// Writes a share in percent; only 1 is `100 %` and only 0 is `0 %`.
pub(super) fn percent(share: f64) -> String {
    match share {
        1.0.. => "100 %".to_owned(),
        0.999.. => "99.9 %".to_owned(),
        0.001.. => format!("{:.1} %", share * 100.0),
        _ if share > 0.0 => "0.1 %".to_owned(),
        _ => "0 %".to_owned(),
    }
}

/// Writes US dollars, with more digits for small amounts.
pub(super) fn usd(usd: f64) -> String {
    match usd {
        1000.0.. => format!("${}", count(usd)),
        1.0.. => format!("${usd:.2}"),
        0.0001.. => format!("${usd:.4}"),
        _ if usd > 0.0 => "< $0.0001".to_owned(),
        _ => "$0.00".to_owned(),
    }
}

pub(super) fn bytes(bytes: f64) -> String {
    match bytes {
        1_073_741_824.0.. => format!("{:.1} GiB", bytes / 1_073_741_824.0),
        1_048_576.0.. => format!("{:.1} MiB", bytes / 1_048_576.0),
        1024.0.. => format!("{:.1} KiB", bytes / 1024.0),
        _ => format!("{bytes:.0} B"),
    }
}

/// Writes a latency.
pub(super) fn took(seconds: f64) -> String {
    match seconds {
        1.0.. => format!("{seconds:.2} s"),
        0.01.. => format!("{:.0} ms", seconds * 1e3),
        0.001.. => format!("{:.1} ms", seconds * 1e3),
        _ => format!("{:.0} µs", seconds * 1e6),
    }
}

/// Writes a long duration in its two largest units: `3 h 12 min`.
pub(super) fn span(seconds: f64) -> String {
    let two = |large: f64, unit: &str, small: f64, rest: &str| {
        let (whole, more) = ((seconds / large).floor(), ((seconds % large) / small).floor());
        if more > 0.0 {
            format!("{whole:.0} {unit} {more:.0} {rest}")
        } else {
            format!("{whole:.0} {unit}")
        }
    };
    match seconds {
        86_400.0.. => two(86_400.0, "d", 3600.0, "h"),
        3600.0.. => two(3600.0, "h", 60.0, "min"),
        60.0.. => two(60.0, "min", 1.0, "s"),
        _ => format!("{:.0} s", seconds.floor()),
    }
}
