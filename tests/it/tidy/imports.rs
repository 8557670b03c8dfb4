//! Imports go downward only, and each library is used in its rooms only.

use super::{Source, assert_none, paths::named_in, program};

/// The rooms from the top down, each with those it uses beside the foundation. A room uses only rooms
/// below it. `ARCHITECTURE.md` has the same table.
const ROOMS: &[(&str, &[&str])] = &[
    ("main", &["cli"]),
    ("lib", &[]),
    ("cli", &["demo", "app", "config", "transport", "grpc", "simulator"]),
    ("demo", &["app", "config", "transport", "grpc", "simulator"]),
    ("app", &["config", "admin", "transport", "grpc", "pipeline", "cache", "dispatch", "upstream"]),
    // It composes the sections that the rooms define.
    ("config", &["admin", "transport", "grpc", "pipeline", "cache", "dispatch", "upstream"]),
    ("admin", &["transport", "grpc"]),
    ("transport", &[]),
    ("grpc", &["pipeline"]),
    ("pipeline", &["cache", "dispatch"]),
    ("cache", &[]),
    // The door: rooms below it know no caller.
    ("dispatch", &["upstream"]),
    ("upstream", &[]),
    ("simulator", &[]),
];

/// The rooms that every room may use, from the top down: each uses only those below it.
const FOUNDATION: &[&str] = &[
    "reload",
    "tokens",
    "telemetry",
    "caller",
    "error",
    "item",
    "model",
    "peer",
    "check",
    "units",
    "secret",
    "file",
    "sync",
];

/// The part of the foundation that the simulator uses: it must not repeat errors of the gateway's JSON.
const SIMULATOR: &[&str] = &["item", "model"];

/// Returns whether one room may use another.
fn may_use(room: &str, used: &str) -> bool {
    if room == "simulator" {
        return SIMULATOR.contains(&used);
    }
    if let Some(place) = FOUNDATION.iter().position(|name| *name == room) {
        return FOUNDATION[place + 1..].contains(&used);
    }
    let above = ROOMS.iter().find(|(name, _)| *name == room);
    FOUNDATION.contains(&used) || above.is_some_and(|(_, allowed)| allowed.contains(&used))
}

fn is_room(name: &str) -> bool {
    FOUNDATION.contains(&name) || ROOMS.iter().any(|(room, _)| *room == name)
}

/// Paths that only some rooms may name, by how they begin.
const RESERVED: &[(&str, &[&str])] = &[
    // `telemetry` speaks OTLP: gRPC by tonic, HTTP by reqwest.
    ("tonic", &["grpc", "transport", "admin", "app", "cli", "demo", "telemetry"]),
    ("tonic_health", &["grpc", "admin", "cli"]),
    ("tonic_prost", &["grpc"]),
    ("tonic_reflection", &["grpc", "admin", "app"]),
    ("tonic_types", &["grpc"]),
    ("prost", &["grpc"]),
    ("prost_types", &["grpc"]),
    // `upstream` reads the causes of failed requests.
    ("hyper", &["transport", "upstream", "simulator"]),
    ("hyper_util", &["transport", "simulator"]),
    ("h2", &["transport"]),
    ("rustix", &["transport", "telemetry"]),
    ("reqwest", &["upstream", "telemetry"]),
    ("rustls", &["upstream"]),
    ("tokio_rustls", &["transport"]),
    ("x509_parser", &["transport"]),
    // `grpc/auth` verifies signed tokens, by its own clock.
    ("jsonwebtoken", &["grpc"]),
    ("maud", &["admin"]),
    ("moka", &["cache"]),
    ("tokenizers", &["tokens"]),
    ("imagesize", &["item"]),
    ("gif", &["item"]),
    ("mp4_atom", &["item"]),
    ("opentelemetry", &["telemetry"]),
    ("opentelemetry_sdk", &["telemetry"]),
    ("opentelemetry_http", &["telemetry"]),
    ("opentelemetry_otlp", &["telemetry"]),
    ("opentelemetry_stdout", &["telemetry"]),
    ("prometheus", &["telemetry"]),
    ("tracing_subscriber", &["telemetry"]),
    ("clap", &["main", "cli"]),
    ("mimalloc", &["main"]),
    ("anyhow", &["app", "cli", "demo"]),
    // The OpenTelemetry SDK and its exporters read `OTEL_` variables by themselves, as reqwest reads HTTPS_PROXY.
    ("std::env", &["main"]),
    // Time is tokio's, so that a test's clock reaches it.
    ("std::time::Instant", &[]),
    // But a token's own times are on the wall's clock, which `grpc/auth/clock` reads, and so are those of exported
    // spans, which `telemetry/trace/anchor` reads.
    ("std::time::SystemTime", &["grpc", "telemetry"]),
];

