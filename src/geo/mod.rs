//! Where clients are. A [`database`] tells places by network, in one of several [`layout`]s, completed by the
//! [`centroids`] of countries; it becomes [`spans`], a step function over the addresses, on which maps lay
//! their rules; and a [`tree`] compiled from them finds a client's class within a query.

pub mod centroids;
pub mod database;
pub mod layout;
mod scalar;
mod search_tree;
pub mod spans;
pub mod tree;
