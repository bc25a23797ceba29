//! An invitation to register (XEP-0401, XEP-0445): what is kept of it, and what may be done with it when. Values only.
//!
//! ```text
//!            claim (name)            finish
//!  open ──────────────────▶ claimed ─────────▶ one use less; none left: it goes
//!    ▲                         │ │ ▲
//!    └────── give back ────────┘ └─┘ taken over, for the same name, once the claim is old
//! ```
//!
//! A use is bound to a name before the account is made, so that no two accounts come of it whoever fails in between: a claim is given
//! back only by who made it and knows that no account came of it. One that was left behind by a router that died may be taken over
//! for the same name; who did that cannot know what the other achieved, and only ever finishes.

use bytes::{Buf, BufMut, Bytes};
use stanza::{Bare, Timestamp};

/// An invitation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invite {
    /// The name that it is for, prepared; anybody's if there is none.
    pub user: Option<String>,
    /// Whose contact the new account becomes, and the other way round.
    pub contact: Option<Bare>,
    /// The user who made it; an operator if there is none.
    pub by: Option<Bare>,
    /// When it was made.
    pub created: Timestamp,
    /// When it is no longer accepted.
    pub expires: Option<Timestamp>,
    /// How many accounts may still come of it, those under way included.
    pub uses: u32,
    /// Accounts under way.
    pub claims: Vec<Claim>,
}

/// A use that is bound to a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The name.
    pub name: String,
    /// Who claims it.
    pub(crate) id: u128,
    /// Since when.
    pub at: Timestamp,
}

/// How a claim was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claimed {
    /// It is the first for its name.
    Anew,
    /// Somebody had left it behind.
    TakenOver,
}

/// Why an invitation cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// It is unknown, over, or used up.
    Gone,
    /// Somebody uses it just now.
    Busy,
}

/// A claim this old was left behind, in microseconds: nobody takes so long to make an account.
const LEFT_BEHIND: i64 = 60_000_000;
/// Most accounts under way.
const CLAIMS: usize = 64;
const FORMAT: u8 = 1;

impl Invite {
    /// Whether it was good at `at`.
    pub(crate) fn is_good(&self, at: Timestamp) -> bool {
        self.uses > 0 && self.expires.is_none_or(|expires| at < expires)
    }

    /// Binds a use to `name`; `accepted` is when its time counted.
    pub(crate) fn claim(
        &mut self,
        name: &str,
        id: u128,
        accepted: Timestamp,
        now: Timestamp,
    ) -> Result<Claimed, Unusable> {
        if !self.is_good(accepted) {
            return Err(Unusable::Gone);
        }
        if let Some(claim) = self.claims.iter_mut().find(|claim| claim.name == name) {
            if now.0.saturating_sub(claim.at.0) < LEFT_BEHIND {
                return Err(Unusable::Busy);
            }
            (claim.id, claim.at) = (id, now);
            return Ok(Claimed::TakenOver);
        }
        if self.claims.len() >= self.uses as usize {
            return Err(Unusable::Gone);
        }
        if self.claims.len() >= CLAIMS {
            return Err(Unusable::Busy);
        }
        self.claims.push(Claim {
            name: name.to_owned(),
            id,
            at: now,
        });
        Ok(Claimed::Anew)
    }

    /// An account came of the claim, or may have: there is one use less. Does nothing when somebody else has taken it over, who
    /// will do the same.
    pub(crate) fn finish(&mut self, id: u128) {
        if self.drop_claim(id) {
            self.uses = self.uses.saturating_sub(1);
        }
    }

    /// No account came of the claim.
    pub(crate) fn give_back(&mut self, id: u128) {
        self.drop_claim(id);
    }

    fn drop_claim(&mut self, id: u128) -> bool {
        let before = self.claims.len();
        self.claims.retain(|claim| claim.id != id);
        self.claims.len() < before
    }

    /// As bytes, numbers big-endian: format (1); flags (1: user, 2: contact, 4: expires, 8: by); created (i64); expires (i64); uses (u32);
    /// user and contact as length (u16) and text; number of claims (u16), each as name, id (u128), at (i64);
    /// by as a text.
    pub(crate) fn encode(&self) -> Bytes {
        let contact = self.contact.as_ref().map(|contact| contact.as_str());
        let there = [
            self.user.is_some(),
            contact.is_some(),
            self.expires.is_some(),
            self.by.is_some(),
        ];
        let flags = (0..).zip(there).map(|(bit, there)| u8::from(there) << bit).sum();
        let mut out = vec![FORMAT, flags];
        out.put_i64(self.created.0);
        if let Some(expires) = self.expires {
            out.put_i64(expires.0);
        }
        out.put_u32(self.uses);
        let texts = [self.user.as_deref(), contact];
        texts.into_iter().flatten().for_each(|text| put_text(&mut out, text));
        out.put_u16(u16::try_from(self.claims.len()).unwrap_or(u16::MAX));
        for claim in &self.claims {
            put_text(&mut out, &claim.name);
            out.put_u128(claim.id);
            out.put_i64(claim.at.0);
        }
        if let Some(by) = &self.by {
            put_text(&mut out, by.as_str());
        }
        out.into()
    }

