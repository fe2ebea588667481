//! What many steps of a run have in common, kept once: names and places repeat as often as a loop turns.
//! Knows no positions.

use std::collections::HashMap;
use std::sync::Arc;

use crate::store::{Kind, StepRow};

/// What a step is, apart from where it stands and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Shape {
    pub(super) name: Box<str>,
    pub(super) kind: Kind,
    pub(super) scope: Option<Box<str>>,
    pub(super) site: Box<str>,
    pub(super) build: u64,
}

impl Shape {
    fn of(row: &StepRow<'_>) -> Self {
        Self {
            name: row.name.into(),
            kind: row.kind,
            scope: row.scope.map(Into::into),
            site: row.site.into(),
            build: row.build,
        }
    }

    fn is_of(&self, row: &StepRow<'_>) -> bool {
        *self.name == *row.name
            && self.kind == row.kind
            && self.scope.as_deref() == row.scope
            && *self.site == *row.site
            && self.build == row.build
    }
}

/// The shapes of a run's steps, each under a number.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    all: Vec<Arc<Shape>>,
    numbers: HashMap<Arc<Shape>, u32>,
    /// For each shape, which one came after it last: loops repeat.
    next: Vec<u32>,
    last: u32,
}

impl Shapes {
    /// The number of the shape of `row`.
    pub(super) fn number(&mut self, row: &StepRow<'_>) -> u32 {
        let last = self.last as usize;
        let guess = self.next.get(last).copied().unwrap_or_default();
        if self.all.get(guess as usize).is_some_and(|shape| shape.is_of(row)) {
            self.last = guess;
            return guess;
        }
        let number = self.find(row);
        if let Some(next) = self.next.get_mut(last) {
            *next = number;
        }
        self.last = number;
        number
    }

    fn find(&mut self, row: &StepRow<'_>) -> u32 {
        let shape = Arc::new(Shape::of(row));
        if let Some(number) = self.numbers.get(&shape) {
            return *number;
        }
        // There are no more shapes than steps, and their number is a u32.
        let number = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        self.all.push(Arc::clone(&shape));
        self.next.push(number);
        self.numbers.insert(shape, number);
        number
    }

    pub(super) fn get(&self, number: u32) -> &Shape {
        &self.all[number as usize]
    }
}
