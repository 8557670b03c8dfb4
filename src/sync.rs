//! Locks and atomics of the code that has concurrency models; the models compile it with shuttle's instead.

pub(crate) use std::sync::atomic;

pub(crate) use parking_lot::Mutex;
