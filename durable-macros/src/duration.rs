//! Durations as options spell them: a whole number and a unit, `"100ms"`, `"30s"`, `"5m"`, `"1h"`.
//! Everything is in milliseconds from here on, because the store and the clock count in them.
//! Knows no option by name but those whose rules it holds.

use syn::LitStr;

/// The longest duration an option can have: 365 days, in milliseconds.
pub(crate) const DURATION_MS_MAX: u64 = 365 * 24 * 60 * 60 * 1000;

/// The pauses between attempts: the first and the longest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Backoff {
    /// The pause before the first retry.
    pub(crate) min_delay_ms: u64,
    /// The pause that doubling stops at.
    pub(crate) max_delay_ms: u64,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { min_delay_ms: 100, max_delay_ms: 30_000 }
    }
}

/// Reads `"100ms..30s"`, or `"100ms"` for pauses that do not grow.
pub(crate) fn backoff(text: &LitStr) -> syn::Result<Backoff> {
    let value = text.value();
    let (min, max) = value.split_once("..").unwrap_or((&value, &value));
    let read = |part: &str| {
        duration_ms(part).ok_or_else(|| refuse(text, &expected(part, "a range `\"100ms..30s\"`")))
    };
    let (min_delay_ms, max_delay_ms) = (read(min)?, read(max)?);
    if min_delay_ms > max_delay_ms {
        return Err(refuse(
            text,
            &format!("a backoff goes from the shorter pause to the longer one; write `\"{max}..{min}\"`"),
        ));
    }
    Ok(Backoff { min_delay_ms, max_delay_ms })
}

/// Reads `"30s"`.
pub(crate) fn timeout_ms(text: &LitStr) -> syn::Result<u64> {
    let value = text.value();
    match duration_ms(&value) {
        Some(0) => Err(refuse(text, "a step with a timeout of zero would never run; leave the option out")),
        Some(ms) => Ok(ms),
        None => Err(refuse(text, &expected(&value, "`\"90s\"`"))),
    }
}

/// The milliseconds of `text`, or `None` if it is no duration of at most [`DURATION_MS_MAX`].
fn duration_ms(text: &str) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1000,
        "m" => 60 * 1000,
        "h" => 60 * 60 * 1000,
        _ => return None,
    };
    let ms = number.parse::<u64>().ok()?.checked_mul(unit_ms)?;
    (ms <= DURATION_MS_MAX).then_some(ms)
}

fn expected(found: &str, example: &str) -> String {
    format!(
        "`{found}` is not a duration: write a whole number with `ms`, `s`, `m` or `h`, at most `8760h`, as in {example}"
    )
}

fn refuse(text: &LitStr, message: &str) -> syn::Error {
    syn::Error::new(text.span(), message)
}
