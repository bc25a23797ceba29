//! Private XML storage (XEP-0049): what clients keep of their own, by namespace and name, for nobody but their user.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use engine::{
    About, Answer, At, Condition, Cx, Effect, Element, Hooks, Malformed, Module, Put, Reply, Request, StanzaError, ns,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use store::{Item, Key};
use xml::Limits;

/// The module.
pub(crate) struct Private {
    config: PrivateConfig,
}

/// Limits for one user; beyond them a write is refused with `resource-constraint`.
#[derive(Clone, Debug, Deserialize, JsonSchema, Serialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct PrivateConfig {
    /// How many different elements may be kept, and asked for at a time.
    pub max_elements: usize,
    /// How many bytes they may have together.
    pub max_bytes: usize,
}

impl Default for PrivateConfig {
    fn default() -> Self {
        Self {
            max_elements: 100,
            max_bytes: 262_144,
        }
    }
}

/// `<query xmlns='jabber:iq:private'/>` and what stands in it.
struct Query(Vec<Element>);

impl Request for Query {
    const NS: &'static str = ns::PRIVATE;
    const NAME: &'static str = "query";

    fn read(element: &Element) -> Result<Self, Malformed> {
        Ok(Self(element.children().cloned().collect()))
    }
}

impl Module for Private {
    const ABOUT: About = About {
        name: "private",
        rfcs: &[],
        xeps: &[(49, "1.2")],
        summary: "Keeps what clients store for their user alone.",
    };
    type Config = PrivateConfig;

    fn new(config: PrivateConfig) -> Self {
        Self { config }
    }

    fn install(self: Arc<Self>, on: &mut Hooks) {
        on.feature(At::Server, ns::PRIVATE);
        let limits = self.config.clone();
        on.get(At::Account, move |cx, query| get(cx, query, limits.max_elements));
        on.set(At::Account, move |cx, query| set(cx, query, self.config.clone()));
    }
}

/// Each element asked for as it is kept, or as it was asked for when nothing is: once, however often it was asked for, and no more of them
/// than may be kept, since each is a read.
async fn get(cx: Cx, Query(asked): Query, most: usize) -> Answer {
    check(&cx, &asked, Condition::BadRequest)?;
    if asked.iter().any(|element| element.ns() != asked[0].ns()) {
        return Err(StanzaError::new(Condition::BadRequest).with_text("one namespace at a time"));
    }
    let asked = distinct(asked);
    if asked.len() > most {
        return Err(StanzaError::new(Condition::ResourceConstraint).with_text("too many elements at a time"));
    }
    let mut answer = Element::new(ns::PRIVATE, "query");
    for (key, element) in asked {
        let kept = cx.stores.items.get(&cx.account.jid, &key).await?;
        answer = answer.extend(match kept {
            Some(item) => read(&item)?,
            None => vec![Element::new(element.ns().to_owned(), element.name().to_owned())],
        });
    }
    Ok(answer.into())
}

/// What is given replaces what was kept under the same name; elements of one name are kept together, and an empty one is as good
/// as none.
async fn set(cx: Cx, Query(given): Query, limits: PrivateConfig) -> Answer {
    check(&cx, &given, Condition::NotAcceptable)?;
    let mut kept = BTreeMap::new();
    for item in cx.stores.items.list(&cx.account.jid, SPACE).await? {
        kept.insert(item.key.clone(), item);
    }
    let mut values: BTreeMap<Key, Vec<u8>> = BTreeMap::new();
    for element in &given {
        let value = values.entry(key(element)).or_default();
        if !element.nodes().is_empty() || element.attributes().next().is_some() {
            element.write(ns::PRIVATE, value);
        }
    }
    if exceeds(&kept, &values, &limits) {
        return Err(StanzaError::new(Condition::ResourceConstraint).with_text("there is no room for that"));
    }
    let puts = values.into_iter().map(|(key, value)| Put {
        seen: kept.get(&key).map(|item| item.version),
        key,
        value: (!value.is_empty()).then(|| Bytes::from(value)),
        fact: None,
    });
    Ok(puts.fold(Reply::empty(), |reply, put| reply.effect(Effect::Put(put))))
}

