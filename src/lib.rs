//! skeleton
pub mod embedding;
pub mod model;
pub mod secret;
