//! An edge's sessions in a world of routers whose slots move and whose links break: nothing is lost or reordered.

use super::*;

const ROUTERS: usize = 3;
const SESSIONS: u128 = 4;

#[derive(Clone, Debug)]
enum Step {
    Submit(u128),
    /// A router reads this many frames.
    Serve(usize, usize),
    /// The edge hears this many answers of a router.
    Hear(usize, usize),
    /// A new table with these weights is published.
    Publish([u32; ROUTERS]),
    /// A router applies the newest table and says so.
    Apply(usize),
    /// The edge learns the newest table.
    Learn,
    Cut(usize),
    Mend(usize),
    Settle,
}

fn step() -> impl Strategy<Value = Step> {
    let router = 0..ROUTERS;
    prop_oneof![
        6 => (0..SESSIONS).prop_map(Step::Submit),
        6 => (router.clone(), 1_usize..5).prop_map(|(router, n)| Step::Serve(router, n)),
        6 => (router.clone(), 1_usize..5).prop_map(|(router, n)| Step::Hear(router, n)),
        1 => prop::array::uniform3(0_u32..3).prop_map(Step::Publish),
        3 => router.clone().prop_map(Step::Apply),
        2 => Just(Step::Learn),
        1 => router.clone().prop_map(Step::Cut),
        2 => router.prop_map(Step::Mend),
        3 => Just(Step::Settle),
    ]
}

enum Answer {
    Done(SessionId, u64),
    Refused(SessionId, u32),
    Sealed(u64),
}

struct Router {
    link: Option<LinkId>,
    wire: Arc<Wire>,
    answers: VecDeque<Answer>,
    /// Attachments as the link knows them.
    attached: HashMap<SessionId, u32>,
    /// Sessions as the home knows them.
    known: HashMap<SessionId, Slot>,
    /// Highest submission it has done: a number that comes again does nothing.
    last: HashMap<SessionId, u64>,
    table: SlotTable,
}

struct World {
    sessions: Sessions<Wire>,
    routers: Vec<Router>,
    newest: SlotTable,
    links: u64,
    pushed: HashMap<u128, u64>,
    handled: HashMap<u128, Vec<u64>>,
    cuts: bool,
    now: Instant,
}

impl World {
    fn new() -> Self {
        let newest = SlotTable::empty().next(&weights(&[1; ROUTERS]), usize::MAX).unwrap();
        let router = |_| Router {
            link: None,
            wire: Arc::default(),
            answers: VecDeque::new(),
            attached: HashMap::new(),
            known: HashMap::new(),
            last: HashMap::new(),
            table: newest.clone(),
        };
        let routers = (0..ROUTERS).map(router).collect();
        let sessions = Sessions::new(LIMITS);
        let (pushed, handled) = (HashMap::new(), HashMap::new());
        let mut world = Self {
            sessions,
            routers,
            newest,
            links: 0,
            pushed,
            handled,
            cuts: false,
            now: Instant::now(),
        };
        world.sessions.publish(&world.newest);
        for router in 0..ROUTERS {
            world.apply(&Step::Mend(router));
            world.apply(&Step::Hear(router, 1));
        }
        for id in 0..SESSIONS {
            let session = session(id);
            let (link, _) = world.sessions.home(session.slot).unwrap();
            let home = world
                .routers
                .iter_mut()
                .find(|router| router.link == Some(link))
                .unwrap();
            home.attached.insert(session.id, 0);
            home.known.insert(session.id, session.slot);
            world.sessions.bind(session.id, session.slot, link);
            world
                .sessions
                .bound(link, session, Grant::default(), Peer::default(), Counts::default());
        }
        world
    }

    fn apply(&mut self, step: &Step) {
        match step {
            Step::Submit(id) => {
                let number = self.pushed.get(id).copied().unwrap_or(0) + 1;
                if matches!(
                    self.sessions.submit(SessionId(*id), submission(number), 10),
                    Submit::Taken
                ) {
                    self.pushed.insert(*id, number);
                }
            }
            Step::Serve(router, n) => (0..*n).for_each(|_| self.serve(*router)),
            Step::Hear(router, n) => (0..*n).for_each(|_| self.hear(*router)),
            Step::Publish(new) => {
                if let Some(next) = self.newest.next(&weights(new), usize::MAX) {
                    self.newest = next;
                }
            }
            Step::Apply(router) => {
                let router = &mut self.routers[*router];
                let old = std::mem::replace(&mut router.table, self.newest.clone());
                // A slot that moved, even if it came back, has lost its sessions; the link hears of it by and by.
                router.known.retain(|_, slot| old.at(*slot) == self.newest.at(*slot));
                router.answers.push_back(Answer::Sealed(router.table.revision));
            }
            Step::Learn => self.sessions.publish(&self.newest),
            Step::Cut(router) => self.cut(*router),
            Step::Mend(router) if self.routers[*router].link.is_none() => {
                self.links += 1;
                self.routers[*router].link = Some(LinkId(self.links));
                let wire = Arc::clone(&self.routers[*router].wire);
                self.sessions.link_up(name(*router), Epoch(1), LinkId(self.links), wire);
                let router = &mut self.routers[*router];
                router.answers.push_back(Answer::Sealed(router.table.revision));
            }
            Step::Mend(_) => {}
            Step::Settle => drop(self.sessions.settle(self.now)),
        }
    }

