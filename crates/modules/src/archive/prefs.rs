//! What a user wants to have archived (XEP-0441): everything, conversations with contacts, or nothing; and for whom it is otherwise.

use std::collections::BTreeSet;
use std::sync::Arc;

use engine::{
    Answer, At, Bare, Condition, Cx, Effect, Element, Fact, Hooks, Jid, Malformed, Put, Reply, Request, StanzaError, ns,
};
use store::{Key, Stores, Version};

use super::config::{ArchiveConfig, Default, LOG};

/// The preferences of one user, as stored.
#[derive(Debug, std::default::Default, PartialEq, Eq)]
pub(crate) struct Prefs {
    wishes: Option<Wishes>,
    version: Option<Version>,
}

/// What a user said.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wishes {
    default: Default,
    always: BTreeSet<Jid>,
    never: BTreeSet<Jid>,
}

/// `<prefs xmlns='urn:xmpp:mam:2'/>` of type get.
struct Fetch;

impl Request for Fetch {
    const NS: &'static str = ns::MAM;
    const NAME: &'static str = "prefs";

    fn read(_: &Element) -> Result<Self, Malformed> {
        Ok(Self)
    }
}

/// The same of type set.
impl Request for Wishes {
    const NS: &'static str = ns::MAM;
    const NAME: &'static str = "prefs";

    fn read(element: &Element) -> Result<Self, Malformed> {
        let default = element.attribute("default").and_then(Default::from_name);
        Ok(Self {
            default: default.ok_or(Malformed("the default is always, never or roster"))?,
            always: list(element, "always")?,
            never: list(element, "never")?,
        })
    }
}

pub(super) fn install(config: &Arc<ArchiveConfig>, on: &mut Hooks) {
    let (fetched, changed) = (config.clone(), config.clone());
    on.get(At::Account, move |cx, _: Fetch| {
        std::future::ready(fetch(&fetched, &cx))
    });
    on.set(At::Account, move |cx, wishes| {
        std::future::ready(change(&changed, &cx, &wishes))
    });
}

fn fetch(config: &ArchiveConfig, cx: &Cx) -> Answer {
    let prefs = cx.own::<Prefs>()?;
    let usual = Wishes {
        default: config.default,
        always: BTreeSet::new(),
        never: BTreeSet::new(),
    };
    Ok(prefs.wishes.as_ref().unwrap_or(&usual).to_element().into())
}

fn change(config: &ArchiveConfig, cx: &Cx, wishes: &Wishes) -> Answer {
    let prefs = cx.own::<Prefs>()?;
    if wishes.always.len() + wishes.never.len() > config.max_preferences {
        return Err(StanzaError::new(Condition::ResourceConstraint).with_text("too many addresses"));
    }
    let element = wishes.to_element();
    let put = Put::element::<Prefs>(key(), &element, prefs.version);
    Ok(Reply::from(element).effect(Effect::Put(put)))
}

impl Prefs {
    /// Whether a conversation with `other` is archived. Who is named with a resource is meant before who is named without (XEP-0441,
    /// 3.1); who is in both lists is archived.
    pub(super) fn wants(&self, usual: Default, other: &Jid, is_contact: impl Fn() -> bool) -> bool {
        let Some(wishes) = &self.wishes else {
            return usual.wants(is_contact);
        };
        let named = |jid: &Jid| {
            let always = wishes.always.contains(jid).then_some(true);
            always.or_else(|| wishes.never.contains(jid).then_some(false))
        };
        named(other)
            .or_else(|| named(other.bare().jid()))
            .unwrap_or_else(|| wishes.default.wants(is_contact))
    }
}

impl Wishes {
    fn to_element(&self) -> Element {
        let jid = |jid: &Jid| Element::new(ns::MAM, "jid").text(jid.as_str());
        Element::new(ns::MAM, "prefs")
            .with("default", self.default.name())
            .push(Element::new(ns::MAM, "always").extend(self.always.iter().map(jid)))
            .push(Element::new(ns::MAM, "never").extend(self.never.iter().map(jid)))
    }
}

impl Fact for Prefs {
    async fn load(stores: &Stores, account: &Bare) -> store::Result<Self> {
        let kept = engine::kept(stores, account, &key(), |wishes| Wishes::read(wishes).ok()).await?;
        let (wishes, version) = kept.unzip();
        Ok(Self { wishes, version })
    }
}

fn list(element: &Element, name: &str) -> Result<BTreeSet<Jid>, Malformed> {
    let list = element.child(ns::MAM, name);
    let jids = list.iter().flat_map(|list| list.children());
    jids.filter(|child| child.is(ns::MAM, "jid"))
        .map(|jid| Jid::parse(&jid.content()).map_err(|_| Malformed("not an address")))
        .collect()
}

fn key() -> Key {
    Key {
        space: LOG.into(),
        name: "preferences".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// XEP-0441, 2.2 to 3.3.
    #[test]
    fn whom_the_user_wants_archived() {
        let lists = "<always><jid>a@x.example</jid><jid>b@x.example/r</jid><jid>both@x.example</jid></always>\
                     <never><jid>b@x.example</jid><jid>both@x.example</jid><jid>c@x.example/r</jid></never>";
        for (default, other, contact, expected) in [
            ("always", "z@x.example", false, true),
            ("never", "z@x.example", true, false),
            ("roster", "z@x.example/r", true, true),
            ("roster", "z@x.example/r", false, false),
            ("never", "a@x.example/any", false, true),
            ("never", "b@x.example/r", false, true),
            ("always", "b@x.example/s", true, false),
            ("never", "both@x.example", false, true),
            ("always", "c@x.example/r", false, false),
            ("always", "c@x.example", false, true),
        ] {
            let xml = format!("<prefs xmlns='urn:xmpp:mam:2' default='{default}'>{lists}</prefs>");
            let element = Element::parse(xml.as_bytes(), "", &xml::Limits::UNLIMITED).unwrap();
            let prefs = Prefs {
                wishes: Some(Wishes::read(&element).unwrap()),
                version: None,
            };
            let wants = prefs.wants(Default::Never, &Jid::parse(other).unwrap(), || contact);
            assert_eq!(wants, expected, "{default} {other} {contact}");
        }
        assert!(Prefs::default().wants(Default::Always, &Jid::parse("x.example").unwrap(), || false));
    }
}
