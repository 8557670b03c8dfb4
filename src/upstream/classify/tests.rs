//! Every status and every recorded message to its row of the error table.

mod message;
mod retry_after;
mod status;

use http::HeaderValue;
use proptest::prelude::*;

use super::*;
use crate::secret::Secret;

const KEY: &str = "pa-canary-of-the-classifier";

/// Classifies a reply to a request of 1,234 bytes.
fn fault(status: u16, headers: &[(&'static str, &str)], body: &[u8]) -> Fault {
    from_reply(&Refusal {
        endpoint: crate::item::Endpoint::Embeddings,
        status: StatusCode::from_u16(status).unwrap(),
        headers: &map(headers),
        body,
        request_bytes: 1234,
        base_url: "https://voyage.example:444/v1",
        scrub: &|text| Secret::new(KEY).scrub(text),
    })
}

fn map(headers: &[(&'static str, &str)]) -> HeaderMap {
    headers
        .iter()
        .map(|(name, value)| {
            (
                header::HeaderName::from_static(name),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            )
        })
        .collect()
}
