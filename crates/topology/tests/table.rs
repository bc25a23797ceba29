//! Properties of the slot table: minimal movement, fair shares, slot epochs that rise exactly on a move.

use std::collections::BTreeMap;

use dunlin_topology::{Epoch, NodeId, Slot, SlotTable};
use proptest::prelude::*;

type Router = (NodeId, Epoch, u32);
const ALL: usize = usize::MAX;

fn router(name: &str, epoch: u64, weight: u32) -> Router {
    (name.into(), Epoch(epoch), weight)
}

fn first(routers: &[Router]) -> SlotTable {
    SlotTable::empty().next(routers, ALL).expect("a first table")
}

/// The slots that moved; checks that epochs rise by one exactly there and the revision by one.
fn moves(old: &SlotTable, new: &SlotTable) -> Vec<Slot> {
    assert_eq!(new.revision, old.revision + 1);
    let moved = |slot: &Slot| {
        let (a, b) = (old.home(*slot).expect("home"), new.home(*slot).expect("home"));
        let moved = (&a.router, a.epoch) != (&b.router, b.epoch);
        assert_eq!(b.slot_epoch, a.slot_epoch + u64::from(moved), "{slot:?}");
        moved
    };
    Slot::all().filter(moved).collect()
}

fn shares(table: &SlotTable) -> BTreeMap<NodeId, usize> {
    table
        .routers()
        .iter()
        .map(|(id, epoch)| (id.clone(), table.slots_of(id, *epoch).len()))
        .collect()
}

/// A set of 1 to 8 routers with weights 1 to 400.
fn routers() -> impl Strategy<Value = Vec<Router>> {
    prop::collection::btree_map("[a-z]{1,3}-[0-9]{1,2}", (1_u64..1000, 1_u32..400), 1..8).prop_map(|map| {
        map.into_iter()
            .map(|(name, (epoch, weight))| router(&name, epoch, weight))
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_to_do_is_none(routers in routers()) {
        prop_assert_eq!(first(&routers).next(&routers, ALL), None);
    }

    #[test]
    fn the_order_of_routers_does_not_matter(routers in routers()) {
        let mut reversed = routers.clone();
        reversed.reverse();
        prop_assert_eq!(first(&routers), first(&reversed));
    }

    #[test]
    fn a_join_moves_slots_only_to_the_joiner(routers in routers(), weight in 1_u32..400) {
        let (old, joiner) = (first(&routers), router("joiner", 1001, weight));
        let mut more = routers;
        more.push(joiner.clone());
        if let Some(new) = old.next(&more, ALL) {
            prop_assert!(moves(&old, &new).iter().all(|slot| new.home(*slot).expect("home").router == joiner.0));
        }
    }

    #[test]
    fn a_leave_moves_only_slots_of_the_leaver_and_is_never_limited(routers in routers(), which: prop::sample::Index) {
        prop_assume!(routers.len() > 1);
        let old = first(&routers);
        let mut rest = routers;
        let gone = rest.remove(which.index(rest.len()));
        let had = old.slots_of(&gone.0, gone.1);
        match old.next(&rest, 0) {
            Some(new) => prop_assert_eq!(moves(&old, &new), had),
            None => prop_assert!(had.is_empty()),
        }
    }

    #[test]
    fn a_drain_moves_what_a_leave_moves(routers in routers(), which: prop::sample::Index) {
        prop_assume!(routers.len() > 1);
        let old = first(&routers);
        let mut draining = routers.clone();
        draining[which.index(routers.len())].2 = 0;
        let rest: Vec<_> = draining.iter().filter(|(_, _, weight)| *weight > 0).cloned().collect();
        prop_assert_eq!(old.next(&draining, 0), old.next(&rest, 0));
    }

    #[test]
    fn a_restarted_router_gets_its_slots_again_at_the_next_epoch(routers in routers(), which: prop::sample::Index) {
        let old = first(&routers);
        let mut again = routers;
        let index = which.index(again.len());
        let before = again[index].clone();
        again[index].1 = Epoch(2000);
        let had = old.slots_of(&before.0, before.1);
        prop_assume!(!had.is_empty());
        let new = old.next(&again, 0).expect("moves");
        prop_assert_eq!(&moves(&old, &new), &had);
        prop_assert_eq!(new.slots_of(&before.0, Epoch(2000)), had);
    }

    #[test]
    fn limited_steps_reach_what_one_step_reaches(routers in routers(), step in 250_usize..900) {
        let (old, mut more) = (first(&routers), routers);
        more.push(router("joiner", 1001, 200));
        let mut table = old.clone();
        while let Some(next) = table.next(&more, step) {
            prop_assert!(moves(&table, &next).len() <= step);
            table = next;
        }
        let at_once = old.next(&more, ALL).unwrap_or(old);
        prop_assert!(Slot::all().all(|slot| table.home(slot) == at_once.home(slot)));
    }
}

#[test]
fn shares_follow_weights() {
    let check = |weights: &[u32]| {
        let routers: Vec<_> = weights
            .iter()
            .zip(1..)
            .map(|(w, n)| router(&format!("router-{n}"), n, *w))
            .collect();
        let total: u32 = weights.iter().sum();
        let shares = shares(&first(&routers));
        for (id, _, weight) in routers {
            let want = 4096.0 * f64::from(weight) / f64::from(total);
            let got = shares.get(&id).copied().unwrap_or(0) as f64;
            // Four standard deviations of a fair draw.
            assert!(
                (got - want).abs() <= 4.0 * want.sqrt() + 1.0,
                "{id} of {weights:?}: {got}, wanted {want}"
            );
        }
    };
    check(&[100, 100]);
    check(&[100, 100, 100]);
    check(&[100, 200, 50]);
    check(&[100; 16]);
    check(&[1000, 10]);
    check(&[1, u32::MAX >> 4]);
}

#[test]
fn without_routers_the_table_stays() {
    assert_eq!(SlotTable::empty().next(&[], ALL), None);
    assert_eq!(first(&[router("a", 1, 100)]).next(&[], ALL), None);
}

#[test]
fn when_all_drain_slots_stay_and_those_of_the_dead_are_shared() {
    let old = first(&[router("a", 1, 100), router("b", 2, 100), router("c", 3, 100)]);
    assert_eq!(
        old.next(&[router("a", 1, 0), router("b", 2, 0), router("c", 3, 0)], ALL),
        None
    );
    let new = old.next(&[router("a", 1, 0), router("b", 2, 0)], 0).expect("moves");
    assert_eq!(moves(&old, &new), old.slots_of(&"c".into(), Epoch(3)));
}

#[test]
fn of_two_lives_the_later_counts() {
    assert_eq!(
        first(&[router("a", 5, 100), router("a", 9, 100)]).routers(),
        [("a".into(), Epoch(9))]
    );
}

/// These must never change: the leader may be of another release than the nodes that check its table.
#[test]
fn the_table_is_stable() {
    let table = first(&[
        router("router-1", 1, 100),
        router("router-2", 2, 100),
        router("router-3", 3, 50),
    ]);
    let homes: String = Slot::all()
        .take(64)
        .map(|slot| table.home(slot).expect("home").router.0.replace("router-", ""))
        .collect();
    assert_eq!(
        homes,
        "1323221233322213132112322223113213231112222322231212132221232221"
    );
    assert_eq!(shares(&table).into_values().collect::<Vec<_>>(), [1580, 1629, 887]);
}
