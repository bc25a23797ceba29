//! The features of the server, each a file or small folder that declares its hooks. [`ALL`] is the one place where they are
//! listed.

mod admin;
mod announce;
mod archive;
mod blocking;
mod caps;
mod carbons;
mod clients;
mod commands;
mod contact;
mod disco;
mod external_services;
mod inactive;
mod invitations;
mod last;
mod offline;
mod outage;
mod ping;
mod presence;
mod private;
mod push;
mod registration;
mod retraction;
mod roster;
mod session;
mod shared_groups;
mod strangers;
mod time;
mod vcard;
mod version;

use engine::{Row, row};

/// Every module. Hooks of one role run in this order.
pub static ALL: &[Row] = &[
    row::<blocking::Blocking>(),
    row::<strangers::Strangers>(),
    row::<roster::Rosters>(),
    row::<shared_groups::SharedGroups>(),
    row::<presence::Presences>(),
    row::<offline::Offline>(),
    row::<archive::Archive>(),
    row::<retraction::Retractions>(),
    row::<carbons::Carbons>(),
    row::<push::Push>(),
    row::<inactive::Inactive>(),
    row::<session::Session>(),
    row::<clients::ClientAccess>(),
    row::<registration::Registration>(),
    row::<disco::Disco>(),
    row::<caps::Caps>(),
    row::<ping::Ping>(),
    row::<version::Version>(),
    row::<time::Time>(),
    row::<last::Last>(),
    row::<commands::Commands>(),
    row::<admin::Admin>(),
    row::<announce::Announce>(),
    row::<invitations::Invitations>(),
    row::<contact::Contact>(),
    row::<outage::Outage>(),
    row::<vcard::Vcards>(),
    row::<private::Private>(),
    row::<external_services::ExternalServices>(),
];
