//! What a new generation has in common with the one before stays where it is in memory. Most reloads change little, and
//! a worker that goes on with the same names, trees and services goes on with warm caches; read anew, they would cost
//! it a miss for each line of each answer. What is equal is found by comparing octets, where a table is published,
//! never in a worker.

use std::ops::Range;
use std::sync::Arc;

use super::compile::Plan;
use super::table::{AnswerTable, Services};
use crate::geo::tree::Tree;

impl Plan {
    /// Where that lies which queries are looked up in: names and trees.
    pub fn places(&self) -> impl Iterator<Item = Range<*const u8>> {
        self.trees.iter().flat_map(Tree::places).chain(self.names.places())
    }

    /// Takes from the plan `before` what is equal in both.
    pub fn keep_equal(&mut self, before: &Plan) {
        keep(&mut self.names, &before.names);
        keep(&mut self.trees, &before.trees);
    }
}

impl AnswerTable {
    /// Takes from the table `before` the services that are equal in both, each in its place.
    pub fn keep_equal(&mut self, before: &AnswerTable) {
        self.services.keep_equal(&before.services);
    }
}

impl Services {
    fn keep_equal(&mut self, before: &Services) {
        for (group, before) in self.0.iter_mut().zip(&before.0) {
            if !keep(group, before) {
                for (service, before) in Arc::make_mut(group).iter_mut().zip(before.iter()) {
                    keep(service, before);
                }
            }
        }
    }
}

/// Puts `before` in the place of what is equal to it; whether it was.
fn keep<T: PartialEq + ?Sized>(new: &mut Arc<T>, before: &Arc<T>) -> bool {
    let equal = **new == **before;
    if equal {
        *new = Arc::clone(before);
    }
    equal
}
