//! What an author sees: refusals by their words, expansions by their text.

mod expansions;
mod refusals;
