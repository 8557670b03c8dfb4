//! URLs that requests may go to.

use std::net::IpAddr;

use reqwest::Url;

/// Parses an `http` or `https` URL with a host and without user info or fragment.
pub(super) fn parse(text: &str) -> Option<Url> {
    // The parser drops white space instead of refusing it.
    let is_clean = !text.contains(|c: char| c.is_whitespace() || c.is_control());
    Url::parse(text).ok().filter(|url| {
        is_clean
            && matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.fragment().is_none()
    })
}

/// Returns whether a URL points to this host. Proxies are for the way out of the cluster.
pub(super) fn is_loopback(url: &str) -> bool {
    let Ok(uri) = url.parse::<http::Uri>() else { return false };
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}
