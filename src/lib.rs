//! Ordinary functions that survive crashes.
