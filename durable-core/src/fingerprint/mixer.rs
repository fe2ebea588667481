//! The hash itself. Every line here is part of every stored fingerprint and must stay as it is;
//! `fingerprint::tests` pins it. Knows no serde.

/// What a call was. The numbers are part of every stored fingerprint.
#[derive(Clone, Copy)]
#[repr(u8)]
pub(super) enum Kind {
    Bool = 1,
    I8 = 2,
    I16 = 3,
    I32 = 4,
    I64 = 5,
    I128 = 6,
    U8 = 7,
    U16 = 8,
    U32 = 9,
    U64 = 10,
    U128 = 11,
    F32 = 12,
    F64 = 13,
    Char = 14,
    Str = 15,
    Bytes = 16,
    None = 17,
    Some = 18,
    Unit = 19,
    UnitStruct = 20,
    UnitVariant = 21,
    NewtypeStruct = 22,
    NewtypeVariant = 23,
    Seq = 24,
    Tuple = 25,
    TupleStruct = 26,
    TupleVariant = 27,
    Map = 28,
    Struct = 29,
    StructVariant = 30,
    Field = 31,
    Entry = 32,
    Element = 33,
    List = 34,
}

/// The running hash: each word is added to the state, which is then scrambled by the finalizer of
/// `SplitMix64` (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
#[derive(Debug, Clone, Copy)]
pub(super) struct Mixer(pub(super) u64);

impl Mixer {
    pub(super) fn new(kind: Kind) -> Self {
        Self(0).word(kind as u64)
    }

    pub(super) fn word(self, word: u64) -> Self {
        let mut x = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ word;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Self(x ^ (x >> 31))
    }

    /// Takes eight bytes at a time, the first one lowest; the length keeps a short tail from looking padded.
    pub(super) fn bytes(self, bytes: &[u8]) -> Self {
        let (words, tail) = bytes.as_chunks::<8>();
        let mixer = words.iter().fold(self, |mixer, word| mixer.word(u64::from_le_bytes(*word)));
        let tail = tail.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte));
        mixer.word(tail).word(bytes.len() as u64)
    }

    pub(super) fn text(self, text: &str) -> Self {
        self.bytes(text.as_bytes())
    }
}

/// The low and the high half of a 128-bit integer.
pub(super) fn halves(bytes: [u8; 16]) -> [u64; 2] {
    let (words, _) = bytes.as_chunks::<8>();
    [words[0], words[1]].map(u64::from_le_bytes)
}
