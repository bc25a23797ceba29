//! Who may connect: counts of connections in all and per source address, before and after a resource is bound.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::config::Limits;

/// The counts, shared by all listeners.
#[derive(Debug)]
pub(crate) struct Admission {
    limits: Limits,
    counts: Mutex<Counts>,
}

/// A place among the connections, given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    admission: Arc<Admission>,
    source: Option<IpAddr>,
    pending: bool,
}

/// Why a connection is refused: the name of the limit, for a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) &'static str);

#[derive(Debug, Default)]
struct Counts {
    all: Count,
    by_source: HashMap<IpAddr, Count>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    connections: usize,
    pending: usize,
}

impl Admission {
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            counts: Mutex::default(),
        })
    }

    /// Takes a place for a connection from `address`.
    pub(crate) fn enter(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Place, Refused> {
        let source = address.and_then(source);
        let mut counts = self.counts.lock();
        check(counts.all.connections, self.limits.connections, "connections")?;
        check(counts.all.pending, self.limits.unauthenticated, "unauthenticated")?;
        if let Some(count) = source.and_then(|source| counts.by_source.get(&source)) {
            check(count.connections, self.limits.per_address, "per_address")?;
            check(
                count.pending,
                self.limits.unauthenticated_per_address,
                "unauthenticated_per_address",
            )?;
        }
        counts.each(source, |count| {
            count.connections += 1;
            count.pending += 1;
        });
        Ok(Place {
            admission: self.clone(),
            source,
            pending: true,
        })
    }
}

impl Place {
    /// The connection has bound a resource.
    pub(crate) fn established(&mut self) {
        if std::mem::take(&mut self.pending) {
            self.admission
                .counts
                .lock()
                .each(self.source, |count| count.pending -= 1);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.admission.counts.lock();
        let pending = usize::from(self.pending);
        counts.each(self.source, |count| {
            count.connections -= 1;
            count.pending -= pending;
        });
        let Some(source) = self.source else { return };
        if counts
            .by_source
            .get(&source)
            .is_some_and(|count| count.connections == 0)
        {
            counts.by_source.remove(&source);
        }
    }
}

impl Counts {
    fn each(&mut self, source: Option<IpAddr>, change: impl Fn(&mut Count)) {
        change(&mut self.all);
        if let Some(source) = source {
            change(self.by_source.entry(source).or_default());
        }
    }
}

fn check(count: usize, limit: usize, name: &'static str) -> Result<(), Refused> {
    if count < limit { Ok(()) } else { Err(Refused(name)) }
}

/// What counts as one source: an IPv4 address, an IPv6 /64; nothing for loopback, where proxies and load tests sit.
fn source(address: IpAddr) -> Option<IpAddr> {
    let address = address.to_canonical();
    match address {
        _ if address.is_loopback() => None,
        IpAddr::V4(_) => Some(address),
        IpAddr::V6(v6) => Some(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admission(connections: usize, unauthenticated: usize, per_address: usize, pending: usize) -> Arc<Admission> {
        let unauthenticated_per_address = pending;
        let base = Limits::default();
        Admission::new(Limits {
            connections,
            unauthenticated,
            per_address,
            unauthenticated_per_address,
            ..base
        })
    }

    /// Enters from each address and compares the refusals.
    fn check(admission: &Arc<Admission>, arrivals: &[(&str, Option<&str>)]) -> Vec<Place> {
        let mut places = Vec::new();
        for (address, refused) in arrivals {
            let entered = admission.enter(Some(address.parse().unwrap()));
            assert_eq!(entered.as_ref().err().map(|refused| refused.0), *refused, "{address}");
            places.extend(entered);
        }
        places
    }

    #[test]
    fn each_limit_refuses() {
        let one = ("192.0.2.1", None);
        check(&admission(1, 9, 9, 9), &[one, ("192.0.2.2", Some("connections"))]);
        check(&admission(9, 1, 9, 9), &[one, ("192.0.2.2", Some("unauthenticated"))]);
        check(
            &admission(9, 9, 1, 9),
            &[one, ("192.0.2.2", None), ("192.0.2.1", Some("per_address"))],
        );
        check(
            &admission(9, 9, 9, 1),
            &[one, ("192.0.2.1", Some("unauthenticated_per_address"))],
        );
    }

    #[test]
    fn a_source_is_an_address_or_a_network() {
        let arrivals = [
            ("2001:db8::1", None),
            ("2001:db8::2", Some("per_address")),
            ("2001:db8:0:1::2", None),
        ];
        check(&admission(9, 9, 1, 9), &arrivals);
        check(
            &admission(9, 9, 1, 9),
            &[("::ffff:192.0.2.1", None), ("192.0.2.1", Some("per_address"))],
        );
        check(
            &admission(9, 9, 1, 9),
            &[("127.0.0.1", None), ("127.0.0.1", None), ("::1", None)],
        );
    }

    #[test]
    fn places_are_given_back() {
        let admission = admission(2, 1, 2, 1);
        for _ in 0..3 {
            let mut places = check(&admission, &[("192.0.2.1", None)]);
            places[0].established();
            places.extend(check(
                &admission,
                &[("192.0.2.1", None), ("192.0.2.1", Some("connections"))],
            ));
        }
        assert!(admission.counts.lock().by_source.is_empty());
        assert_eq!(admission.counts.lock().all.pending, 0);
    }
}
