//! What coordinator and workers say to each other, as generated from `proto/dunlin/loadtest/v1/loadtest.proto`, and how orders travel.

use std::time::Duration;

use crate::accounting::Used;
use crate::board::Order;
use crate::tally::micros;

/// The generated types.
#[allow(missing_docs, reason = "the contract itself says what they are")]
#[allow(clippy::all, unreachable_pub, reason = "generated")]
pub mod generated {
    tonic::include_proto!("dunlin.loadtest.v1");
}

pub use generated::coordinator_client::CoordinatorClient;
pub use generated::coordinator_server::{Coordinator, CoordinatorServer};
pub use generated::said::What as Says;
pub use generated::told::What as Tells;
pub use generated::{Assignment, Beat, Failure, Hello, Ping, Pong, Pulse, Ready, Report, Said, Told, Usage};

use generated::order::Kind;

/// Largest message, in bytes: the ledger of a worker whose users have all written to each other.
pub const MOST: usize = 256 << 20;

/// An order as it travels; waiting is not ordered.
pub fn encode(order: Order) -> Option<generated::Order> {
    let (kind, phase, time) = match order {
        Order::Wait => return None,
        Order::Phase(at, began) => (Kind::Phase, u32::try_from(at).ok()?, began),
        Order::Settle => (Kind::Settle, 0, Duration::ZERO),
        Order::Collect(since) => (Kind::Collect, 0, since),
        Order::End => (Kind::End, 0, Duration::ZERO),
    };
    Some(generated::Order {
        kind: kind.into(),
        phase,
        time: micros(time),
    })
}

/// An order that has travelled; `None` for one that this version does not know.
pub fn decode(order: &generated::Order) -> Option<Order> {
    let time = Duration::from_micros(order.time);
    match order.kind() {
        Kind::Unspecified => None,
        Kind::Phase => Some(Order::Phase(order.phase as usize, time)),
        Kind::Settle => Some(Order::Settle),
        Kind::Collect => Some(Order::Collect(time)),
        Kind::End => Some(Order::End),
    }
}

impl From<Used> for Usage {
    fn from(used: Used) -> Self {
        Self {
            pid: used.pid,
            user: used.user,
            kernel: used.kernel,
            memory: used.memory,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_arrive_as_they_were_given() {
        let time = Duration::from_micros(1_500_007);
        for order in [Order::Phase(3, time), Order::Settle, Order::Collect(time), Order::End] {
            assert_eq!(encode(order).as_ref().and_then(decode), Some(order));
        }
        assert_eq!(encode(Order::Wait), None);
    }
}