impl Source {
    /// Returns the room the file belongs to.
    pub(super) fn room(&self) -> &str {
        let inside = self.path.strip_prefix("src/").expect("a file below src/");
        inside.split('/').next().unwrap_or(inside).trim_end_matches(".rs")
    }

    /// Returns how many modules deep the file is: 1 for `src/cache.rs`.
    fn depth(&self) -> usize {
        self.path.split('/').count() - 1
    }

    /// Returns the rooms that the file names, with how it names them.
    fn uses(&self) -> Vec<(String, String)> {
        let mut uses = Vec::new();
        for path in named_in(&self.text) {
            let supers = path.iter().take_while(|segment| *segment == "super").count();
            let room = match path[0].as_str() {
                "crate" | "voyage_gateway" => &path[1],
                "super" if supers >= self.depth() && path.len() > supers => &path[supers],
                _ => continue,
            };
            // `crate::REVISION` and the like belong to no room.
            if is_room(room) && room != self.room() {
                uses.push((room.clone(), path.join("::")));
            }
        }
        uses
    }
}

#[test]
fn the_rooms_stand_in_order() {
    let place = |room: &str| ROOMS.iter().position(|(name, _)| *name == room);
    let mut wrong = Vec::new();
    for (above, (room, allowed)) in ROOMS.iter().enumerate() {
        for used in *allowed {
            if place(used).is_none_or(|below| below <= above) {
                wrong.push(format!("{room} does not stand above {used}"));
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn imports_go_downward_only() {
    let mut wrong = Vec::new();
    for file in program() {
        let room = file.room();
        if !is_room(room) {
            wrong.push(format!("{}: the table knows no room {room}", file.path));
        }
        let uses = file.uses();
        let forbidden = uses.iter().filter(|(used, _)| !may_use(room, used));
        wrong
            .extend(forbidden.map(|(_, path)| format!("{}: {room} may not use {path}", file.path)));
    }
    assert_none(&wrong);
}

#[test]
fn the_table_permits_nothing_that_is_not_used() {
    let files = program();
    let mut idle = Vec::new();
    for (room, allowed) in ROOMS {
        let files = files.iter().filter(|file| file.room() == *room);
        let used: Vec<String> = files.flat_map(Source::uses).map(|(used, _)| used).collect();
        let unused = allowed.iter().filter(|name| !used.iter().any(|used| used == **name));
        idle.extend(unused.map(|name| format!("{room} does not use {name}")));
    }
    assert_none(&idle);
}

#[test]
fn each_library_has_its_rooms() {
    let mut wrong = Vec::new();
    for file in program() {
        for path in named_in(&file.text) {
            let path = path.join("::");
            for (reserved, rooms) in RESERVED {
                let named = path
                    .strip_prefix(reserved)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"));
                if named && !rooms.contains(&file.room()) {
                    wrong.push(format!("{}: {path} is for {}", file.path, rooms.join(", ")));
                }
            }
        }
    }
    assert_none(&wrong);
}

#[test]
fn a_forbidden_import_is_found() {
    let file = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
    let uses = |file: Source| file.uses().into_iter().map(|(room, _)| room).collect::<Vec<_>>();
    let grouped = "use crate::{cache::{self, Cache}, error::Error};";
    assert_eq!(uses(file("src/upstream/wire.rs", grouped)), ["cache", "cache", "error"]);
    assert_eq!(uses(file("src/cache.rs", "fn f() { super::grpc::edge(); }")), ["grpc"]);
    assert_eq!(uses(file("src/cache/key.rs", "use super::{super::grpc, Cache};")), ["grpc"]);
    assert!(uses(file("src/cache/key.rs", "use super::grpc;")).is_empty());
}
