//! Traces: the W3C trace context that travels with a stanza, and the spans of its walk. Chance decides once, at the edge; what was
//! not chosen carries nothing and makes no span.
//!
//! ```text
//! edge.submit ─▶ router.out ─▶ router.in (same or another router) ─▶ edge.deliver
//! ```
//!
//! Each arrow is parent to child. The ids are made here, not by an exporter: what travels names the span that sent it on, and
//! whoever exports spans of [`TARGET`] finds their ids and their parent's in the fields.

use std::fmt;
use std::num::{NonZeroU64, NonZeroU128};
use std::str::FromStr;

use tracing::Span;
use tracing::field::Empty;

/// The target of these spans.
pub const TARGET: &str = "dunlin::trace";

/// A sampled trace and the span that the next one follows from. Sixteen-byte integers would be aligned, and cost memory in every
/// frame that carries none.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    trace: [u8; 16],
    span: NonZeroU64,
}

/// No sampled trace context.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no sampled trace context")]
pub struct NotSampled;

/// A step of a stanza's walk. Without a trace it is nothing.
#[derive(Clone, Debug)]
pub struct Step {
    /// Covers the step.
    pub span: Span,
    /// What the next step follows from.
    pub trace: Option<Trace>,
}

impl Step {
    /// The first step of a walk; traced for one in `1 / ratio`. What is `stanza` goes into the span, such as `message`.
    pub fn first(name: &'static str, stanza: &'static str, ratio: f64) -> Self {
        if ratio <= 0.0 || rand::random::<f64>() >= ratio {
            return Self::untraced();
        }
        let (trace, span) = (rand::random::<u128>().max(1).to_be_bytes(), fresh());
        Self::traced(name, stanza, Trace { trace, span }, None)
    }

    /// A step that follows from `trace`.
    pub fn next(name: &'static str, stanza: &'static str, trace: Option<Trace>) -> Self {
        let Some(parent) = trace else { return Self::untraced() };
        let own = Trace {
            span: fresh(),
            ..parent
        };
        Self::traced(name, stanza, own, Some(parent.span))
    }

    fn untraced() -> Self {
        Self {
            span: Span::none(),
            trace: None,
        }
    }

    fn traced(name: &'static str, stanza: &'static str, own: Trace, parent: Option<NonZeroU64>) -> Self {
        let span = tracing::info_span!(
            target: TARGET, parent: None, "stanza",
            step = name, stanza, trace_id = %own.trace_id(), span_id = %own.span_id(), parent_id = Empty, outcome = Empty
        );
        if let Some(parent) = parent {
            span.record("parent_id", format_args!("{parent:016x}"));
        }
        Self { span, trace: Some(own) }
    }
}

fn fresh() -> NonZeroU64 {
    rand::random::<u64>().try_into().unwrap_or(NonZeroU64::MIN)
}

impl Trace {
    /// The trace's id: 32 hexadecimal digits.
    pub fn trace_id(&self) -> String {
        format!("{:032x}", u128::from_be_bytes(self.trace))
    }

    /// The id of the span to follow from: 16 hexadecimal digits.
    pub fn span_id(&self) -> String {
        format!("{:016x}", self.span)
    }
}

/// As `traceparent` (W3C Trace Context, 3.2).
impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-01", u128::from_be_bytes(self.trace), self.span)
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reads `traceparent` of any version (W3C Trace Context, 4.3: a later one may append parts).
impl FromStr for Trace {
    type Err = NotSampled;

    fn from_str(text: &str) -> Result<Self, NotSampled> {
        /// `traceparent` has 55 characters; there is room for what later versions append, and no more.
        const LONGEST: usize = 128;
        let parts: Vec<&str> = text.get(..text.len().min(LONGEST)).unwrap_or("").split('-').collect();
        let [version, trace, span, flags, rest @ ..] = &parts[..] else {
            return Err(NotSampled);
        };
        let lengths = [version, trace, span, flags].map(|part| part.len());
        let fits = *version != "ff" && (*version != "00" || rest.is_empty()) && text.len() <= LONGEST;
        let is_hex = |part: &&&str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if lengths != [2, 32, 16, 2] || !fits || ![version, trace, span, flags].iter().all(is_hex) {
            return Err(NotSampled);
        }
        let trace = u128::from_str_radix(trace, 16).ok().and_then(NonZeroU128::new);
        let span = u64::from_str_radix(span, 16).ok().and_then(NonZeroU64::new);
        let sampled = u8::from_str_radix(flags, 16).is_ok_and(|flags| flags & 1 == 1);
        match (trace, span) {
            (Some(trace), Some(span)) if sampled => Ok(Self {
                trace: trace.get().to_be_bytes(),
                span,
            }),
            _ => Err(NotSampled),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sampled_contexts_are_read() {
        const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let read = |text: &str| text.parse::<Trace>().map(|trace| trace.to_string());
        for text in [GOOD, &GOOD.replace("00-4", "01-4"), &format!("cc{}-later", &GOOD[2..])] {
            assert_eq!(read(text).as_deref(), Ok(GOOD), "{text}");
        }
        let zeros = "0".repeat(16);
        for text in [
            "",
            "00",
            &GOOD.replace("-01", "-00"),
            &GOOD.replace("00f067aa0ba902b7", &zeros),
            &GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &zeros.repeat(2)),
            &GOOD.to_uppercase(),
            &GOOD.replace("00-4", "ff-4"),
            &GOOD.replace("-00f0", "-+0f0"),
            &format!("{GOOD}-more"),
            &format!("cc{}-{}", &GOOD[2..], "x".repeat(100)),
            &"é".repeat(100),
        ] {
            assert_eq!(read(text), Err(NotSampled), "{text}");
        }
    }

    #[test]
    fn a_walk_keeps_its_trace_and_each_step_has_its_own_span() {
        let first = Step::first("edge.submit", "message", 1.0);
        let second = Step::next("router.out", "message", first.trace);
        let (first, second) = (first.trace.unwrap(), second.trace.unwrap());
        assert_eq!(first.trace_id(), second.trace_id());
        assert_ne!(first.span_id(), second.span_id());
        assert_eq!(first.to_string().parse(), Ok(first));
    }

    #[test]
    fn what_is_not_sampled_carries_nothing_and_costs_no_more_than_its_room() {
        let step = Step::next(
            "router.out",
            "message",
            Step::first("edge.submit", "message", 0.0).trace,
        );
        assert!(step.trace.is_none() && step.span.is_none());
        assert_eq!(size_of::<Option<Trace>>(), 24);
    }
}
