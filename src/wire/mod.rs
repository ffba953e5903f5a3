//! DNS messages as octets: the numbers of the protocol, queries parsed in place, replies written in place.
//! Nothing here knows zones, regions or sockets.

pub mod code;
