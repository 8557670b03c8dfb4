//! What telemetry is about: this process.

use std::process;

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;

use crate::telemetry::OtelEnvironment;

/// What the gateway is called.
const SERVICE: &str = "voyage-gateway";

/// The processor, in the conventions' words.
const ARCH: &str = if cfg!(target_arch = "x86_64") {
    "amd64"
} else if cfg!(target_arch = "aarch64") {
    "arm64"
} else {
    "other"
};

/// The system, in the conventions' words.
const OS: &str = if cfg!(target_os = "macos") { "darwin" } else { "linux" };

/// Says who speaks: the basics, then `OTEL_RESOURCE_ATTRIBUTES`, then `OTEL_SERVICE_NAME`; later ones win.
pub(in crate::telemetry) fn resource(environment: &OtelEnvironment) -> Resource {
    let mut attributes = vec![
        KeyValue::new("service.name", SERVICE),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", instance_id()),
        KeyValue::new("process.pid", i64::from(process::id())),
        KeyValue::new("process.executable.name", SERVICE),
        KeyValue::new("host.arch", ARCH),
        KeyValue::new("os.type", OS),
    ];
    let named = environment.attributes.iter();
    attributes.extend(named.map(|(key, value)| KeyValue::new(key.clone(), value.clone())));
    attributes
        .extend(environment.service_name.clone().map(|name| KeyValue::new("service.name", name)));
    // Empty at first: the usual builder reads the environment.
    Resource::builder_empty().with_attributes(attributes).build()
}

/// A random UUID of version 4.
fn instance_id() -> String {
    let random: u128 = rand::random();
    let id = random & !(0xf << 76) & !(0b11 << 62) | (0x4 << 76) | (0b10 << 62);
    let digits = format!("{id:032x}");
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    parts.join("-")
}
