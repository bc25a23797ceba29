//! Makes the invitations that users ask for (XEP-0401), within what one user may make and have open.

use std::sync::Arc;

use async_trait::async_trait;
use engine::{Host, Invitation, Invites, Wish};
use stanza::{Bare, Condition, ErrorType, Jid, StanzaError, Timestamp};
use store::{Error, Stores};

use crate::clock::Entropy;
use crate::gauges;
use crate::hosts::{Hosts, administers};
use crate::invite::Invite;
use crate::invites;
use crate::issue::{self, NotIssued};
use crate::made::TooMany;
use crate::registration::{Registration, unacceptable};

/// Makes them.
pub(crate) struct Inviter {
    pub(crate) stores: Stores,
    pub(crate) hosts: Hosts,
    pub(crate) entropy: Arc<dyn Entropy>,
}

#[async_trait]
impl Invites for Inviter {
    async fn invite(&self, host: &Host, by: &Bare, wish: Wish, now: Timestamp) -> Result<Invitation, StanzaError> {
        let known = self.hosts.get(&host.domain).ok_or(Condition::ServiceUnavailable)?;
        let (rules, is_admin) = (&known.registration, host.admins.contains(by));
        let domain = Bare::parse(&host.domain).map_err(|_| Condition::InternalServerError)?;
        let leads_to = (wish == Wish::Contact).then_some(by);
        let (user, befriend) = match wish {
            Wish::Contact => (None, true),
            Wish::Account { user, befriend } => (user, befriend),
        };
        let expires = in_seconds(now, rules.invitation_s);
        let invite = Invite {
            user: user
                .map(|user| self.name(rules, &domain, &user, is_admin))
                .transpose()?,
            contact: befriend.then(|| by.clone()),
            by: Some(by.clone()),
            created: now,
            expires: Some(expires),
            uses: 1,
            claims: Vec::new(),
        };
        let token = invites::new_token(self.entropy.bits());
        let items = &*self.stores.items;
        if !is_admin {
            let counted = invites::count(items, &domain, by, rules, (&token, now)).await;
            counted.map_err(away)?.map_err(too_many)?;
        }
        // Only now: who asks for names that are taken learns who has an account.
        issue::check_invite(&self.stores, &domain, &invite, now)
            .await
            .map_err(refused)?;
        let id = invites::keep(items, &domain, &token, &invite).await.map_err(away)?;
        tracing::info!(%by, id = &id[..invites::SHOWN], "an invitation was made");
        Ok(Invitation {
            uri: issue::invite_uri(&domain, invite.user.as_deref(), leads_to, &token),
            landing_url: rules.landing_url.as_ref().map(|url| url.replace("{token}", &token)),
            expires,
        })
    }
}

impl Inviter {
    /// A name in prepared form. An administrator's word goes beyond what anybody may choose, as an operator's does.
    fn name(&self, rules: &Registration, domain: &Bare, user: &str, is_admin: bool) -> Result<String, StanzaError> {
        let prepared = Jid::from_parts(Some(user), domain.as_str(), None);
        let prepared = prepared
            .map_err(|_| unacceptable("no account can have this name"))?
            .bare();
        if !is_admin {
            rules.account(user, domain.as_str(), None)?;
            if administers(&self.hosts, &prepared) {
                return Err(unacceptable("this name is reserved"));
            }
        }
        Ok(prepared.local().unwrap_or_default().to_owned())
    }
}

fn in_seconds(now: Timestamp, seconds: u64) -> Timestamp {
    let microseconds = i64::try_from(seconds).unwrap_or(i64::MAX).saturating_mul(1_000_000);
    Timestamp(now.0.saturating_add(microseconds))
}

fn refused(why: NotIssued) -> StanzaError {
    match why {
        NotIssued::Away(error) => away(error),
        NotIssued::NoContact(_) => Condition::ItemNotFound.into(),
        NotIssued::Taken(_) | NotIssued::Kept(_) => {
            StanzaError::new(Condition::Conflict).with_text("this name is taken")
        }
    }
}

fn too_many(why: TooMany) -> StanzaError {
    later(match why {
        TooMany::Lately => "you made too many invitations lately; please come again",
        TooMany::Open => "too many of your invitations are open; come again when one was used or is over",
    })
}

fn away(error: Error) -> StanzaError {
    gauges::failed("invitation");
    tracing::warn!(%error, "making an invitation");
    later("please come again")
}

