//! What queries are answered from and how: the table of one generation, its compilation, the answer itself and
//! its explanation. Pure: no sockets, no clock, no logs.

pub mod respond;
mod resolve;
pub mod count;

pub mod table;
pub mod names;
pub mod records;
pub mod steering;

pub mod compile;
mod encode;
pub mod dig;
pub mod explain;
pub mod maps;
pub mod zones;
