//! Random numbers that a printed seed gives again: `SplitMix64` ("Fast splittable pseudorandom number
//! generators", Steele, Lea and Flood, OOPSLA 2014).

/// A row of random numbers; the same seed gives the same row.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    /// The row of this seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number of 64 bits.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; of no end, 0.
    pub fn below(&mut self, end: u64) -> u64 {
        // The bias is below 2^-40 for every end that is used here.
        self.roll().checked_rem(end).unwrap_or(0)
    }

    /// Heads or tails.
    pub fn coin(&mut self) -> bool {
        self.roll() & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The first numbers of seed 0, as the authors' reference program prints them.
    #[test]
    fn a_seed_gives_the_same_row_again() {
        let mut dice = Dice::new(0);
        assert_eq!(dice.roll(), 0xe220_a839_7b1d_cdaf);
        assert_eq!(dice.roll(), 0x6e78_9e6a_a1b9_65f4);
        assert!((0..1000).all(|_| dice.below(7) < 7));
    }
}