fn later(text: &str) -> StanzaError {
    StanzaError::new(Condition::ResourceConstraint)
        .with_type(ErrorType::Wait)
        .with_text(text)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use engine::Pipeline;
    use store::{Item, Items, Key, Version};

    use super::*;
    use crate::clock::System;
    use crate::hosts::VirtualHost;
    use crate::registration::Mode;

    const HOUR: i64 = 3_600_000_000;

    /// Three a day, two open at a time, each good for two hours.
    fn inviter() -> (Inviter, Host) {
        let registration = Registration {
            mode: Mode::Invite,
            invitation_s: 7_200,
            invitations_open: 2,
            invitations_made: 3,
            window_s: 86_400,
            ..Registration::default()
        };
        let host = Host {
            domain: "capulet.example".into(),
            admins: [bare("prince")].into(),
            ..Host::default()
        };
        let known = VirtualHost {
            pipeline: Pipeline::default(),
            host: Arc::new(host.clone()),
            registration,
        };
        let inviter = Inviter {
            stores: store::memory::stores(),
            hosts: [(host.domain.clone(), Arc::new(known))].into(),
            entropy: Arc::new(System),
        };
        (inviter, host)
    }

    fn bare(name: &str) -> Bare {
        Bare::parse(&format!("{name}@capulet.example")).unwrap()
    }

    fn named(user: &str) -> Wish {
        Wish::Account {
            user: Some(user.into()),
            befriend: false,
        }
    }

    #[tokio::test]
    async fn so_many_are_made_and_what_is_over_goes() {
        let (inviter, host) = inviter();
        let owner = Bare::parse(&host.domain).unwrap();
        let any = Wish::Account {
            user: None,
            befriend: false,
        };
        let too_many = Err(Condition::ResourceConstraint);
        let hours = [
            (0, Ok(1)),
            (0, Ok(2)),
            (1, too_many),
            (2, Ok(1)),
            (23, too_many),
            (24, Ok(1)),
        ];
        for (hour, expected) in hours {
            let made = inviter
                .invite(&host, &bare("nurse"), any.clone(), Timestamp(hour * HOUR))
                .await;
            let kept = invites::invites(&*inviter.stores.items, &owner).await.unwrap().len();
            assert_eq!(
                made.map(|_| kept).map_err(|error| error.condition),
                expected,
                "hour {hour}"
            );
        }
    }

    /// Also when a client asks for many at once.
    #[tokio::test]
    async fn there_is_no_overtaking_of_a_limit() {
        let (mut inviter, host) = inviter();
        inviter.stores.items = Arc::new(Slow(inviter.stores.items.clone()));
        let nurse = bare("nurse");
        let asks = (0..20).map(|_| {
            inviter.invite(
                &host,
                &nurse,
                Wish::Account {
                    user: None,
                    befriend: false,
                },
                Timestamp(0),
            )
        });
        let made = futures::future::join_all(asks).await;
        assert_eq!(made.iter().filter(|made| made.is_ok()).count(), 2);
    }

    /// Items that others change between a look and a write.
    struct Slow(Arc<dyn Items>);

    #[async_trait]
    impl Items for Slow {
        async fn get(&self, owner: &Bare, key: &Key) -> store::Result<Option<Item>> {
            let found = self.0.get(owner, key).await;
            tokio::task::yield_now().await;
            found
        }

        async fn list(&self, owner: &Bare, space: &str) -> store::Result<Vec<Item>> {
            self.0.list(owner, space).await
        }

        async fn page(&self, owner: &Bare, after: Option<&Key>, limit: u32) -> store::Result<Vec<Item>> {
            self.0.page(owner, after, limit).await
        }

        async fn put(&self, owner: &Bare, key: &Key, value: Bytes, seen: Option<Version>) -> store::Result<Version> {
            self.0.put(owner, key, value, seen).await
        }

        async fn remove(&self, owner: &Bare, key: &Key, seen: Version) -> store::Result<()> {
            self.0.remove(owner, key, seen).await
        }
    }

    #[tokio::test]
    async fn names_are_judged_by_whose_word_it_is() {
        let (inviter, host) = inviter();
        let bad = Err(Condition::NotAcceptable);
        for (by, user, expected) in [
            ("nurse", "postmaster", bad),
            ("nurse", "Prince", bad),
            ("nurse", "a@b", bad),
            ("nurse", "Juliet", Ok("xmpp:juliet@capulet.example?register")),
            ("nurse", "juliet", Err(Condition::Conflict)),
            ("nurse", "Juliet", Err(Condition::Conflict)),
            ("nurse", "juliet", Err(Condition::ResourceConstraint)), // nobody tries names for ever
            ("prince", "a@b", bad),
            ("prince", "postmaster", Ok("xmpp:postmaster@capulet.example?register")),
            ("prince", "Prince", Ok("xmpp:prince@capulet.example?register")),
        ] {
            let made = inviter.invite(&host, &bare(by), named(user), Timestamp(0)).await;
            let link = made.map(|made| made.uri.split(';').next().unwrap_or_default().to_owned());
            let expected = expected.map(str::to_owned);
            assert_eq!(link.map_err(|error| error.condition), expected, "{by} {user}");
        }
    }
}
