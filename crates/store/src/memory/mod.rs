//! The reference implementation of every port, in ordered maps: what most tests use, and what an all-in-one server uses for
//! what need not outlive it.

mod durable;
mod locations;
mod members;
mod presence;

use std::sync::Arc;

pub use durable::Durable;
pub use locations::Locations;
pub use members::Members;
pub use presence::Presence;

use crate::Stores;

/// Fresh, empty stores: every port in memory.
pub fn stores() -> Stores {
    let durable = Arc::new(Durable::default());
    Stores {
        accounts: durable.clone(),
        rosters: durable.clone(),
        archive: durable.clone(),
        items: durable,
        presence: Arc::new(Presence::default()),
        locations: Arc::new(Locations::default()),
        members: Arc::new(Members::default()),
    }
}

#[cfg(test)]
mod tests {
    async fn fresh() -> (crate::Stores, ()) {
        (super::stores(), ())
    }

    crate::suite!(fresh: accounts, rosters, archive, items, presence, locations, members);
}
