//! What holds for any input: the machine still closes in order, says nothing after the end, and does not care how its input was cut.

#[path = "support/target.rs"]
mod target;

use std::time::Instant;

use dunlin_stream::{Dialect, Event, Stream, TlsPolicy};
use proptest::prelude::*;
use stanza::{RegisterReply, SaslRequest};
use target::{Act, COMPONENT, PIECES, bound, challenge, enabled, resumed, success};

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => prop::sample::select(PIECES).prop_map(|piece| Act::Bytes(piece.as_bytes().into())),
        1 => prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| Act::Bytes(bytes.into())),
        1 => Just(Act::Secured),
        1 => Just(Act::Challenge),
        2 => Just(Act::Success),
        1 => Just(Act::Failure),
        2 => Just(Act::Bound),
        1 => Just(Act::Refused),
        1 => Just(Act::Enabled),
        1 => any::<bool>().prop_map(Act::Resumed),
        1 => (0u64..4).prop_map(Act::Done),
        1 => Just(Act::Write),
        1 => (0u64..40).prop_map(Act::Wait),
        1 => any::<bool>().prop_map(Act::Close),
        1 => Just(Act::Deliver),
        1 => Just(Act::HangUp),
        1 => any::<bool>().prop_map(Act::Registered),
    ]
}

/// As a component's: what gets it in, and whatever else happens.
fn component_act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => prop::sample::select(COMPONENT).prop_map(|piece| Act::Bytes(piece.as_bytes().into())),
        4 => Just(Act::Challenge),
        4 => Just(Act::Admitted),
        4 => Just(Act::Bound),
        4 => act(),
    ]
}

/// Plays a client's bytes, cut as told, against a shell that answers at once. What was written and asked for.
fn play(bytes: &[u8], cuts: &[usize]) -> (String, Vec<Event>) {
    let now = target::origin();
    let mut stream = target::stream(TlsPolicy::Off, now);
    let mut events = Vec::new();
    let mut from = 0;
    for to in cuts.iter().copied().chain([bytes.len()]) {
        stream.receive(&bytes[from..to], now);
        from = to;
        while let Some(event) = stream.poll() {
            answer(&mut stream, &event, now);
            events.push(event);
        }
    }
    (String::from_utf8_lossy(stream.output()).into_owned(), events)
}

fn answer(stream: &mut Stream, event: &Event, now: Instant) {
    match event {
        Event::Sasl(SaslRequest::Start { mechanism, .. }) if mechanism != "PLAIN" => stream.sasl(challenge(), now),
        Event::Sasl(SaslRequest::Abort { .. }) => {}
        Event::Sasl(_) => stream.sasl(success(), now),
        Event::Register(_) => stream.registered(RegisterReply::Created, now),
        Event::Bind { .. } => stream.bound(bound(), now),
        Event::Enable(_) => stream.enabled(&enabled(), now),
        Event::Resume { .. } => stream.resumed(resumed(), now),
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_it_closes(policy in 0..3usize, acts in prop::collection::vec(act(), 0..40)) {
        target::closes(Dialect::Client, [TlsPolicy::Required, TlsPolicy::Optional, TlsPolicy::Off][policy], &acts);
    }

    #[test]
    fn whatever_happens_to_a_component_it_closes(acts in prop::collection::vec(component_act(), 0..40)) {
        target::closes(Dialect::Component, TlsPolicy::Off, &acts);
    }

    #[test]
    fn any_bytes_are_an_input_of_the_fuzz_target(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        target::run(&bytes);
    }

    #[test]
    fn cuts_change_nothing(
        pieces in prop::collection::vec(prop::sample::select(PIECES), 0..12),
        mut cuts in prop::collection::vec(any::<usize>(), 0..12),
    ) {
        let stream = PIECES[1].to_owned() + &pieces.concat();
            cuts.iter_mut().for_each(|cut| *cut %= stream.len() + 1);
        cuts.sort_unstable();
        prop_assert_eq!(play(stream.as_bytes(), &[]), play(stream.as_bytes(), &cuts));
    }
}

/// A session at rest is what a server has most of. Beside these bytes there are on the heap the reader's root, about 100,
/// and the address.
#[test]
fn a_stream_at_rest_is_small() {
    let hello = [PIECES[1], PIECES[4], PIECES[1], PIECES[8], "<presence/>"].concat();
    let now = target::origin();
    let mut stream = target::stream(TlsPolicy::Off, now);
    stream.receive(hello.as_bytes(), now);
    while let Some(event) = stream.poll() {
        answer(&mut stream, &event, now);
    }
    assert!(stream.address().is_some() && stream.wants_input());
    stream.output().clear();
    assert_eq!(stream.poll(), None);
    assert_eq!(stream.output().capacity(), 0, "no memory is kept for output");
    assert!(size_of::<Stream>() <= 512, "{} bytes", size_of::<Stream>());
}
