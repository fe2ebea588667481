//! The fingerprint of a function's code: FNV-1a, 64 bits, over the text of its tokens.
//! White space and comments do not count, everything else does, callees excepted: it says "changed since",
//! and never forbids a resume. Knows no rule.

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::ToTokens as _;

use crate::func::Func;

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// The fingerprint of signature and body; attributes and docs are not code.
pub(crate) fn of(func: &Func) -> u64 {
    let mut tokens = func.sig.to_token_stream();
    func.body.to_tokens(&mut tokens);
    add_tokens(OFFSET, tokens)
}

fn add_tokens(hash: u64, tokens: TokenStream) -> u64 {
    tokens.into_iter().fold(hash, |hash, token| match token {
        TokenTree::Group(group) => {
            let (open, close) = delimiters(group.delimiter());
            add(add_tokens(add(hash, open), group.stream()), close)
        }
        token => add(hash, &token.to_string()),
    })
}

fn delimiters(delimiter: Delimiter) -> (&'static str, &'static str) {
    match delimiter {
        Delimiter::Parenthesis => ("(", ")"),
        Delimiter::Brace => ("{", "}"),
        Delimiter::Bracket => ("[", "]"),
        Delimiter::None => ("", ""),
    }
}

/// Adds `text` and an end mark, so that `a b` and `ab` differ.
fn add(hash: u64, text: &str) -> u64 {
    let bytes = text.bytes().chain(std::iter::once(0));
    bytes.fold(hash, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}
