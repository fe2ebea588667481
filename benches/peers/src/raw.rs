//! SQLite alone: the raw loops of `benches/ratios`, on the same orders.

#[path = "../../ratios/raw.rs"]
mod loops;

use durable::Durability;

use crate::work::{Order, answer};

pub(crate) fn obey(order: &Order) {
    let Order { folder, runs, steps, warm, .. } = order;
    let durability = if order.full { Durability::Full } else { Durability::Normal };
    answer(match (order.work.as_str(), runs, steps) {
        ("steps", 1, steps) => loops::one_by_one(folder, *warm, *steps, durability),
        ("steps", runs, 3) => loops::short(folder, *runs, *runs),
        ("steps", runs, steps) => loops::in_step(folder, *runs, *steps),
        ("parallel", _, steps) => loops::at_once(folder, *steps),
        ("replay", ..) => loops::scan(folder),
        (other, ..) => unreachable!("no such work: {other}"),
    });
}
