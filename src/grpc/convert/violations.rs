//! The violations of a request.

use crate::error::{Error, FieldViolation};

/// Limit of listed violations: details of an error must stay below 4 KiB.
const MAX_VIOLATIONS: usize = 16;

/// The violations found so far.
#[derive(Debug, Default)]
pub(in crate::grpc) struct Violations(Vec<FieldViolation>);

impl Violations {
    pub(in crate::grpc) fn add(
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

    /// Adds the violations of an error that is one input's.
    pub(super) fn add_error(&mut self, error: &Error) {
        if let Error::InvalidRequest(violations) = error {
            let room = MAX_VIOLATIONS.saturating_sub(self.0.len());
            self.0.extend(violations.iter().take(room).cloned());
        }
    }

    /// Returns the value of an enum, and its default for a number that `proto/` does not have.
    pub(in crate::grpc) fn read_enum<E: TryFrom<i32> + Default>(
        &mut self,
        field: &str,
        number: i32,
        name: fn(&E) -> &'static str,
    ) -> E {
        E::try_from(number).unwrap_or_else(|_| {
            // The values have the numbers from 0 without gaps.
            let values = (0..).map_while(|number| E::try_from(number).ok());
            let names: Vec<_> = values.map(|value| name(&value)).collect();
            let description = format!("must be one of {}", names.join(", "));
            self.add(field, "UNKNOWN_ENUM_VALUE", description);
            E::default()
        })
    }

    pub(in crate::grpc) fn into_result(self) -> Result<(), Error> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::InvalidRequest(self.0.into())) }
    }
}
