//! What queries are answered from and how: the table of one generation, its compilation, the answer itself and
//! its explanation. Pure: no sockets, no clock, no logs.

pub mod ahead;
pub mod challenges;
mod chaos;
pub mod count;
pub mod extensions;
pub mod limit;
mod reason;
mod resolve;
mod resolve_signed;
pub mod respond;
mod written;

pub mod names;
pub mod records;
pub mod signed;
pub mod steering;
pub mod table;

pub mod compile;
pub mod compile_signed;
pub mod dig;
mod encode;
pub mod explain;
mod keep;
pub mod maps;
pub mod zones;
