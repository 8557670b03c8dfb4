//! Locks and atomics of the code with concurrency models, which compile it a second time with shuttle's.

pub(crate) use std::sync::atomic;

pub(crate) use parking_lot::Mutex;
