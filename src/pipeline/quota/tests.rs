//! Quotas on pure instants: never over the rule, and what is said about waiting is the truth.

mod accounts;
mod bucket;
mod charges;
mod sliding;

use proptest::prelude::*;

use super::*;
