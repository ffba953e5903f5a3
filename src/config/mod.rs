//! What was written and what is believed of it. `file` reads the TOML, `load` turns it into a [`Config`].

pub mod probe;