    fn cut(&mut self, router: usize) {
        let router = &mut self.routers[router];
        let Some(link) = router.link.take() else { return };
        self.cuts = true;
        router.wire.drain();
        router.answers.clear();
        router.attached.clear();
        self.sessions.link_down(link);
    }

    fn serve(&mut self, index: usize) {
        let router = &mut self.routers[index];
        let Some(frame) = router.wire.0.lock().pop_front() else {
            return;
        };
        let is_home = |slot| router.table.at(slot).is_some_and(|(home, ..)| *home == name(index));
        match frame {
            EdgeFrame::Attach { generation, attach } if is_home(attach.session.slot) => {
                router.attached.insert(attach.session.id, generation);
                router.known.insert(attach.session.id, attach.session.slot);
            }
            EdgeFrame::Attach { generation, attach } => {
                router.attached.remove(&attach.session.id);
                router.answers.push_back(Answer::Refused(attach.session.id, generation));
            }
            EdgeFrame::Submit {
                session,
                generation,
                submission,
            } => {
                if router.attached.get(&session) != Some(&generation) {
                    return;
                }
                if router.known.contains_key(&session) {
                    let last = router.last.entry(session).or_default();
                    if *last < submission.number {
                        *last = submission.number;
                        self.handled.entry(session.0).or_default().push(submission.number);
                    }
                    router.answers.push_back(Answer::Done(session, submission.number));
                } else {
                    router.attached.remove(&session);
                    router.answers.push_back(Answer::Refused(session, generation));
                }
            }
            _ => {}
        }
    }

    fn hear(&mut self, index: usize) {
        let router = &mut self.routers[index];
        let (Some(link), Some(answer)) = (router.link, router.answers.pop_front()) else {
            return;
        };
        match answer {
            Answer::Done(session, number) => drop(self.sessions.done(link, session, number)),
            Answer::Refused(session, generation) => {
                self.sessions.refused(link, session, generation, Gone::Home, self.now);
            }
            Answer::Sealed(table) => self.sessions.sealed(link, table),
        }
    }

    /// Peace: everything is mended and known to all; time passes.
    fn rest(&mut self) {
        for _ in 0..20 {
            self.apply(&Step::Learn);
            for router in 0..ROUTERS {
                let peace = [
                    Step::Mend(router),
                    Step::Apply(router),
                    Step::Serve(router, 100),
                    Step::Hear(router, 100),
                ];
                peace.iter().for_each(|step| self.apply(step));
            }
            self.apply(&Step::Settle);
            self.now += Duration::from_secs(1);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn whatever_moves_or_breaks_nothing_is_lost_or_reordered(steps in prop::collection::vec(step(), 0..150)) {
        let mut world = World::new();
        steps.iter().for_each(|step| world.apply(step));
        world.rest();
        for (id, pushed) in &world.pushed {
            let handled = world.handled.get(id).cloned().unwrap_or_default();
            let mut news: Vec<u64> = Vec::new();
            handled.iter().for_each(|n| if news.last().is_none_or(|last| n > last) { news.push(*n) });
            prop_assert_eq!(&news, &(1..=*pushed).collect::<Vec<_>>(), "session {}", id);
            if !world.cuts {
                prop_assert_eq!(handled, news, "nothing twice when no link died");
            }
        }
        for id in 0..SESSIONS {
            let (home, ..) = world.newest.at(session(id).slot).unwrap();
            let home = world.routers.iter().zip(0..).find(|(_, n)| name(*n) == *home).unwrap().0;
            prop_assert!(home.known.contains_key(&SessionId(id)), "session {} is not where its deliveries are", id);
        }
        prop_assert_eq!(world.sessions.load().1, Window { items: 0, bytes: 0 });
    }
}
