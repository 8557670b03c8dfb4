//! The name in a client certificate.

use std::sync::Arc;

use x509_parser::{
    certificate::X509Certificate, extensions::GeneralName, prelude::FromDer as _, x509::X509Name,
};

use crate::peer::PeerIdentity;

/// Maximum size of a name in bytes.
const MAX_NAME_BYTES: usize = 256;

/// The prefix of a SPIFFE ID.
const SPIFFE: &str = "spiffe://";

/// Returns the name in a verified certificate: its SPIFFE ID, otherwise its first DNS name, otherwise its common name.
///
/// `None` if it has no name or an untrusted one: several URIs beside a SPIFFE ID (X.509-SVID, section 2), a DNS or
/// common name with the prefix of a SPIFFE ID, a malformed name, one over 256 bytes, or one with control characters.
pub(super) fn of(certificate: &[u8]) -> Option<PeerIdentity> {
    let (rest, certificate) = X509Certificate::from_der(certificate).ok()?;
    if !rest.is_empty() {
        return None;
    }
    let alternatives = certificate.subject_alternative_name().ok()?;
    let names = alternatives.map_or([].as_slice(), |extension| &extension.value.general_names);
    if names.iter().any(|name| matches!(name, GeneralName::Invalid(..))) {
        return None;
    }
    let uris: Vec<&str> = names.iter().filter_map(uri).collect();
    let name = if uris.iter().any(|uri| claims_spiffe(uri)) {
        let &[id] = uris.as_slice() else { return None };
        is_spiffe_id(id).then_some(id)
    } else {
        let dns = names.iter().find_map(dns);
        dns.or_else(|| common_name(certificate.subject())).filter(|name| !claims_spiffe(name))
    }?;
    let is_name =
        (1..=MAX_NAME_BYTES).contains(&name.len()) && !name.contains(|c: char| c.is_control());
    is_name.then(|| PeerIdentity(Arc::from(name)))
}

fn uri<'a>(name: &GeneralName<'a>) -> Option<&'a str> {
    if let GeneralName::URI(uri) = name { Some(uri) } else { None }
}

fn dns<'a>(name: &GeneralName<'a>) -> Option<&'a str> {
    if let GeneralName::DNSName(name) = name { Some(name) } else { None }
}

/// Returns the common name, if there is exactly one: of several it is unknown which was verified.
fn common_name<'a>(subject: &'a X509Name<'_>) -> Option<&'a str> {
    let mut names = subject.iter_common_name();
    let name = names.next()?.as_str().ok()?;
    names.next().is_none().then_some(name)
}

/// Returns whether a name has the scheme of a SPIFFE ID, well-formed or not.
fn claims_spiffe(name: &str) -> bool {
    name.get(..7).is_some_and(|scheme| scheme.eq_ignore_ascii_case("spiffe:"))
}

/// Returns whether a URI is a workload's SPIFFE ID by section 2 of the SPIFFE ID standard: lower case before the path,
/// and a path without empty or relative segments. Two spellings of a name would be two callers.
fn is_spiffe_id(uri: &str) -> bool {
    let Some((domain, path)) = uri.strip_prefix(SPIFFE).and_then(|rest| rest.split_once('/'))
    else {
        return false;
    };
    let is_mark = |byte: u8| matches!(byte, b'-' | b'.' | b'_');
    let is_domain = !domain.is_empty()
        && domain.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || is_mark(b));
    is_domain
        && path.split('/').all(|part| {
            !matches!(part, "" | "." | "..")
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || is_mark(byte))
        })
}
