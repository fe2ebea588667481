//! The bytes of a fuzzer, taken from the front. What is missing is zero, so every input means something.

/// What is left of an input.
#[derive(Debug)]
pub(crate) struct Bytes<'b>(&'b [u8]);

impl<'b> Bytes<'b> {
    pub(crate) fn of(input: &'b [u8]) -> Self {
        Self(input)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next bytes, so many or those that are left.
    pub(crate) fn some(&mut self, count: usize) -> &'b [u8] {
        let (some, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        some
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.some(1).first().copied().unwrap_or(0)
    }

    /// A number of so many bytes, the least significant first.
    pub(crate) fn number(&mut self, bytes: usize) -> usize {
        self.some(bytes).iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte))
    }

    /// A number of eight bytes.
    pub(crate) fn word(&mut self) -> [u8; 8] {
        let mut word = [0; 8];
        let some = self.some(8);
        word[..some.len()].copy_from_slice(some);
        word
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_zero() {
        let mut bytes = Bytes::of(&[1, 2, 3, 4, 5]);
        assert_eq!((bytes.byte(), bytes.number(2), bytes.some(1)), (1, 0x0302, &[4][..]));
        assert_eq!((bytes.number(3), bytes.is_empty()), (5, true));
        assert_eq!((bytes.byte(), bytes.word(), bytes.some(9)), (0, [0; 8], &[][..]));
    }
}
