//! The names of keys, and records as values.

use serde::{Deserialize, Serialize};
use stanza::{Bare, Full};
use store::Location;
use topology::{Epoch, NodeId, NodeRecord, Role, Slot};

/// The keys of one installation.
#[derive(Clone)]
pub(super) struct Keys(String);

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        Self(prefix.trim_end_matches('/').to_owned())
    }

    /// What all keys of nodes begin with; also where the watched range begins.
    pub(super) fn nodes(&self) -> String {
        format!("{}/n/", self.0)
    }

    pub(super) fn node(&self, node: &NodeId) -> String {
        format!("{}/n/{}", self.0, escape(&node.0))
    }

    pub(super) fn table(&self) -> String {
        format!("{}/table", self.0)
    }

    /// Where the watched range ends: just after the table's key.
    pub(super) fn after_table(&self) -> String {
        format!("{}/table\0", self.0)
    }

    pub(super) fn secret(&self) -> String {
        format!("{}/secret", self.0)
    }

    /// What all keys of a slot's locations begin with.
    pub(super) fn slot(&self, slot: Slot) -> String {
        format!("{}/l/{:04x}/", self.0, slot.index())
    }

    pub(super) fn location(&self, jid: &Full) -> String {
        let bare = jid.bare();
        format!(
            "{}{}/{}",
            self.slot(Slot::of(bare.as_str())),
            bare.as_str(),
            escape(jid.resource())
        )
    }

    /// The node of a key below [`nodes`](Self::nodes).
    pub(super) fn node_of(&self, key: &[u8]) -> Option<NodeId> {
        let name = std::str::from_utf8(key.strip_prefix(self.nodes().as_bytes())?).ok()?;
        Some(NodeId::from(unescape(name)?.as_str()))
    }

    /// The address of a key below [`slot`](Self::slot).
    pub(super) fn address_of(&self, slot: Slot, key: &[u8]) -> Option<Full> {
        let rest = std::str::from_utf8(key.strip_prefix(self.slot(slot).as_bytes())?).ok()?;
        let (bare, resource) = rest.split_once('/')?;
        Bare::parse(bare).ok()?.with_resource(&unescape(resource)?).ok()
    }
}

fn escape(part: &str) -> String {
    part.replace('%', "%25").replace('/', "%2F")
}

/// Only what [`escape`] writes.
fn unescape(part: &str) -> Option<String> {
    let mut pieces = part.split('%');
    let mut text = pieces.next()?.to_owned();
    for piece in pieces {
        let (byte, rest) = piece.split_at_checked(2)?;
        text.push(match byte {
            "25" => '%',
            "2F" => '/',
            _ => return None,
        });
        text.push_str(rest);
    }
    Some(text)
}

/// A node's value: JSON, for the eyes of operators.
#[derive(Serialize, Deserialize)]
struct NodeValue {
    role: String,
    address: String,
    weight: u32,
    version: String,
    protocol: u32,
    /// Since link protocol 1.2.
    #[serde(default)]
    draining: bool,
}

/// What a node tells of itself, as a value.
pub(super) fn node_value(node: &NodeRecord) -> Vec<u8> {
    let role = match node.role {
        Role::Edge => "edge",
        Role::Router => "router",
    };
    let NodeRecord {
        address,
        weight,
        version,
        protocol,
        draining,
        ..
    } = node.clone();
    let value = NodeValue {
        role: role.into(),
        address,
        weight,
        version,
        protocol,
        draining,
    };
    serde_json::to_vec(&value).unwrap_or_default() // texts and numbers cannot fail
}

/// Reads what [`node_value`] wrote; `None` for what another release may write.
pub(super) fn node_record(id: NodeId, value: &[u8]) -> Option<NodeRecord> {
    let NodeValue {
        role,
        address,
        weight,
        version,
        protocol,
        draining,
    } = serde_json::from_slice(value).ok()?;
    let role = match role.as_str() {
        "edge" => Role::Edge,
        "router" => Role::Router,
        _ => return None,
    };
    Some(NodeRecord {
        id,
        role,
        address,
        weight,
        version,
        protocol,
        draining,
    })
}

/// A location as a value: `EPOCH SESSION EDGE`, small because there are millions.
pub(super) fn location_value(location: &Location) -> String {
    format!("{} {:x} {}", location.epoch.0, location.session, location.edge)
}

/// Reads what [`location_value`] wrote.
pub(super) fn location(jid: Full, value: &[u8]) -> Option<Location> {
    let mut parts = std::str::from_utf8(value).ok()?.splitn(3, ' ');
    let epoch = Epoch(parts.next()?.parse().ok()?);
    let session = u128::from_str_radix(parts.next()?, 16).ok()?;
    Some(Location {
        jid,
        edge: NodeId::from(parts.next()?),
        epoch,
        session,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_back() {
        let keys = Keys::new("/dunlin/");
        for text in [
            "romeo@montague.example/orchard",
            "montague.example/a/b%2F%",
            "r@x.example/ä 🌳",
        ] {
            let jid = Full::parse(text).unwrap();
            let key = keys.location(&jid);
            assert_eq!(key.matches('/').count(), 5, "{key}");
            assert_eq!(
                keys.address_of(Slot::of(jid.bare().as_str()), key.as_bytes()),
                Some(jid)
            );
        }
        let node = NodeId::from("edge/1%");
        assert_eq!(keys.node_of(keys.node(&node).as_bytes()), Some(node));
    }

    #[test]
    fn odd_keys_and_values_are_nobodys() {
        let (keys, slot) = (Keys::new("/dunlin"), Slot::new(1).unwrap());
        for key in [
            "/dunlin/l/0001/",
            "/dunlin/l/0001/romeo@x",
            "/dunlin/l/0001/romeo@x/",
            "/dunlin/l/0001/romeo@x/a%2",
            "/other",
        ] {
            assert_eq!(keys.address_of(slot, key.as_bytes()), None, "{key}");
        }
        let jid = Full::parse("romeo@montague.example/orchard").unwrap();
        for value in ["", "1", "1 2", "x 2 edge", "1 xyz edge"] {
            assert_eq!(location(jid.clone(), value.as_bytes()), None, "{value}");
        }
        assert_eq!(node_record("a".into(), b"{}"), None);
    }

    #[test]
    fn a_node_of_the_release_before_does_not_drain() {
        let value = br#"{"role":"edge","address":"","weight":100,"version":"0.1.0","protocol":1,"later":[1]}"#;
        let node = node_record("a".into(), value).unwrap();
        assert!(!node.draining);
        let drains = NodeRecord { draining: true, ..node };
        assert_eq!(node_record("a".into(), &node_value(&drains)), Some(drains));
    }

    #[test]
    fn the_watched_range_has_nodes_and_table_but_no_locations() {
        let keys = Keys::new("/dunlin");
        let watched = |key: String| (keys.nodes()..keys.after_table()).contains(&key);
        assert!(watched(keys.node(&"edge-1".into())) && watched(keys.table()));
        assert!(!watched(keys.slot(Slot::new(4095).unwrap())));
    }
}
