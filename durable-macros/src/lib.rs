//! The attribute macros of `durable`.