/// The first of each name, in the order in which they were asked for.
fn distinct(asked: Vec<Element>) -> Vec<(Key, Element)> {
    let mut seen = BTreeSet::new();
    let keyed = asked.into_iter().map(|element| (key(&element), element));
    keyed.filter(|(key, _)| seen.insert(key.clone())).collect()
}

/// XEP-0049, 2.3 and 3.
fn check(cx: &Cx, elements: &[Element], if_none: Condition) -> Result<(), StanzaError> {
    if !cx.is_owner() {
        return Err(Condition::Forbidden.into());
    }
    if elements.is_empty() {
        return Err(if_none.into());
    }
    if elements.iter().any(|element| is_reserved(element.ns())) {
        return Err(StanzaError::new(Condition::NotAcceptable).with_text("the namespace is reserved"));
    }
    Ok(())
}

fn is_reserved(ns: &str) -> bool {
    ns.is_empty() || ns.starts_with("jabber:") || ns.starts_with("http://jabber.org/") || ns == ns::VCARD
}

/// Whether too much would be kept. What makes it less is never too much.
fn exceeds(kept: &BTreeMap<Key, Item>, values: &BTreeMap<Key, Vec<u8>>, limits: &PrivateConfig) -> bool {
    let before = kept.values().map(|item| item.value.len());
    let unchanged = kept.iter().filter(|(key, _)| !values.contains_key(key));
    let new = values.values().map(Vec::len).filter(|length| *length > 0);
    let after: Vec<usize> = unchanged.map(|(_, item)| item.value.len()).chain(new).collect();
    let (count, bytes) = (after.len(), after.iter().sum::<usize>());
    count > limits.max_elements.max(kept.len()) || bytes > limits.max_bytes.max(before.sum())
}

fn read(item: &Item) -> Result<Vec<Element>, StanzaError> {
    let whole = [b"<query>", &item.value[..], b"</query>"].concat();
    let whole = Element::parse(&whole, ns::PRIVATE, &Limits::UNLIMITED);
    let whole = whole.map_err(|_| Condition::InternalServerError)?;
    Ok(whole.children().cloned().collect())
}

fn key(element: &Element) -> Key {
    Key {
        space: SPACE.to_owned(),
        name: format!("{} {}", element.name(), element.ns()),
    }
}

const SPACE: &str = "private";

#[cfg(test)]
mod tests {
    use store::Version;

    use super::*;

    /// Elements by name and size: what is kept and what is to be written.
    fn check(kept: &[(&str, usize)], given: &[(&str, usize)], expected: bool) {
        let key = |name: &str| Key {
            space: SPACE.to_owned(),
            name: name.to_owned(),
        };
        let item = |(name, size): &(&str, usize)| Item {
            key: key(name),
            version: Version(1),
            value: vec![b' '; *size].into(),
        };
        let kept = kept.iter().map(|one| (key(one.0), item(one))).collect();
        let given = given
            .iter()
            .map(|(name, size)| (key(name), vec![b' '; *size]))
            .collect();
        let limits = PrivateConfig {
            max_elements: 2,
            max_bytes: 10,
        };
        assert_eq!(exceeds(&kept, &given, &limits), expected, "{kept:?} {given:?}");
    }

    #[test]
    fn room() {
        check(&[], &[("a", 10)], false);
        check(&[], &[("a", 11)], true);
        check(&[("a", 5)], &[("b", 5)], false);
        check(&[("a", 5)], &[("b", 6)], true);
        check(&[("a", 5)], &[("a", 10)], false);
        check(&[("a", 5), ("b", 5)], &[("c", 0)], false);
        check(&[("a", 1), ("b", 1)], &[("c", 1)], true);
        check(&[("a", 1), ("b", 1)], &[("b", 0), ("c", 1)], false);
        // Limits that were lowered: less is welcome.
        check(&[("a", 20)], &[("a", 15)], false);
        check(&[("a", 20)], &[("a", 21)], true);
    }
    #[test]
    fn each_is_asked_for_once() {
        let named = |name: &str| Element::new("wit", name.to_owned());
        let asked = ["b", "a", "b", "b", "c", "a"].map(named).to_vec();
        let names: Vec<String> = distinct(asked).iter().map(|(_, one)| one.name().to_owned()).collect();
        assert_eq!(names, ["b", "a", "c"]);
    }
}
