//! The resource that telemetry describes: this process.

use std::process;

use opentelemetry::KeyValue;
use opentelemetry_sdk::Resource;

/// The name of the service.
const SERVICE: &str = "voyage-gateway";

/// The CPU architecture, as the semantic conventions name it.
const ARCH: &str = if cfg!(target_arch = "x86_64") {
    "amd64"
} else if cfg!(target_arch = "aarch64") {
    "arm64"
} else {
    "other"
};

/// The operating system, as the semantic conventions name it.
const OS: &str = if cfg!(target_os = "macos") { "darwin" } else { "linux" };

/// Returns the resource: the gateway's own attributes, then `attributes`, which win over them.
pub(super) fn resource(attributes: impl IntoIterator<Item = KeyValue>) -> Resource {
    let own = [
        KeyValue::new("service.name", SERVICE),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", instance_id()),
        KeyValue::new("process.pid", i64::from(process::id())),
        KeyValue::new("process.executable.name", SERVICE),
        KeyValue::new("host.arch", ARCH),
        KeyValue::new("os.type", OS),
    ];
    // The SDK's other builder reads the environment, and does not decode its values.
    Resource::builder_empty().with_attributes(own).with_attributes(attributes).build()
}

/// A random UUID of version 4.
fn instance_id() -> String {
    let random: u128 = rand::random();
    let id = random & !(0xf << 76) & !(0b11 << 62) | (0x4 << 76) | (0b10 << 62);
    let digits = format!("{id:032x}");
    let parts = [&digits[..8], &digits[8..12], &digits[12..16], &digits[16..20], &digits[20..]];
    parts.join("-")
}
