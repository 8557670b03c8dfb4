//! Targets: what a line of the log comes from, and what a filter can name.

/// The program, as its own lines name it.
const PROGRAM: &str = "voyage_gateway";

/// Its rooms: the second part of its lines' targets.
const ROOMS: &[&str] = &[
    "app",
    "cache",
    "caller",
    "check",
    "cli",
    "config",
    "demo",
    "dispatch",
    "embedding",
    "error",
    "grpc",
    "model",
    "pipeline",
    "reload",
    "secret",
    "simulator",
    "telemetry",
    "tokens",
    "transport",
    "units",
    "upstream",
];

/// The libraries in the program that write lines of their own, at debug and trace level nearly all.
const LIBRARIES: &[&str] = &[
    "h2",
    "hyper",
    "hyper_util",
    "opentelemetry",
    "opentelemetry_otlp",
    "opentelemetry_prometheus",
    "opentelemetry_sdk",
    "tokio_util",
    "tonic",
    "tower",
];

/// Returns the targets of a filter that no line has. Below a room everything is taken: files move.
pub(super) fn strangers(filter: &str) -> Vec<&str> {
    let targets = filter.split(',').filter_map(|directive| {
        let (target, _) = directive.rsplit_once('=')?;
        let target = target.split('[').next()?.trim();
        (!target.is_empty()).then_some(target)
    });
    targets.filter(|target| !is_known(target)).collect()
}

fn is_known(target: &str) -> bool {
    let mut segments = target.split("::");
    let first = segments.next().unwrap_or_default();
    if first != PROGRAM {
        return LIBRARIES.contains(&first);
    }
    segments.next().is_none_or(|room| ROOMS.contains(&room))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_found() {
        for (filter, wrong) in [
            ("info", &[] as &[&str]),
            ("off,voyage_gateway=trace", &[]),
            ("info,voyage_gateway::dispatch=debug, h2::codec=trace", &[]),
            ("info,voyage_gateway::dispatch::schedule=debug,[span]=debug", &[]),
            ("info,voyage_gateway::dispach=debug", &["voyage_gateway::dispach"]),
            ("voyage-gateway=debug,tonci=warn,info", &["voyage-gateway", "tonci"]),
        ] {
            assert_eq!(strangers(filter), wrong, "{filter}");
        }
    }

    #[test]
    fn the_rooms_are_those_of_the_program() {
        let program = include_str!("../../lib.rs");
        let rooms = program.lines().filter_map(|line| line.strip_prefix("pub mod "));
        let mut rooms: Vec<_> = rooms.map(|room| room.trim_end_matches(';')).collect();
        rooms.sort_unstable();
        assert_eq!(rooms, ROOMS);
    }
}
