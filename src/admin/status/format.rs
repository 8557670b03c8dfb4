//! Numbers as people read them. What is not known is a dash.

/// Stands for what is not known.
pub(super) const UNKNOWN: &str = "–";

/// Writes what is known.
pub(super) fn known<T>(value: Option<T>, write: impl FnOnce(T) -> String) -> String {
    value.map_or_else(|| UNKNOWN.to_owned(), write)
}

/// Writes a whole number with its thousands apart: `12,345`.
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

/// Writes a large number shortly: `12.3 M`.
pub(super) fn short(value: f64) -> String {
    let units = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")];
    match units.into_iter().find(|(size, _)| value >= *size) {
        Some((_, "k")) => format!("{:.1} k", value / 1e3),
        Some((size, unit)) => format!("{:.2} {unit}", value / size),
        None => count(value),
    }
}

/// Writes a rate a second.
pub(super) fn rate(per_second: f64) -> String {
    if per_second >= 100.0 { count(per_second) } else { format!("{per_second:.1}") }
}

/// Writes a share as percents; only all is 100 and only none is 0.
pub(super) fn percent(share: f64) -> String {
    let percent = share * 100.0;
    if percent > 99.9 && share < 1.0 {
        return "99.9 %".to_owned();
    }
    if percent < 0.1 && share > 0.0 {
        return "0.1 %".to_owned();
    }
    if percent >= 100.0 || percent <= 0.0 {
        format!("{percent:.0} %")
    } else {
        format!("{percent:.1} %")
    }
}

/// Writes money, to more places where there is little of it.
pub(super) fn usd(usd: f64) -> String {
    if usd >= 1000.0 {
        format!("${}", count(usd))
    } else if usd >= 1.0 || usd <= 0.0 {
        format!("${usd:.2}")
    } else if usd < 0.0001 {
        "< $0.0001".to_owned()
    } else {
        format!("${usd:.4}")
    }
}

/// Writes bytes.
pub(super) fn bytes(bytes: f64) -> String {
    let units = [(1_073_741_824.0, "GiB"), (1_048_576.0, "MiB"), (1024.0, "KiB")];
    match units.into_iter().find(|(size, _)| bytes >= *size) {
        Some((size, unit)) => format!("{:.1} {unit}", bytes / size),
        None => format!("{bytes:.0} B"),
    }
}

/// Writes how long something took.
pub(super) fn took(seconds: f64) -> String {
    if seconds < 0.001 {
        format!("{:.0} µs", seconds * 1e6)
    } else if seconds < 0.01 {
        format!("{:.1} ms", seconds * 1e3)
    } else if seconds < 1.0 {
        format!("{:.0} ms", seconds * 1e3)
    } else {
        format!("{seconds:.2} s")
    }
}

/// Writes a span in its two largest units: `3 h 12 min`.
pub(super) fn span(seconds: f64) -> String {
    let units = [(86_400.0, "d"), (3600.0, "h"), (60.0, "min"), (1.0, "s")];
    let largest = units.iter().position(|(size, _)| seconds >= *size).unwrap_or(units.len() - 1);
    let (size, unit) = units[largest];
    let whole = (seconds / size).floor();
    let first = format!("{whole:.0} {unit}");
    match units.get(largest + 1) {
        Some((smaller, unit)) => {
            let rest = ((seconds - whole * size) / smaller).floor();
            if rest > 0.0 { format!("{first} {rest:.0} {unit}") } else { first }
        }
        None => first,
    }
}
