//! Quotas by instants: no rule is exceeded, and reported waits are correct.

mod accounts;
mod bucket;
mod charges;
mod sliding;

use proptest::prelude::*;

use super::*;
