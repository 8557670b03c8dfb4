//! Everything that is wrong with a request, at once.

use crate::error::{Error, FieldViolation};

/// Details of an error must stay below 4 KiB: a request with more faults than this lists the first.
const MAX_VIOLATIONS: usize = 16;

/// Violations as they are found.
#[derive(Debug, Default)]
pub(super) struct Violations(Vec<FieldViolation>);

impl Violations {
    pub(super) fn add(
        &mut self,
        field: impl Into<String>,
        reason: &'static str,
        description: impl Into<String>,
    ) {
        if self.0.len() < MAX_VIOLATIONS {
            self.0.push(FieldViolation {
                field: field.into(),
                reason,
                description: description.into(),
            });
        }
    }

    /// Notes an enum number that `proto/` does not have.
    pub(super) fn unknown_enum(&mut self, field: &str, allowed: &str) {
        self.add(field, "UNKNOWN_ENUM_VALUE", format!("expected {allowed}"));
    }

    pub(super) fn into_result(self) -> Result<(), Error> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::InvalidRequest(self.0.into())) }
    }
}
