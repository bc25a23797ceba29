//! A client's connection: what it says to its edge and what it hears, element by element. Either side may be gone at any time, with
//! what was on its way.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use stanza::{Bare, SessionId, Stanza};
use tokio::sync::Notify;

use crate::pulse::{Pulse, Seat};

/// Elements that a connection holds before the edge must wait for its client to read.
const ROOM: usize = 24;

/// What a client says, once it has authenticated.
#[derive(Debug)]
pub(crate) enum Say {
    Bind,
    Enable { max: u32 },
    Resume { id: String, h: u32 },
    Stanza(Box<Stanza>),
    Acknowledge(u32),
    Ask,
    Close,
}

/// What it hears.
#[derive(Debug)]
pub(crate) enum Hear {
    Bound,
    NotBound,
    /// With the SM-ID, if it can be resumed.
    Enabled(Option<String>),
    NotEnabled,
    Resumed(u32),
    NotResumed(Option<u32>),
    Stanza(Arc<Stanza>),
    Handled(u32),
}

/// A connection of an account's client to the edge at `seat`.
pub(crate) struct Line {
    pub(crate) id: SessionId,
    pub(crate) account: Bare,
    pub(crate) resource: String,
    pub(crate) seat: Seat,
    pulse: Arc<Pulse>,
    state: Mutex<State>,
    wake: Notify,
}

#[derive(Default)]
struct State {
    said: VecDeque<Say>,
    hung_up: bool,
    heard: VecDeque<Hear>,
    over: bool,
}

impl Line {
    pub(crate) fn new(pulse: &Arc<Pulse>, seat: Seat, id: SessionId, account: &Bare, resource: &str) -> Arc<Self> {
        Arc::new(Self {
            id,
            account: account.clone(),
            resource: resource.to_owned(),
            seat,
            pulse: pulse.clone(),
            state: Mutex::default(),
            wake: Notify::new(),
        })
    }

    // The client's side.

    pub(crate) fn say(&self, say: Say) {
        let mut state = self.state.lock();
        if !state.over {
            state.said.push_back(say);
            drop(state);
            self.stir();
        }
    }

    pub(crate) fn hear(&self) -> Option<Hear> {
        let heard = self.state.lock().heard.pop_front();
        if heard.is_some() {
            self.stir();
        }
        heard
    }

    /// The client is gone; what it said last is lost if `lossy`.
    pub(crate) fn hang_up(&self, lossy: bool) {
        let mut state = self.state.lock();
        state.hung_up = true;
        state.heard.clear();
        if lossy {
            state.said.clear();
        }
        drop(state);
        self.stir();
    }

    /// Nothing is to be heard any more.
    pub(crate) fn is_over(&self) -> bool {
        let state = self.state.lock();
        state.over && state.heard.is_empty()
    }

    // The edge's side.

    pub(crate) fn next(&self) -> Option<Say> {
        self.state.lock().said.pop_front()
    }

    pub(crate) fn is_hung_up(&self) -> bool {
        self.state.lock().hung_up
    }

    pub(crate) fn has_room(&self) -> bool {
        self.state.lock().heard.len() < ROOM
    }

    pub(crate) fn tell(&self, hear: Hear) {
        let mut state = self.state.lock();
        if !state.hung_up {
            state.heard.push_back(hear);
        }
    }

    /// The edge has ended the connection.
    pub(crate) fn end(&self) {
        self.state.lock().over = true;
    }

    /// The edge died: all but the first `left` elements that were on their way are lost.
    pub(crate) fn break_off(&self, left: usize) {
        let mut state = self.state.lock();
        state.over = true;
        state.heard.truncate(left);
    }

    /// How much is on its way to the client.
    pub(crate) fn unheard(&self) -> usize {
        self.state.lock().heard.len()
    }

    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Lets the edge look at the connection.
    pub(crate) fn stir(&self) {
        self.wake.notify_one();
        self.pulse.stir(self.seat);
    }
}
