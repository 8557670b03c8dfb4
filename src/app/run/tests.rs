//! How the end of a gateway's tasks is noticed.
