//! Zones: master files (RFC 1035 section 5) read whole into a [`Zone`] whose records stand in canonical order.
//! Every fault of a file is found and told with its place. Nothing here answers queries.

pub mod lexer;
pub mod rdata;
