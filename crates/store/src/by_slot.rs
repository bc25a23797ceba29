//! What is known of sessions, slot by slot, in one ordered map: a slot has few sessions, and a map of its own would keep room for eleven.

use std::collections::BTreeMap;

use stanza::Full;
use topology::Slot;

/// Values by slot and full address, in order of both.
#[derive(Clone, Debug)]
pub struct BySlot<V>(BTreeMap<Key, V>);

/// `None` is no address: it stands before all of its slot.
type Key = (Slot, Option<Full>);

impl<V> BySlot<V> {
    /// Keeps `value`, in the place of another.
    pub fn insert(&mut self, slot: Slot, jid: Full, value: V) {
        self.0.insert((slot, Some(jid)), value);
    }

    /// Forgets the value of `jid`.
    pub fn remove(&mut self, slot: Slot, jid: &Full) {
        self.0.remove(&key(slot, jid));
    }

    /// The value of `jid`.
    pub fn get(&self, slot: Slot, jid: &Full) -> Option<&V> {
        self.0.get(&key(slot, jid))
    }

    /// All of `slot`, in order of address.
    pub fn of(&self, slot: Slot) -> impl Iterator<Item = (&Full, &V)> {
        let from_there = self.0.range((slot, None)..);
        let of_slot = from_there.take_while(move |((at, _), _)| *at == slot);
        of_slot.filter_map(|((_, jid), value)| Some((jid.as_ref()?, value)))
    }

    /// Forgets all of `slot`.
    pub fn forget(&mut self, slot: Slot) {
        let all: Vec<Full> = self.of(slot).map(|(jid, _)| jid.clone()).collect();
        all.iter().for_each(|jid| self.remove(slot, jid));
    }
}

impl<V> Default for BySlot<V> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

fn key(slot: Slot, jid: &Full) -> Key {
    (slot, Some(jid.clone()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_apart_from_its_neighbours() {
        let jid = |text: &str| Full::parse(text).unwrap();
        let slot = |index| Slot::new(index).unwrap();
        let mut kept = BySlot::default();
        for (at, text) in [
            (1, "a@v.example/z"),
            (2, "b@v.example/r"),
            (2, "a@v.example/r"),
            (3, "a@v.example/a"),
        ] {
            kept.insert(slot(at), jid(text), at);
        }
        let of = |kept: &BySlot<u16>, at| kept.of(slot(at)).map(|(jid, _)| jid.to_string()).collect::<Vec<_>>();
        assert_eq!(of(&kept, 2), ["a@v.example/r", "b@v.example/r"]);
        assert_eq!(kept.get(slot(2), &jid("b@v.example/r")), Some(&2));
        assert_eq!(kept.get(slot(1), &jid("b@v.example/r")), None);
        kept.remove(slot(2), &jid("a@v.example/r"));
        assert_eq!(of(&kept, 2), ["b@v.example/r"]);
        kept.forget(slot(2));
        assert_eq!([1, 2, 3].map(|at| of(&kept, at).len()), [1, 0, 1]);
    }
}
