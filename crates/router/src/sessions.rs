//! The sessions of one account by id. Most accounts have one or two, so they stand in a sorted list without room to spare: a map would keep
//! room for eleven.

use stanza::SessionId;

use crate::session::Session;

/// Sessions in order of their ids.
#[derive(Default)]
pub(crate) struct Sessions(Vec<Session>);

impl Sessions {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn contains_key(&self, id: &SessionId) -> bool {
        self.find(id).is_ok()
    }

    pub(crate) fn get(&self, id: &SessionId) -> Option<&Session> {
        self.find(id).ok().map(|at| &self.0[at])
    }

    pub(crate) fn get_mut(&mut self, id: &SessionId) -> Option<&mut Session> {
        self.find(id).ok().map(|at| &mut self.0[at])
    }

    /// Takes in a session, in the place of another with its id.
    pub(crate) fn insert(&mut self, session: Session) {
        match self.find(&session.id) {
            Ok(at) => self.0[at] = session,
            Err(at) => {
                self.0.reserve_exact(1);
                self.0.insert(at, session);
            }
        }
    }

    pub(crate) fn remove(&mut self, id: &SessionId) -> Option<Session> {
        let at = self.find(id).ok()?;
        let session = self.0.remove(at);
        self.0.shrink_to_fit();
        Some(session)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &Session> {
        self.0.iter()
    }

    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut Session> {
        self.0.iter_mut()
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &SessionId> {
        self.0.iter().map(|session| &session.id)
    }

    /// Where the session stands, or would.
    fn find(&self, id: &SessionId) -> Result<usize, usize> {
        self.0.binary_search_by_key(id, |session| session.id)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use link::{Delivery, Edge, EdgeRef};
    use stanza::{Bare, StreamCondition, Timestamp};
    use topology::Epoch;

    use super::*;

    #[test]
    fn an_id_finds_its_session_and_there_is_no_room_to_spare() {
        let mut sessions = Sessions::default();
        [5, 1, 3].into_iter().for_each(|id| sessions.insert(session(id)));
        assert_eq!(ids(&sessions), [1, 3, 5]);
        assert_eq!(sessions.0.capacity(), 3);
        let found = sessions.get_mut(&SessionId(3)).unwrap();
        found.accepted = 7;
        assert_eq!(sessions.get(&SessionId(3)).unwrap().accepted, 7);
        sessions.insert(session(3));
        assert_eq!(sessions.get(&SessionId(3)).unwrap().accepted, 0, "another in its place");
        assert_eq!(sessions.remove(&SessionId(1)).unwrap().id, SessionId(1));
        assert!(sessions.remove(&SessionId(1)).is_none());
        assert!(!sessions.contains_key(&SessionId(1)) && sessions.contains_key(&SessionId(5)));
        assert_eq!(ids(&sessions), [3, 5]);
        assert_eq!(sessions.0.capacity(), 2);
    }

    /// What each idle session keeps at its home, beside what it shares and refers to: change the limit knowingly.
    #[test]
    fn a_session_stays_small() {
        let (session, view) = (size_of::<Session>(), size_of::<engine::SessionView>());
        assert!(session <= 416 && view <= 144, "session {session}, view {view}");
    }

    fn ids(sessions: &Sessions) -> Vec<u128> {
        sessions.keys().map(|id| id.0).collect()
    }

    fn session(id: u128) -> Session {
        let edge = EdgeRef {
            id: "edge".into(),
            epoch: Epoch(1),
            edge: Arc::new(Nowhere),
        };
        let account = Bare::parse("juliet@capulet.example").unwrap();
        Session::new(SessionId(id), account, edge, Timestamp(0))
    }

    struct Nowhere;

    impl Edge for Nowhere {
        fn deliver(&self, _: Delivery) {}
        fn done(&self, _: SessionId, _: u64) {}
        fn mirror(&self, _: SessionId, _: Bytes) {}
        fn kick(&self, _: SessionId, _: StreamCondition) {}
    }
}