    /// `None` when the bytes are no invitation of a format known here.
    pub(crate) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let bytes = &mut bytes;
        if bytes.try_get_u8().ok()? != FORMAT {
            return None;
        }
        let flags = bytes.try_get_u8().ok()?;
        let created = timestamp(bytes)?;
        let expires = if flags & 4 == 0 { None } else { Some(timestamp(bytes)?) };
        let uses = bytes.try_get_u32().ok()?;
        let user = if flags & 1 == 0 { None } else { Some(text(bytes)?) };
        let contact = if flags & 2 == 0 { None } else { Some(text(bytes)?) };
        let claims = bytes.try_get_u16().ok()?;
        let claims = (0..claims).map(|_| claim(bytes)).collect::<Option<_>>()?;
        let by = if flags & 8 == 0 { None } else { Some(text(bytes)?) };
        let address = |text: String| Bare::parse(&text);
        Some(Self {
            user,
            contact: contact.map(address).transpose().ok()?,
            by: by.map(address).transpose().ok()?,
            created,
            expires,
            uses,
            claims,
        })
    }
}

fn claim(bytes: &mut &[u8]) -> Option<Claim> {
    Some(Claim {
        name: text(bytes)?,
        id: bytes.try_get_u128().ok()?,
        at: timestamp(bytes)?,
    })
}

fn timestamp(bytes: &mut &[u8]) -> Option<Timestamp> {
    bytes.try_get_i64().ok().map(Timestamp)
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    // Parts of addresses have at most 1,023 bytes each.
    out.put_u16(u16::try_from(text.len()).unwrap_or(u16::MAX));
    out.extend_from_slice(text.as_bytes());
}

fn text(bytes: &mut &[u8]) -> Option<String> {
    let length = usize::from(bytes.try_get_u16().ok()?);
    let (text, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    String::from_utf8(text.to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LATER: Timestamp = Timestamp(LEFT_BEHIND);

    fn invite(uses: u32) -> Invite {
        Invite {
            user: None,
            contact: None,
            by: None,
            created: Timestamp(0),
            expires: Some(Timestamp(10)),
            uses,
            claims: Vec::new(),
        }
    }

    /// Claims for each name at time 1, and compares what came of it.
    fn check(invite: &mut Invite, claims: &[(&str, u128, Result<Claimed, Unusable>)]) {
        for (name, id, expected) in claims {
            let claimed = invite.claim(name, *id, Timestamp(1), Timestamp(1));
            assert_eq!(claimed, *expected, "{name}");
        }
    }

    #[test]
    fn a_use_is_for_one_name() {
        let gone = Err(Unusable::Gone);
        let mut one = invite(1);
        check(
            &mut one,
            &[
                ("a", 1, Ok(Claimed::Anew)),
                ("b", 2, gone),
                ("a", 3, Err(Unusable::Busy)),
            ],
        );
        one.give_back(2); // of somebody who has none
        check(&mut one, &[("b", 2, gone)]);
        one.give_back(1);
        check(&mut one, &[("b", 2, Ok(Claimed::Anew))]);
        one.finish(2);
        check(&mut one, &[("b", 3, gone), ("a", 4, gone)]);
        let mut two = invite(2);
        check(
            &mut two,
            &[("a", 1, Ok(Claimed::Anew)), ("b", 2, Ok(Claimed::Anew)), ("c", 3, gone)],
        );
        two.finish(1);
        check(&mut two, &[("c", 3, gone)]);
        two.give_back(2);
        check(&mut two, &[("c", 3, Ok(Claimed::Anew))]);
    }

    #[test]
    fn what_was_left_behind_is_taken_over_for_the_same_name_only() {
        let mut invite = invite(1);
        check(&mut invite, &[("a", 1, Ok(Claimed::Anew))]);
        assert_eq!(invite.claim("b", 2, Timestamp(1), LATER), Err(Unusable::Gone));
        assert_eq!(
            invite.claim("a", 3, Timestamp(1), Timestamp(LATER.0 + 1)),
            Ok(Claimed::TakenOver)
        );
        // Whoever it was comes back: the use is counted once.
        invite.finish(1);
        invite.give_back(1);
        assert_eq!(invite.uses, 1);
        invite.finish(3);
        assert_eq!((invite.uses, invite.claims.len()), (0, 0));
    }

    #[test]
    fn time_counts_when_it_was_accepted() {
        let mut invite = invite(1);
        assert!(invite.is_good(Timestamp(9)) && !invite.is_good(Timestamp(10)));
        assert_eq!(invite.claim("a", 1, Timestamp(10), Timestamp(10)), Err(Unusable::Gone));
        assert_eq!(invite.claim("a", 1, Timestamp(9), Timestamp(99)), Ok(Claimed::Anew));
    }

    #[test]
    fn what_is_written_is_read_and_what_is_cut_short_is_nothing() {
        let full = Invite {
            user: Some("juliet".into()),
            contact: Bare::parse("romeo@montague.example").ok(),
            by: Bare::parse("romeo@montague.example").ok(),
            claims: vec![Claim {
                name: "juliet".into(),
                id: u128::MAX,
                at: Timestamp(-1),
            }],
            ..invite(3)
        };
        let never = Invite {
            expires: None,
            ..invite(1)
        };
        for invite in [invite(0), never, full] {
            let bytes = invite.encode();
            assert_eq!(Invite::decode(&bytes), Some(invite));
            assert!((0..bytes.len()).all(|end| Invite::decode(&bytes[..end]).is_none()));
        }
    }
}
