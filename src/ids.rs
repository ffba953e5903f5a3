//! Ids of the things in one generation of the configuration. Each is a position in a dense array, so that
//! a look-up by id is an index; an id of one kind cannot be used for another. They mean nothing outside
//! the generation that gave them: what must outlive a reload travels by name.

/// Declares id types over a dense array.
macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident($raw:ty);)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $raw);

        impl $name {
            /// The id of position `index`.
            ///
            /// # Panics
            /// When there are more things of this kind than the id can count; `config` bounds them all.
            #[must_use]
            pub fn from_index(index: usize) -> Self {
                Self(<$raw>::try_from(index).expect("config bounds how many of each there are"))
            }

            /// The position in the array of this generation.
            #[must_use]
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }
    )*};
}

ids! {
    /// A place that serves.
    RegionId(u16);
    /// One or more steered names.
    ServiceId(u32);
    /// One address of one service in one region, counted over all services.
    EndpointId(u32);
    /// Steering rules that services share.
    MapId(u16);
    /// A client class of one map.
    ClassId(u16);
    /// How an endpoint is tested.
    ProbeId(u16);
    /// What is probed: one address with one distinct probe. Endpoints of several services may share it.
    TargetId(u32);
    /// Where an agent stands.
    VantageId(u16);
    /// A zone of the answer table.
    ZoneId(u32);
}
