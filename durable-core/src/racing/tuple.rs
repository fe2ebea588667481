//! Futures of different types that race: the tuples behind `race!` and `select!`.
//! Knows no position and no store.

use std::convert::Infallible;
use std::task::Context;

use super::contest::Insides;
use super::{Contestants, Deciding, Turn};
use crate::concurrent::Branch;
use crate::key::Site;
use crate::store::Kind;

/// What the branch returned that won, under its letter: those that a `select!` does not have cannot be.
pub enum Won<
    A,
    B = Infallible,
    C = Infallible,
    D = Infallible,
    E = Infallible,
    F = Infallible,
    G = Infallible,
    H = Infallible,
    I = Infallible,
    J = Infallible,
    K = Infallible,
    L = Infallible,
> {
    /// Branch 0.
    A(A),
    /// Branch 1.
    B(B),
    /// Branch 2.
    C(C),
    /// Branch 3.
    D(D),
    /// Branch 4.
    E(E),
    /// Branch 5.
    F(F),
    /// Branch 6.
    G(G),
    /// Branch 7.
    H(H),
    /// Branch 8.
    I(I),
    /// Branch 9.
    J(J),
    /// Branch 10.
    K(K),
    /// Branch 11.
    L(L),
}

/// A tuple of 1 to 12 futures, the first of which to end decides.
pub struct Differing<T>(T);

/// Lets the futures of a tuple race, as the macro `name` written at `site` does.
pub fn race_tuple<T>(
    name: &'static str,
    site: Site,
    futures: T,
) -> impl Future<Output = <Differing<T> as Contestants>::Output>
where
    Differing<T>: Contestants,
{
    Deciding::new(Kind::Race, name, site, Differing(futures))
}

macro_rules! tuple {
    ($count:literal $(, $F:ident $f:ident $i:literal)+) => {
        impl<$($F: Future),+> Contestants for Differing<($($F,)+)> {
            type Branches = ($(Branch<$F>,)+);
            type Decided = Won<$($F::Output),+>;
            type All = Infallible;
            type Output = Self::Decided;

            fn count(&self) -> usize {
                $count
            }

            fn start(self, insides: Insides) -> Self::Branches {
                let (($($f,)+), mut insides) = (self.0, insides.0);
                ($(Branch::new(insides.next().unwrap_or_default(), $f),)+)
            }

            fn poll(
                branches: &mut Self::Branches,
                cx: &mut Context<'_>,
                is_stopped: &dyn Fn() -> bool,
            ) -> Turn<Self::Decided, Infallible> {
                let ($($f,)+) = branches;
                $(
                    if is_stopped() {
                        return Turn::Pending;
                    }
                    $f.poll(cx);
                    if let Some(ended) = $f.take() {
                        return Turn::Decided($i, ended.map(Won::$F));
                    }
                )+
                Turn::Pending
            }

            fn keep(branches: &mut Self::Branches, winner: u32) {
                let ($($f,)+) = branches;
                $(if winner != $i { $f.lose(); })+
            }

            fn is_failure(_: &Self::Decided) -> bool {
                false
            }

            fn decided(decided: Self::Decided) -> Self::Decided {
                decided
            }

            fn all(all: Infallible) -> Self::Decided {
                match all {}
            }
        }
    };
}

tuple!(1, A a 0);
tuple!(2, A a 0, B b 1);
tuple!(3, A a 0, B b 1, C c 2);
tuple!(4, A a 0, B b 1, C c 2, D d 3);
tuple!(5, A a 0, B b 1, C c 2, D d 3, E e 4);
tuple!(6, A a 0, B b 1, C c 2, D d 3, E e 4, F f 5);
tuple!(7, A a 0, B b 1, C c 2, D d 3, E e 4, F f 5, G g 6);
tuple!(8, A a 0, B b 1, C c 2, D d 3, E e 4, F f 5, G g 6, H h 7);
tuple!(9, A a 0, B b 1, C c 2, D d 3, E e 4, F f 5, G g 6, H h 7, I i 8);
tuple!(10, A a 0, B b 1, C c 2, D d 3, E e 4, F f 5, G g 6, H h 7, I i 8, J j 9);
tuple!(11, A a 0, B b 1, C c 2, D d 3, E e 4, F f 5, G g 6, H h 7, I i 8, J j 9, K k 10);
tuple!(12, A a 0, B b 1, C c 2, D d 3, E e 4, F f 5, G g 6, H h 7, I i 8, J j 9, K k 10, L l 11);
